"""The exporters' branch of the error tree; each class carries the exit code that the command line ends with.

::

    EdgeCNNError                1  (edgecnn_runtime.errors)
    `-- ExportError             1  the file cannot be made or written; an earlier one is intact
        |-- UnsupportedOpError  1  a layer or operator has no counterpart among ONNX's standard operators
        |-- WeightsError        4  a weight is NaN or infinite
        `-- ParityError         4  the file does not answer like its source
"""

from typing import TYPE_CHECKING

from edgecnn_runtime.errors import EdgeCNNError

if TYPE_CHECKING:
    from edgecnn_exporters.parity import ParityReport


class ExportError(EdgeCNNError):
    """The file cannot be made or written; whatever stood under its name before is intact."""

    kind = "export"


class UnsupportedOpError(ExportError):
    """A layer or operator has no counterpart among ONNX's standard operators, or needs control flow."""

    kind = "unsupported_op"


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
