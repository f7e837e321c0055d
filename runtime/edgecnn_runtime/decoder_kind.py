"""What a manifest declares of a graph's outputs, and what every kind of decoder says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from edgecnn_runtime.decoders import KeptPicture
    from edgecnn_runtime.map_decoders import Tiling

Shape = tuple[int | None, ...]
TaskName = Literal["classification", "localization", "detection", "segmentation", "question"]
Reads = Literal["logits", "distances", "scores", "numbers"]  # numbers are no class scores, whatever they are
Takes = Literal["softmax", "sigmoid", "nothing"]  # of one unit, a softmax scores one class; the others tell two apart
Suppresses = Literal["nowhere", "runtime", "graph"]  # of boxes that overlap a better one: where they are dropped


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """A declared raw output of the graph, float32.

    Attributes:
        name: named by meaning, for example "logits".
        shape: without the batch axis; None where a size follows the input's.
    """

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Kind:
    """What every kind says of itself.

    Attributes:
        task: that it belongs to.
        reads: what the output holds that is scored by class, or else numbers.
        takes: what is taken of it.
        least_units: how many it must have.
        too_few: what fewer would mean, and what to write then; follows the number in a message.
        suppresses: where boxes drop each other. In the graph a little rounding makes and unmakes whole rows.
        least_tolerance: how far rounding alone may move a number of a result that a golden sample holds, so that no
            file asks for less.
        asks: whether a question is asked of each image, which is an input of the network beside it.
    """

    task: ClassVar[TaskName]
    reads: ClassVar[Reads]
    takes: ClassVar[Takes]
    least_units: ClassVar[int]
    too_few: ClassVar[str] = "."
    suppresses: ClassVar[Suppresses] = "nowhere"
    least_tolerance: ClassVar[float] = 0.0
    asks: ClassVar[bool] = False

    def num_classes(self, units: int) -> int:
        """Returns how many classes an output of so many units scores: one a unit, two where one tells two apart."""
        apart = self.takes != "softmax" and self.reads != "numbers"
        return 2 if units == 1 and apart else units

    def misfit(self, outputs: Mapping[str, Shape], image_size: Shape, *, multiple_of: int | None = None) -> str | None:
        """Returns what is wrong with a manifest beside the units of the output, or None.

        Args:
            outputs: the shapes of the outputs by name, without the batch axis.
            image_size: (height, width) of the network's input in pixels; None where it is free.
            multiple_of: what a free height or width is a multiple of; None where both are fixed.
        """
        del outputs, image_size, multiple_of
        return None

    def cut_into(self) -> "Tiling | None":
        """Returns the tiles that a picture is cut into, or None where the graph takes it whole."""
        return None

    def beside(self) -> Literal["text", "proposals"] | None:
        """Returns the kind of the input that the network takes beside the image, or None where it takes none."""
        return "text" if self.asks else None

    def ranks(self) -> bool:
        """Returns whether the graph picks by rank what its rows are of, so that a little rounding changes the order."""
        return False

    def keeps(self) -> "KeptPicture | None":
        """Returns what a graph takes again of a picture that it has seen, or None where it sees each one anew."""
        return None

    def settings(self) -> Mapping[str, tuple[float, ...]]:
        """Returns what a graph takes of this decoder besides the image: vectors of float32 by the input's name."""
        return {}
