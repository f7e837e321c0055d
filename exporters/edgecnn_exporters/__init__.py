"""Convert a Keras CNN to one self-describing ONNX file, proven equal to its source.

Example::

    from edgecnn_exporters import export

    report = export(model, manifest, "digits.onnx", reference=reference)
    print(report.evidence.parity)
"""

from edgecnn_exporters.errors import (
    BudgetError,
    CalibrationError,
    ExportError,
    ParityError,
    QuantizationError,
    UnsupportedOpError,
    WeightsError,
)
from edgecnn_exporters.export import export
from edgecnn_exporters.proof.compare import compare
from edgecnn_exporters.proof.metric import Metric
from edgecnn_exporters.proof.parity_report import ParityReport
from edgecnn_exporters.proof.source import Source
from edgecnn_exporters.quantization.calibration import CalibrationImages
from edgecnn_exporters.quantization.config import QuantizationConfig
from edgecnn_exporters.quantization.tries import Try
from edgecnn_exporters.report import ExportReport
from edgecnn_runtime.report_file import report_path

__all__ = [
    "BudgetError",
    "CalibrationError",
    "CalibrationImages",
    "ExportError",
    "ExportReport",
    "Metric",
    "ParityError",
    "ParityReport",
    "QuantizationConfig",
    "QuantizationError",
    "Source",
    "Try",
    "UnsupportedOpError",
    "WeightsError",
    "compare",
    "export",
    "report_path",
]
