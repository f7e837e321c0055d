"""What is written about an export: the evidence inside the file, and FILE.report.json beside it.

The evidence holds nothing that differs between two exports of one model: no time, no host, and differences rounded up
to two digits. The report holds all of that.
"""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_CEILING, Context
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgecnn_exporters.proof.compare import ParityReport
from edgecnn_exporters.quantization.search import Try
from edgecnn_runtime.evidence import Evidence, Gate, Parity
from edgecnn_runtime.machine import cpu_family, cpu_name
from edgecnn_runtime.providers import onnxruntime
from edgecnn_runtime.report_file import report_path

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
    """

    path: Path
    size_bytes: int
    sha256: str
    evidence: Evidence
    parity: ParityReport
    seconds: Mapping[str, float]
    tries: tuple[Try, ...] = ()

    @property
    def report_path(self) -> Path:
        """Where the report stands."""
        return report_path(self.path)


def report_json(
    file: str,
    file_sha256: str | None,
    seconds: Mapping[str, float],
    parity: ParityReport,
    evidence: Evidence | None,
    tries: Sequence[Try] = (),
) -> str:
    """Returns the text of FILE.report.json.

    Args:
        file: the model file's name.
        file_sha256: of the whole file, which binds the report to it; None where there is no file.
        seconds: of each stage so far.
        parity: as measured.
        evidence: what travels in the file; None where a check failed, so that there is no file.
        tries: at a file of fewer bits, in their order.
    """
    tree = {
        "file": file,
        "file_sha256": file_sha256,
        "passed": evidence is not None,
        "parity": parity.to_dict(),
        "tries": [asdict(one) for one in tries],
        "golden_samples": None if evidence is None else len(evidence.golden),
        "evidence": None if evidence is None else asdict(evidence),
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
    decoded, difference = parity.decoded, round_up(parity.decoded.max_score_difference)
    tensors = tuple(
        replace(tensor, max_abs=round_up(tensor.max_abs), max_relative=round_up(tensor.max_relative))
        for tensor in parity.tensors
    )
    return replace(parity, tensors=tensors, decoded=replace(decoded, max_score_difference=difference))


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
