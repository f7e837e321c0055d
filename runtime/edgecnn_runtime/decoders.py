"""How raw outputs become results, as the manifest says it: plain data, one dataclass a kind.

A kind belongs to one task, and says what the output with the class scores holds, what is taken of it, and how many
units it must have. What is computed stands in the task's own file.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

TaskName = Literal["classification", "localization"]
Reads = Literal["logits", "distances", "scores"]
Takes = Literal["softmax", "sigmoid", "nothing"]  # of one unit, a softmax scores one class; the others tell two apart


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """A declared raw output of the graph, float32.

    Attributes:
        name: named by meaning, for example "logits".
        shape: without the batch axis; None where a size follows the input's.
    """

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class SoftmaxDecoder:
    """Class scores are the softmax of the raw outputs.

    Attributes:
        output: the name of the graph output that holds the logits, shape (N, classes).
        kind: always "softmax".
    """

    task: ClassVar[TaskName] = "classification"
    reads: ClassVar[Reads] = "logits"
    takes: ClassVar[Takes] = "softmax"
    least_units: ClassVar[int] = 2
    output: str = "logits"
    kind: Literal["softmax"] = "softmax"


@dataclass(frozen=True, slots=True)
class DistanceDecoder:
    """Class scores are the softmax of the negative distances: the nearest prototype has the highest score.

    Attributes:
        output: the name of the graph output that holds the distances, shape (N, classes), at least 0.
        kind: always "distance".
    """

    task: ClassVar[TaskName] = "classification"
    reads: ClassVar[Reads] = "distances"
    takes: ClassVar[Takes] = "softmax"
    least_units: ClassVar[int] = 2
    output: str = "distances"
    kind: Literal["distance"] = "distance"


@dataclass(frozen=True, slots=True)
class SigmoidDecoder:
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
class ProbabilitiesDecoder:
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
class LocationDecoder:
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


Decoder = SoftmaxDecoder | DistanceDecoder | SigmoidDecoder | ProbabilitiesDecoder | LocationDecoder


def kinds_beside(decoder: Decoder) -> frozenset[str]:
    """Returns the kinds of the decoders of the same task, its own among them: what a manifest could say instead."""
    return frozenset(other.kind for other in get_args(Decoder) if other.task == decoder.task)
