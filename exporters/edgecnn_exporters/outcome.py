"""How an export ends: with a report, and either a file or an error that says why there is none."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgecnn_exporters.errors import BudgetError, ExportError, ParityError
from edgecnn_exporters.proof.compare import ParityReport
from edgecnn_exporters.quantization.config import QuantizationConfig
from edgecnn_exporters.quantization.search import Try
from edgecnn_exporters.report import report_json
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.report_file import hash_file, report_path
from edgecnn_runtime.whole_files import publish


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an export came to.

    Attributes:
        target: the model file, made or not.
        folder: for temporary files, on the same disk.
        seconds: of each stage so far.
        parity: of the last file that was judged.
        tries: at a file of fewer bits.
    """

    target: Path
    folder: Path
    seconds: Mapping[str, float]
    parity: ParityReport
    tries: tuple[Try, ...] = ()

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
        text = report_json(self.target.name, digest, self.seconds, self.parity, evidence, self.tries)
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


def _way_out(config: QuantizationConfig, last: Try) -> str:
    if last.accurate and last.fast is not False:
        return "Give more test images, or leave --strict out"
    return "Try --quantize fp16, or a larger budget" if config.precision == "int8" else "Export with --quantize none"
