"""How raw outputs become results, as the manifest says it: plain data, one dataclass a kind.

What is computed stands in the task's own file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, get_args

from edgecnn_runtime.box_decoders import MOST_BOXES as MOST_BOXES  # these are part of this module's interface
from edgecnn_runtime.box_decoders import OperatingPoint as OperatingPoint
from edgecnn_runtime.box_decoders import RegionsDecoder as RegionsDecoder
from edgecnn_runtime.box_decoders import SuppressedDecoder as SuppressedDecoder
from edgecnn_runtime.box_decoders import YoloDecoder as YoloDecoder
from edgecnn_runtime.box_decoders import YoloScale as YoloScale
from edgecnn_runtime.decoder_kind import Kind, Reads, Takes
from edgecnn_runtime.decoder_kind import OutputSpec as OutputSpec
from edgecnn_runtime.decoder_kind import Shape as Shape
from edgecnn_runtime.decoder_kind import TaskName as TaskName
from edgecnn_runtime.map_decoders import MOST_CLASSES as MOST_CLASSES
from edgecnn_runtime.map_decoders import ClassMapDecoder as ClassMapDecoder
from edgecnn_runtime.map_decoders import EveryPixel as EveryPixel
from edgecnn_runtime.map_decoders import ScoreMapDecoder as ScoreMapDecoder
from edgecnn_runtime.map_decoders import Tiling as Tiling

_MOST_KEPT = 1 << 20  # numbers of a picture
_ONE_SOFTMAX = (
    ', whose softmax is 1.0 for every image. Write "kind": "sigmoid" for one raw output that tells two classes apart, '
    '"probabilities" where the model ends in a sigmoid.'
)


@dataclass(frozen=True, slots=True)
class SoftmaxDecoder(Kind):
    """Class scores are the softmax of the raw outputs.

    Attributes:
        output: the name of the graph output that holds the logits, shape (N, classes).
        kind: always "softmax".
    """

    task: ClassVar[TaskName] = "classification"
    reads: ClassVar[Reads] = "logits"
    takes: ClassVar[Takes] = "softmax"
    least_units: ClassVar[int] = 2
    too_few: ClassVar[str] = _ONE_SOFTMAX
    output: str = "logits"
    kind: Literal["softmax"] = "softmax"


@dataclass(frozen=True, slots=True)
class DistanceDecoder(Kind):
    """Class scores are the softmax of the negative distances: the nearest prototype has the highest score.

    Attributes:
        output: the name of the graph output that holds the distances, shape (N, classes), at least 0.
        kind: always "distance".
    """

    task: ClassVar[TaskName] = "classification"
    reads: ClassVar[Reads] = "distances"
    takes: ClassVar[Takes] = "softmax"
    least_units: ClassVar[int] = 2
    too_few: ClassVar[str] = _ONE_SOFTMAX
    output: str = "distances"
    kind: Literal["distance"] = "distance"


@dataclass(frozen=True, slots=True)
class SigmoidDecoder(Kind):
    """Class scores are the sigmoid of the raw outputs, each for itself, so that several classes may be true at once.

    One unit tells two classes apart: with p its sigmoid, class 0 has the score 1 - p and class 1 the score p.

    Attributes:
        output: the name of the graph output that holds the logits, shape (N, units).
        kind: always "sigmoid".
    """

    task: ClassVar[TaskName] = "classification"
    reads: ClassVar[Reads] = "logits"
    takes: ClassVar[Takes] = "sigmoid"
    least_units: ClassVar[int] = 1
    output: str = "logits"
    kind: Literal["sigmoid"] = "sigmoid"


@dataclass(frozen=True, slots=True)
class ProbabilitiesDecoder(Kind):
    """The outputs are class scores already and are taken as they are: the graph itself ends in softmax or sigmoid.

    One unit tells two classes apart: with p its output, class 0 has the score 1 - p and class 1 the score p.

    Attributes:
        output: the name of the graph output that holds the scores, shape (N, units), each 0 to 1.
        kind: always "probabilities".
    """

    task: ClassVar[TaskName] = "classification"
    reads: ClassVar[Reads] = "scores"
    takes: ClassVar[Takes] = "nothing"
    least_units: ClassVar[int] = 1
    output: str = "probabilities"
    kind: Literal["probabilities"] = "probabilities"


@dataclass(frozen=True, slots=True)
class LocationDecoder(Kind):
    """Class scores are the softmax of the logits, and beside them stands one box.

    The box is centre x, centre y, the square root of the width and that of the height, each 0 to 1 of the network's
    input; what is beyond is taken as 0 or 1. With one class, its score is always 1.

    Attributes:
        output: the name of the graph output that holds the logits, shape (N, classes).
        boxes: the name of the graph output that holds the boxes, shape (N, 4).
        kind: always "location".
    """

    task: ClassVar[TaskName] = "localization"
    reads: ClassVar[Reads] = "logits"
    takes: ClassVar[Takes] = "softmax"
    least_units: ClassVar[int] = 1
    output: str = "logits"
    boxes: str = "boxes"
    kind: Literal["location"] = "location"

    def misfit(self, outputs: Mapping[str, Shape], image_size: Shape, *, multiple_of: int | None = None) -> str | None:
        """Returns what is wrong with the boxes or with the input's size; as for every kind."""
        del multiple_of
        if self.boxes not in outputs:
            return f"the decoder reads output {self.boxes!r}, but the outputs are {list(outputs)}"
        if outputs[self.boxes] != (4,):
            return f"output {self.boxes!r}: expected shape (4,), one box an image, received {outputs[self.boxes]}"
        if None in image_size:
            return (
                f"expected a fixed height and width, which the boxes of decoder {self.kind!r} are parts of, received "
                f"{image_size[0]} x {image_size[1]}"
            )
        return None


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """What is kept of a picture between two questions, so that only the question's part of the graph runs again.

    The graph has two inputs with a default besides: `KNOWN`, 1 where the picture is known and 0 where it is not, and
    `PICTURE`, what it was known as.

    Attributes:
        output: the name of the graph output that holds what the picture came to, shape (1, size).
        size: how many numbers that are.
    """

    KNOWN: ClassVar[str] = "picture_is_known"
    PICTURE: ClassVar[str] = "known_picture"
    output: str
    size: int


