"""How an export ends: with a report, and either a file or an error that says why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgecnn_exporters.errors import BudgetError, ParityError
from edgecnn_exporters.files import publish
from edgecnn_exporters.parity import ParityReport
from edgecnn_exporters.quantization_config import QuantizationConfig
from edgecnn_exporters.report import report_json, report_path
from edgecnn_exporters.search import Try
from edgecnn_runtime.evidence import Evidence


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

    def publish_report(self, evidence: Evidence | None) -> None:
        """Writes FILE.report.json.

        Args:
            evidence: what travels in the file; None where there is no file.
        """
        temporary = self.folder / "report.json"
        text = report_json(self.target.name, self.seconds, self.parity, evidence, self.tries)
        temporary.write_text(text, encoding="utf-8")
        publish(temporary, report_path(self.target))

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
            self.publish_report(None)
        except OSError as error:
            return f"its report could not be written either: {error.strerror or error}"
        return f"see {report_path(self.target)}"


def _way_out(config: QuantizationConfig, last: Try) -> str:
    if last.accurate and last.fast is not False:
        return "Give more test images, or leave --strict out"
    return "Try --quantize fp16, or a larger budget" if config.precision == "int8" else "Export with --quantize none"
