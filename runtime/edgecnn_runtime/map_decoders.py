"""The kind of decoder that gives every pixel a class: plain data, as all of `edgecnn_runtime.decoders`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from edgecnn_runtime.decoder_kind import Kind, Reads, Shape, Takes, TaskName

MOST_CLASSES = 255  # a class map holds bytes, and 255 in a mask means that nothing is said of a pixel
CELLS = 4  # rows and columns of an image, in each of which a golden sample holds the shares of the classes
SETTLED_OTHERWISE = 0.001  # the part of an image's pixels that rounding alone may turn: those between two classes
_LARGEST_TILE = 4096  # pixels; the smallest picture is reflected up to a whole one
_LEAST_MOVE = 8  # a tile is moved on by this part of its size at least, so that a file cannot ask for endless runs


def largest_overlap(size: int, step: int) -> int:
    """Returns how many pixels tiles may have in common, which move on by some `step` and by an eighth at least."""
    return (size - max(step, size // _LEAST_MOVE)) // step * step


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a picture goes through the network part by part, and at its own size: see `edgecnn_runtime.tiles`.

    Attributes:
        size: pixels of the network's input that a tile is wide and high.
        overlap: pixels that a tile has in common with the one beside it, at least; above 0, at most 7/8 of the size,
            and less than it by what the network's sizes are multiples of.
    """

    size: int
    overlap: int

    def misfit(self, image_size: Shape, multiple_of: int | None) -> str | None:
        """Returns what is wrong with the tiles beside an input, or None; what it takes is as for `Kind.misfit`."""
        if not 2 <= self.size <= _LARGEST_TILE:
            return f"tiles: expected a size from 2 to {_LARGEST_TILE}, received {self.size}"
        if any(side not in (None, self.size) for side in image_size):
            return (
                f"tiles: expected the size of the network's input, {image_size[0]} x {image_size[1]}, received "
                f"{self.size} x {self.size}"
            )
        step = multiple_of or 1
        if self.size % step:
            return f"tiles: expected a size that {multiple_of}, multiple_of, divides, received {self.size}"
        most = largest_overlap(self.size, step)
        if most < 1:
            return f"tiles: expected a size of {2 * step} or more, twice multiple_of, received {self.size}"
        if not 0 < self.overlap <= most:
            return f"tiles: expected an overlap from 1 to {most} for a size of {self.size}, received {self.overlap}"
        return None


@dataclass(frozen=True, slots=True)
class EveryPixel(Kind):
    """What the kinds share that give every pixel a class; each says it in its own words too."""

    task: ClassVar[TaskName] = "segmentation"
    least_units: ClassVar[int] = 2
    too_few: ClassVar[str] = ", by which every pixel would be of the same class. Write one a class, the background too."
    least_tolerance: ClassVar[float] = CELLS**2 * SETTLED_OTHERWISE  # if they all lie in one cell
    output: str = "logits"
    tiles: Tiling | None = None

    def cut_into(self) -> Tiling | None:
        """Returns the tiles that a picture is cut into; as for every kind."""
        return self.tiles

    def misfit(self, outputs: Mapping[str, Shape], image_size: Shape, *, multiple_of: int | None = None) -> str | None:
        """Returns what is wrong with the output's shape or the tiles; as for every kind."""
        if self.output not in outputs:
            return f"the decoder reads output {self.output!r}, but the outputs are {list(outputs)}"
        shape = outputs[self.output]
        if len(shape) != 3 or shape[:2] != tuple(image_size):
            return (
                f"output {self.output!r}: expected shape ({image_size[0]}, {image_size[1]}, classes), the input's "
                f"height and width, received {shape}"
            )
        if (shape[2] or 0) > MOST_CLASSES:
            return f"output {self.output!r}: expected at most {MOST_CLASSES} classes, received {shape[2]}"
        if self.tiles is None:
            return None
        if len(outputs) > 1:
            return f"tiles: expected output {self.output!r} alone, received the outputs {list(outputs)}"
        return self.tiles.misfit(image_size, multiple_of)


@dataclass(frozen=True, slots=True)
class ClassMapDecoder(EveryPixel):
    """Every pixel is of the class whose logit is the largest there; of equal ones, the lowest class id.

    The logits are brought to the displayed image's size first.

    Attributes:
        output: the name of the graph output that holds the logits, shape (N, height, width, classes), the input's
            height and width.
        tiles: how a picture is cut into tiles, each of which is a run; it keeps its own size then, whatever the input's
            `resize` says. null where the graph takes it whole.
        kind: always "class_map".
    """

    reads: ClassVar[Reads] = "logits"
    takes: ClassVar[Takes] = "softmax"
    kind: Literal["class_map"] = "class_map"


@dataclass(frozen=True, slots=True)
class ScoreMapDecoder(EveryPixel):
    """The same of a graph that ends in softmax or sigmoid itself: every pixel is of the class of the largest score.

    Attributes:
        output: the name of the graph output that holds the scores, each 0 to 1, of the shape of class_map's logits.
        tiles: as for class_map.
        kind: always "score_map".
    """

    reads: ClassVar[Reads] = "scores"
    takes: ClassVar[Takes] = "nothing"
    output: str = "probabilities"
    kind: Literal["score_map"] = "score_map"
