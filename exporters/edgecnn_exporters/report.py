"""How an export ends: with a file or an error that says why there is none, and FILE.report.json beside it.

The evidence holds nothing that differs between two exports of one model: no time, no host, and differences rounded up
to two digits. The report holds all of that.
"""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_CEILING, Context
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgecnn_exporters.errors import BudgetError, ExportError, ParityError
from edgecnn_exporters.proof.parity_report import ParityReport
from edgecnn_exporters.quantization.config import QuantizationConfig
from edgecnn_exporters.quantization.tries import Try
from edgecnn_runtime.evidence import Evidence, Gate, Parity, SegmentationParity
from edgecnn_runtime.machine import cpu_family, cpu_name
from edgecnn_runtime.providers import onnxruntime
from edgecnn_runtime.report_file import hash_file, report_path
from edgecnn_runtime.whole_files import publish

_PACKAGES = ("edgecnn", "edgecnn-exporters", "edgecnn-runtime", "keras", "tensorflow", "tf2onnx", "onnx")
_ROUND_UP = Context(prec=2, rounding=ROUND_CEILING)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export made and measured.

    Attributes:
        path: the model file.
        size_bytes: of the model file.
        sha256: of the whole model file.
        evidence: what travels in the file.
        parity: what was compared, as measured.
        seconds: of each stage, in their order.
        tries: at a file of fewer bits; the last one is the file.
        shares: which part of a run's time each of `shares.PARTS` takes; None of a graph without such parts.
    """

    path: Path
    size_bytes: int
    sha256: str
    evidence: Evidence
    parity: ParityReport
    seconds: Mapping[str, float]
    tries: tuple[Try, ...] = ()
    shares: Mapping[str, float] | None = None

    @property
    def report_path(self) -> Path:
        """Where the report stands."""
        return report_path(self.path)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an export came to.

    Attributes:
        target: the model file, made or not.
        folder: for temporary files, on the same disk.
        seconds: of each stage so far.
        parity: of the last file that was judged.
        tries: at a file of fewer bits.
        shares: which part of a run's time each part of the graph takes; None where that was not measured.
    """

    target: Path
    folder: Path
    seconds: Mapping[str, float]
    parity: ParityReport
    tries: tuple[Try, ...] = ()
    shares: Mapping[str, float] | None = None

    def publish(self, evidence: Evidence, candidate: Path) -> str:
        """Gives the file its name, then FILE.report.json, and returns the file's SHA-256.

        An earlier report is put aside first. Killed at any moment, this leaves the earlier pair, a file without a
        report, or the new pair: never a file beside the report of another one.

        Args:
            evidence: what travels in the file.
            candidate: the finished file, in `folder`.

        Raises:
            ExportError: the report cannot be written; the file has its name.
            OSError: the file cannot be given its name; the earlier pair is intact.
        """
        digest = hash_file(candidate)
        report, place = self._write_report(evidence, digest), report_path(self.target)
        earlier = self.folder / "earlier.report.json"
        with suppress(FileNotFoundError):
            place.rename(earlier)
        try:
            publish(candidate, self.target)
        except BaseException:
            if candidate.exists() and earlier.exists():
                earlier.rename(place)
            raise
        try:
            publish(report, place)
        except OSError as error:
            raise ExportError(
                f"{place}: cannot be written: {error.strerror or error}. {self.target} is whole and in its place."
            ) from error
        return digest

    def publish_failure(self) -> None:
        """Writes the FILE.report.json of an export that made no file."""
        publish(self._write_report(None, None), report_path(self.target))

    def _write_report(self, evidence: Evidence | None, digest: str | None) -> Path:
        path = self.folder / "report.json"
        text = report_json(self.target.name, digest, self.seconds, self.parity, evidence, self.tries, self.shares)
        path.write_text(text, encoding="utf-8")
        return path

    def parity_error(self) -> ParityError:
        """Returns the error for a file that does not answer like its source, once its report is written."""
        return ParityError(
            f"no file written: it does not answer like the model: {self.parity.summary()}; {self._report()}",
            self.parity,
        )

    def misfit_error(self, config: QuantizationConfig) -> ParityError | BudgetError:
        """Returns the error for tries of which none fits, once their report is written.

        Where the last one keeps the budget of the metric and yet answers otherwise than the model, as on data whose
        labels are at chance, it is the comparison that failed and no budget.
        """
        if not self.tries[-1].accurate and self.parity.gates[-1].passed:
            return self.parity_error()
        return self._budget_error(config)

    def _budget_error(self, config: QuantizationConfig) -> BudgetError:
        last, best = self.tries[-1], min(self.tries, key=lambda one: one.drop)
        if not last.accurate:
            missed = f"--max-drop {config.max_drop:g} is not met, the closest of {len(self.tries)}: {best.describe()}"
        elif last.fast is False:
            missed = f"--min-speedup {config.min_speedup:g} is not met: {last.describe()}"
        else:
            missed = f"--strict: the 95 % bound on the drop is {last.bound:.4f}, --max-drop {config.max_drop:g}"
        return BudgetError(f"no file written: {missed}. {_way_out(config, last)}; {self._report()}", self.tries)

    def _report(self) -> str:
        try:
            self.publish_failure()
        except OSError as error:
            return f"its report could not be written either: {error.strerror or error}"
        return f"see {report_path(self.target)}"