@dataclass(frozen=True, slots=True)
class AnswerDecoder(Kind):
    """The scores of the answers to a question about the image are the softmax of the raw outputs.

    Attributes:
        output: the name of the graph output that holds the logits, shape (N, answers).
        kept: what the graph takes again of a picture that it has seen; null where it sees each one anew.
        kind: always "answer".
    """

    task: ClassVar[TaskName] = "question"
    reads: ClassVar[Reads] = "logits"
    takes: ClassVar[Takes] = "softmax"
    least_units: ClassVar[int] = 2
    too_few: ClassVar[str] = ", by which every question would have the same answer. Write one unit an answer."
    asks: ClassVar[bool] = True
    output: str = "logits"
    kept: KeptPicture | None = None
    kind: Literal["answer"] = "answer"

    def keeps(self) -> KeptPicture | None:
        """Returns what is kept of a picture; as for every kind."""
        return self.kept

    def settings(self) -> Mapping[str, tuple[float, ...]]:
        """Returns what says that no picture is known; as for every kind."""
        return {} if self.kept is None else {KeptPicture.KNOWN: (0.0,), KeptPicture.PICTURE: (0.0,) * self.kept.size}

    def misfit(self, outputs: Mapping[str, Shape], image_size: Shape, *, multiple_of: int | None = None) -> str | None:
        """Returns what is wrong with what is kept, or None; as for every kind."""
        del image_size, multiple_of
        if self.kept is None:
            return None
        if self.kept.output == self.output or self.kept.output not in outputs:
            return f"kept: expected an output beside {self.output!r}, received {self.kept.output!r} of {list(outputs)}"
        if not 1 <= self.kept.size <= _MOST_KEPT or outputs[self.kept.output] != (self.kept.size,):
            return (
                f"kept: output {self.kept.output!r}: expected shape (size,) of 1 to {_MOST_KEPT} numbers, received "
                f"{outputs[self.kept.output]} and size {self.kept.size}"
            )
        return None


Decoder = (
    SoftmaxDecoder
    | DistanceDecoder
    | SigmoidDecoder
    | ProbabilitiesDecoder
    | LocationDecoder
    | YoloDecoder
    | RegionsDecoder
    | SuppressedDecoder
    | ClassMapDecoder
    | ScoreMapDecoder
    | AnswerDecoder
)


def kinds_beside(decoder: Decoder) -> frozenset[str]:
    """Returns the kinds of the decoders of the same task, its own among them: what a manifest could say instead."""
    beside = [other for other in get_args(Decoder) if other.task == decoder.task]
    return frozenset(str(field.default) for other in beside for field in fields(other) if field.name == "kind")
