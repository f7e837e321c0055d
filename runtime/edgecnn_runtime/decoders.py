"""How raw outputs become results, as the manifest says it: plain data, one dataclass a kind.

A kind belongs to one task, and says what the output with the class scores holds and how many units that must have. What
is computed stands in the task's own file.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

TaskName = Literal["classification"]
Reads = Literal["logits", "distances", "scores"]


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
    least_units: ClassVar[int] = 1
    output: str = "probabilities"
    kind: Literal["probabilities"] = "probabilities"


Decoder = SoftmaxDecoder | DistanceDecoder | SigmoidDecoder | ProbabilitiesDecoder