def report_json(
    file: str,
    file_sha256: str | None,
    seconds: Mapping[str, float],
    parity: ParityReport,
    evidence: Evidence | None,
    tries: Sequence[Try] = (),
    shares: Mapping[str, float] | None = None,
) -> str:
    """Returns the text of FILE.report.json.

    Args:
        file: the model file's name.
        file_sha256: of the whole file, which binds the report to it; None where there is no file.
        seconds: of each stage so far.
        parity: as measured.
        evidence: what travels in the file; None where a check failed, so that there is no file.
        tries: at a file of fewer bits, in their order.
        shares: which part of a run's time each part of the graph takes; None for nothing.
    """
    tree = {
        "file": file,
        "file_sha256": file_sha256,
        "passed": evidence is not None,
        "parity": parity.to_dict(),
        "tries": [asdict(one) for one in tries],
        "golden_samples": None if evidence is None else len(evidence.golden),
        "evidence": None if evidence is None else asdict(evidence),
        "shares": shares if shares is None else dict(shares),
        "seconds": {stage: round(duration, 3) for stage, duration in seconds.items()},
        "machine": _machine(),
        "versions": versions(),
    }
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """Returns the installed versions of everything that took part, by package name."""
    found = {"onnxruntime": str(onnxruntime.__version__)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def rounded(parity: Parity) -> Parity:
    """Returns the numbers for the evidence: differences rounded up to two digits; counts and metrics stay exact."""
    measured: dict[str, Any] = {
        name: round_up(value) for name, value in asdict(parity.decoded).items() if name.startswith("max_")
    }
    tensors = tuple(
        replace(tensor, max_abs=round_up(tensor.max_abs), max_relative=round_up(tensor.max_relative))
        for tensor in parity.tensors
    )
    decoded = replace(parity.decoded, **measured)
    if isinstance(decoded, SegmentationParity) and (seam := decoded.seam) is not None:
        rounded_seam = replace(seam, max_pixels_difference=round_up(seam.max_pixels_difference))
        decoded = replace(decoded, seam=rounded_seam)
    return replace(parity, tensors=tensors, decoded=decoded)


def rounded_gate(gate: Gate) -> Gate:
    """Returns the gate for the evidence, its value and bound rounded up to two digits."""
    rounded_value, bound = (None if number is None else round_up(number) for number in (gate.value, gate.bound))
    return replace(gate, value=rounded_value, bound=bound)


def round_up(value: float) -> float:
    """Returns the next number up with two significant digits.

    Example:
        >>> round_up(1.234e-7), round_up(0.5), round_up(0.0), round_up(-0.0123)
        (1.3e-07, 0.5, 0.0, -0.012)
    """
    return float(_ROUND_UP.create_decimal(repr(value)))


def _machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "cpu": cpu_name(),
        "cpu_family": cpu_family(),
        "system": f"{platform.system()}-{platform.release()}-{platform.machine()}",
        "python": sys.version.split()[0],
    }


def _way_out(config: QuantizationConfig, last: Try) -> str:
    if last.accurate and last.fast is not False:
        return "Give more test images, or leave --strict out"
    return "Try --quantize fp16, or a larger budget" if config.precision == "int8" else "Export with --quantize none"
