"""Convert a Keras CNN to one self-describing ONNX file, proven equal to its source.

Example::

    from edgecnn_exporters import export

    report = export(model, manifest, "digits.onnx", reference=reference)
    print(report.evidence.parity)
"""

from edgecnn_exporters.errors import ExportError, ParityError, UnsupportedOpError, WeightsError
from edgecnn_exporters.export import export
from edgecnn_exporters.metric import Accuracy, Metric
from edgecnn_exporters.parity import ParityReport, compare
from edgecnn_exporters.report import ExportReport, report_path

__all__ = [
    "Accuracy",
    "ExportError",
    "ExportReport",
    "Metric",
    "ParityError",
    "ParityReport",
    "UnsupportedOpError",
    "WeightsError",
    "compare",
    "export",
    "report_path",
]
