"""The evidence: what was proven about a file when it was made, and the hash that ties the proof to its bytes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from edgecnn_runtime import strict_json
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.golden import MAX_BYTES, MAX_SAMPLES, GoldenSample
from edgecnn_runtime.golden import Precision as Precision  # part of this module's interface

SCHEMA_VERSION = 5
METADATA_KEY = "edgecnn.evidence"
LEAST_ONNXRUNTIME = "1.29.0"  # the lowest that is allowed and tested: docs/adr/0024
AMX_WEIGHTS = "amx_weights"  # among the rewrites: weights laid out for x86 with AMX


@dataclass(frozen=True, slots=True)
class TensorParity:
    """Level 1: the largest difference on one raw output, over all images.

    Attributes:
        output: the output's name.
        max_abs: max |candidate - reference|, in the output's own unit.
        max_relative: max_abs / max |reference|.
    """

    output: str
    max_abs: float
    max_relative: float


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """What the records of level 2 share.

    Attributes:
        unit: what is counted, for people: `images` may be questions about images, each with its answer.
    """

    unit: ClassVar[str] = "images"


@dataclass(frozen=True, slots=True)
class ScoresParity(DecodedRecord):
    """Level 2 of a task whose results are class scores.

    Attributes:
        images: how many images were compared.
        top1_agreement: the part of them on which both put the same class first, 0 to 1.
        max_score_difference: the largest difference between two scores of one class.
        kind: always "scores".
    """

    images: int
    top1_agreement: float
    max_score_difference: float
    kind: Literal["scores"] = "scores"

    @property
    def agreement(self) -> float:
        """The part of the images on which both put the same answer first, 0 to 1."""
        return self.top1_agreement

    def summary(self) -> str:
        """Returns the agreement in a few words."""
        return f"top-1 agreement {self.top1_agreement:.4f} on {self.images} {self.unit}"


@dataclass(frozen=True, slots=True)
class AnswersParity(ScoresParity):
    """Level 2 of a task whose results are scores of answers to questions about images.

    Attributes:
        images: how many questions were compared; an image counts once for each question about it.
        top1_agreement: as for `ScoresParity`.
        max_score_difference: likewise.
        kind: always "answers".
    """

    unit: ClassVar[str] = "questions"
    kind: Literal["answers"] = "answers"  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class LocationParity(DecodedRecord):
    """Level 2 of a task whose results are class scores and one box.

    Attributes:
        images: how many images were compared.
        top1_agreement: the part of them on which both put the same class first, 0 to 1.
        max_score_difference: the largest difference between two scores of one class.
        least_iou: the least intersection over union of the two boxes of an image, as it is displayed, 0 to 1.
        kind: always "location".
    """

    images: int
    top1_agreement: float
    max_score_difference: float
    least_iou: float
    kind: Literal["location"] = "location"

    @property
    def agreement(self) -> float:
        """The part of the images on which both put the same answer first, 0 to 1."""
        return self.top1_agreement

    def summary(self) -> str:
        """Returns the agreement in a few words."""
        return f"top-1 agreement {self.top1_agreement:.4f}, least IoU {self.least_iou:.4f} on {self.images} images"


@dataclass(frozen=True, slots=True)
class DetectionParity(DecodedRecord):
    """Level 2 of a task whose results are any number of boxes with a class each.

    A box is clear where its score is so far above the least that is answered that rounding cannot move it below.

    Attributes:
        images: how many images were compared.
        agreement: the part of them on which every clear box of either side has a partner of its class on the other, 0
            to 1.
        max_score_difference: the largest difference between the scores of two partners.
        least_iou: the least intersection over union of two partners, as the image is displayed, 0 to 1.
        unmatched: the most clear boxes of an image that have no partner.
        compared: how many boxes were judged over all images, two partners as one; where it is 0, nothing is proven of
            how boxes are decoded.
        kind: always "detection".
    """

    images: int
    agreement: float
    max_score_difference: float
    least_iou: float
    unmatched: int
    compared: int
    kind: Literal["detection"] = "detection"

    def summary(self) -> str:
        """Returns the agreement in a few words."""
        if not self.compared:
            return f"no box to compare on {self.images} images: how boxes are decoded is not proven"
        return (
            f"the same boxes on {self.agreement:.4f} of {self.images} images, {self.compared} compared, least IoU "
            f"{self.least_iou:.4f}, at most {self.unmatched} of an image on one side alone"
        )


@dataclass(frozen=True, slots=True)
class SeamParity:
    """What it changes that pictures are cut into tiles, against the source's answers to the whole pictures.

    Attributes:
        pictures: how many were compared, each larger than a tile.
        height: of the largest, in pixels.
        width: likewise.
        max_pixels_difference: the largest part of a picture's pixels that are of another class, 0 to 1.
    """

    pictures: int
    height: int
    width: int
    max_pixels_difference: float


@dataclass(frozen=True, slots=True)
class SegmentationParity(DecodedRecord):
    """Level 2 of a task whose results are a class for each pixel.

    Attributes:
        images: how many images were compared.
        agreement: the part of them on which both put at least 99.9 % of the pixels in the same class, 0 to 1.
        max_pixels_difference: the largest part of an image's pixels that are of another class, as it is displayed, 0 to
            1.
        compared: how many class maps were judged.
        seam: where pictures are cut into tiles: what that changes; None where it was not measured.
        kind: always "segmentation".
    """

    images: int
    agreement: float
    max_pixels_difference: float
    compared: int
    seam: SeamParity | None = None
    kind: Literal["segmentation"] = "segmentation"

    def summary(self) -> str:
        """Returns the agreement in a few words."""
        seam = (
            ""
            if self.seam is None
            else (
                f"; in tiles {self.seam.max_pixels_difference:.4%} at most of the pixels of {self.seam.pictures} whole "
                f"pictures up to {self.seam.height} x {self.seam.width}"
            )
        )
        return (
            f"the same class map on {self.agreement:.4f} of {self.images} images, at most "
            f"{self.max_pixels_difference:.4%} of an image's pixels of another class{seam}"
        )


# level 2, one record a kind of result
DecodedParity = ScoresParity | LocationParity | DetectionParity | SegmentationParity | AnswersParity


@dataclass(frozen=True, slots=True)
class MetricParity:
    """Level 3: the task's metric of the source and of this file, over the same labelled images.

    Attributes:
        name: the metric, for example "accuracy".
        images: how many labelled images.
        source: the metric of the Keras model.
        file: the metric of this file.
    """

    name: str
    images: int
    source: float
    file: float


@dataclass(frozen=True, slots=True)
class Parity:
    """What was compared, at the three levels.

    Attributes:
        images_from: "synthetic" (seeded random images) or the fingerprint of the data.
        tensors: level 1, one entry an output.
        decoded: level 2.
        metric: level 3, or None where no labelled data was at hand.
    """

    images_from: str
    tensors: tuple[TensorParity, ...]
    decoded: DecodedParity
    metric: MetricParity | None


@dataclass(frozen=True, slots=True)
class Gate:
    """One check that stood between the file and its name.

    Attributes:
        name: for example "parity.tensors".
        budget: the limit.
        value: what was measured; None for a time, which differs from run to run: it stands in the report.
        passed: whether the value keeps the budget.
        bound: the one-sided 95 % bound on a value that was estimated from a sample; None where there is none.
        decided: False where the bound exceeds the budget: the sample is too small to be sure.
    """

    name: str
    budget: float
    value: float | None
    passed: bool
    bound: float | None = None
    decided: bool = True


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the ranges of the activations were found.

    Attributes:
        method: how the ranges were found: "trimmed", "minmax", "percentile" or "entropy".
        images: how many were looked at, of the train part.
        data_fingerprint: of the data that they are from; None where it is not known.
    """

    method: Literal["trimmed", "minmax", "percentile", "entropy"]
    images: int
    data_fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Quantization:
    """The recipe of a file that is not float32.

    Attributes:
        format: "QDQ" (QuantizeLinear and DequantizeLinear round each operator) or "float16".
        activation_type: ONNX's name, for example "uint8".
        weight_type: likewise, for example "int8".
        per_channel: whether each output channel's weights have a scale of their own.
        reduce_range: whether weights take 7 bits, for processors whose 8-bit products saturate.
        calibration: of the activations; None for float16.
        layers: how many convolutions and matrix products are of this precision.
        float_layers: the nodes of those that are not.
        rewrites: exact changes of the graph that were made first, by name.
    """

    format: Literal["QDQ", "float16"]
    activation_type: str
    weight_type: str
    per_channel: bool
    reduce_range: bool
    calibration: Calibration | None
    layers: int
    float_layers: tuple[str, ...]
    rewrites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a machine needs to run the file.

    Attributes:
        opset: of the default ONNX domain.
        ir_version: of the ONNX file.
        onnxruntime: the lowest version that the exporter was tested with.
        operators: sorted names of the operators in the graph.
    """

    opset: int
    ir_version: int
    onnxruntime: str
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the file came from.

    Attributes:
        weights_sha256: over names, shapes and values of the Keras model's variables.
        seed: of the training or of the random weights; None where it is not known.
        data_fingerprint: of the training data; None for a model that never saw any.
        versions: of edgecnn, Keras, TensorFlow, tf2onnx, onnx and ONNX Runtime.
    """

    weights_sha256: str
    seed: int | None
    data_fingerprint: str | None
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What travels in `metadata_props["edgecnn.evidence"]`; no time, no path, no host.

    Attributes:
        payload_sha256: over all bytes of the file before the metadata.
        precision: of the weights and activations: "float32", "float16" or "int8".
        parity: candidate against source.
        gates: every check and its verdict.
        requirements: to run it.
        provenance: of weights and data.
        cpu_family: of the machine on which the file was checked, for example "x86-64-avx512-vnni".
        golden: encoded images and what the file made of them there, so that any machine can compare; at most four.
        quantization: how the precision was reached; None for float32.

    Raises:
        ManifestError: there are more golden samples, or larger ones.
    """

    payload_sha256: str
    precision: Precision
    parity: Parity
    gates: tuple[Gate, ...]
    requirements: Requirements
    provenance: Provenance
    cpu_family: str
    golden: tuple[GoldenSample, ...]
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        if len(self.golden) > MAX_SAMPLES:
            raise ManifestError(f"evidence: expected at most {MAX_SAMPLES} golden samples, received {len(self.golden)}")
        if (size := sum(len(sample.image) for sample in self.golden)) > MAX_BYTES:
            raise ManifestError(f"evidence: expected golden samples of at most {MAX_BYTES} bytes, received {size}")

    def to_json(self) -> str:
        """Returns compact JSON with sorted keys; the same evidence always gives the same text."""
        return strict_json.dump(self, schema_version=SCHEMA_VERSION)

    @classmethod
    def from_json(cls, text: str) -> "Evidence":
        """Reads the text that `to_json` wrote.

        Raises:
            ManifestError: not JSON, another schema version, a missing or unknown key, a wrong type.
        """
        return strict_json.load(cls, text, schema_version=SCHEMA_VERSION, what="evidence")


def payload_sha256(payload: bytes | memoryview) -> str:
    """Returns the hex SHA-256 of a graph's bytes, those before the metadata."""
    return hashlib.sha256(payload).hexdigest()
