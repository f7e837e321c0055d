"""The exporters' branch of the error tree; each class carries the exit code that the command line ends with.

::

    EdgeCNNError                1  (edgecnn_runtime.errors)
    `-- ExportError             1  the file cannot be made or written; an earlier one is intact
        |-- UnsupportedOpError  1  a layer or operator has no counterpart among ONNX's standard operators
        |-- CalibrationError    1  the calibration images are too few, or there is nothing on them
        |-- QuantizationError   1  the graph cannot be written in the asked precision
        |-- BudgetError         5  no try keeps the accuracy and speed budgets
        |-- WeightsError        4  a weight is NaN or infinite
        `-- ParityError         4  the file does not answer like its source
"""

from typing import TYPE_CHECKING

from edgecnn_runtime.errors import EdgeCNNError

if TYPE_CHECKING:
    from edgecnn_exporters.proof.parity_report import ParityReport
    from edgecnn_exporters.quantization.tries import Try


class ExportError(EdgeCNNError):
    """The file cannot be made or written; whatever stood under its name before is intact."""

    kind = "export"


class UnsupportedOpError(ExportError):
    """A layer or operator has no counterpart among ONNX's standard operators, or needs control flow."""

    kind = "unsupported_op"


class CalibrationError(ExportError):
    """The calibration images are too few, or there is nothing on them."""

    kind = "calibration"


class QuantizationError(ExportError):
    """The graph cannot be written in the asked precision, or the source is quantized already."""

    kind = "quantization"


class BudgetError(ExportError):
    """No try keeps the budgets, so no file was given its name.

    Attributes:
        tries: every try, in their order.
    """

    exit_code = 5
    kind = "budget"

    def __init__(self, message: str, tries: "tuple[Try, ...]") -> None:
        super().__init__(message)
        self.tries = tries


class WeightsError(ExportError):
    """A weight of the source is NaN or infinite; raised before anything is written."""

    exit_code = 4
    kind = "weights"


class ParityError(ExportError):
    """The file does not answer like its source, so it was not given its name.

    Attributes:
        report: what was compared and how far apart the answers are.
    """

    exit_code = 4
    kind = "parity"

    def __init__(self, message: str, report: "ParityReport") -> None:
        super().__init__(message)
        self.report = report
