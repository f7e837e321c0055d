"""Run one self-describing edgecnn ONNX file on CPU or CUDA with numpy, Pillow and ONNX Runtime.

Example::

    from edgecnn_runtime import Predictor

    predictor = Predictor.load("digits.onnx", device="cpu")
    print(predictor.predict("seven.png").top(3))
"""

from edgecnn_runtime.errors import (
    EdgeCNNError,
    ImageError,
    ImageTypeError,
    ManifestError,
    ModelFileError,
    OutputError,
    PlainInputError,
    ProposalsError,
    ProviderError,
    QuestionError,
    ResourceError,
    SessionError,
    VerificationError,
)
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Model
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.preprocessing import Placement, Preprocessor
from edgecnn_runtime.results import Failure, Result, Speed
from edgecnn_runtime.session import Session
from edgecnn_runtime.tasks.classification import Classification
from edgecnn_runtime.tasks.scores import Score

__all__ = [
    "Batch",
    "Classification",
    "EdgeCNNError",
    "Evidence",
    "Failure",
    "ImageError",
    "ImageTypeError",
    "Manifest",
    "ManifestError",
    "Model",
    "ModelFileError",
    "OutputError",
    "Placement",
    "PlainInputError",
    "Predictor",
    "Preprocessor",
    "ProposalsError",
    "ProviderError",
    "QuestionError",
    "ResourceError",
    "Result",
    "Score",
    "Session",
    "SessionError",
    "Speed",
    "VerificationError",
]
