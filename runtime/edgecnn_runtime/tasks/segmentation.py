"""Segmentation: which class every pixel of an image is of.

No proof stands on these lines alone: an export compares their answers with those that the source gives by itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.decoders import MOST_CLASSES, EveryPixel, TaskName
from edgecnn_runtime.evidence import SegmentationParity
from edgecnn_runtime.golden import Held
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.map_decoders import CELLS, SETTLED_OTHERWISE
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result
from edgecnn_runtime.tasks.class_maps import class_map
from edgecnn_runtime.tasks.task import Agreement, Outputs, Regions, Task, read_output

if TYPE_CHECKING:
    from edgecnn_runtime.fonts import Typeface
    from edgecnn_runtime.tasks.outlines import Ring

SHOWN = MOST_CLASSES  # where nobody says how many: all that are there
_COUNTED = 1 << 20  # pixels; NumPy counts bytes as 64-bit integers
_TOLD = 5  # classes in a golden sample's words
_DIGITS = 6  # of a share


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation(Result):
    """The class of every pixel of one image.

    Attributes:
        class_map: (H, W) uint8, of the displayed image; at most 255 classes, so 255 is never answered.
        num_classes: how many the model tells apart; None for as many as there are labels.
    """

    task: ClassVar[TaskName] = "segmentation"
    drawn_by_default: ClassVar[int] = SHOWN
    class_map: npt.NDArray[np.uint8]
    num_classes: int | None = field(default=None, kw_only=True)

    def areas(self) -> npt.NDArray[np.int64]:
        """Returns how many pixels are of each class, (classes,)."""
        return _areas(self.class_map, self._classes)

    def names(self) -> list[str]:
        """Returns a name for each class, in the order of the palette: its label, or else "class 3"."""
        return [self._told(class_id) for class_id in range(self._classes)]

    def predictions(self, limit: int = SHOWN) -> list[dict[str, Any]]:
        """Returns the JSON objects of the classes that are there, the largest first; as for every `Result`.

        The mask of each stands in COCO's compressed run lengths, as pycocotools reads them.

        Example:
            >>> found = Segmentation(np.uint8([[0, 1], [0, 0]]), labels=("sky", "bird"), shape=(2, 2))
            >>> found.predictions(1)[0]["segmentation"]
            {'size': [2, 2], 'counts': '021O'}
        """
        from edgecnn_runtime.tasks.rle import compressed, rle  # only needed for JSON

        return [
            {
                "name": self.name_of(class_id),
                "class": class_id,
                "pixels": pixels,
                "share": pixels / self.class_map.size,
                "segmentation": {
                    "size": list(self.class_map.shape),
                    "counts": compressed(rle(self.class_map == class_id)),
                },
            }
            for class_id, pixels in self.largest(limit)
        ]

    def lines(self, limit: int = SHOWN) -> list[str]:
        """Returns the classes that are there with their share and their number of pixels, the largest first."""
        return [
            f"{caption} ({pixels:,} {'pixel' if pixels == 1 else 'pixels'})"
            for caption, pixels in self._captions(limit).values()
        ]

    def drawn(self, picture: Image.Image, limit: int, typeface: "Typeface") -> Image.Image:
        """Lays the colours of the largest classes over the picture, with a legend; as for every `Result`.

        Raises:
            ValueError: the picture has another size than the one that was answered.
        """
        from edgecnn_runtime.drawing import draw_classes  # most answers are never drawn

        captions = {class_id: caption for class_id, (caption, _) in self._captions(limit).items()}
        return draw_classes(picture, self.class_map, captions, typeface=typeface)

    def palette_image(self) -> Image.Image:
        """Returns the class map as a picture of mode "P": its indices are the classes, its palette their colours.

        The palette has as many colours as there are classes, those of `draw`; `names` are what they mean.
        """
        from edgecnn_runtime.drawing import class_color  # most answers are never drawn

        picture = Image.fromarray(self.class_map)
        picture.putpalette([part for class_id in range(self._classes) for part in class_color(class_id)])
        return picture

    def polygons(self, class_id: int) -> list["Ring"]:
        """Returns the outlines of a class: rings of (x, y) along the edges of pixels.

        Outer rings go clockwise as the image is displayed, holes counter-clockwise; filled by the even-odd rule they
        give the pixels of the class.

        Args:
            class_id: of the class; one that is not in the image has no rings.

        Raises:
            ValueError: there is no such class.
        """
        from edgecnn_runtime.tasks.outlines import outlines  # only where asked for

        if not 0 <= class_id < self._classes:
            raise ValueError(f"class_id: expected 0 to {self._classes - 1}, received {class_id}")
        return outlines(self.class_map == class_id)

    @property
    def _classes(self) -> int:
        if self.num_classes is not None:
            return self.num_classes
        return int(self.class_map.max()) + 1 if self.labels is None else len(self.labels)

    def largest(self, limit: int) -> list[tuple[int, int]]:
        """Returns the id and the pixels of each class that is there, the largest first; of equal ones the lower id."""
        if limit < 1:
            raise ValueError(f"limit: expected 1 or more, received {limit}")
        areas = self.areas()
        order = np.argsort(-areas, kind="stable")
        return [(class_id, int(areas[class_id])) for class_id in order[:limit].tolist() if areas[class_id]]

    def _captions(self, limit: int) -> dict[int, tuple[str, int]]:
        """Returns the name and share of the largest classes in words, and their pixels, by the class."""
        return {
            class_id: (f"{self._told(class_id)} {100 * pixels / self.class_map.size:.1f} %", pixels)
            for class_id, pixels in self.largest(limit)
        }

    def _told(self, class_id: int) -> str:
        return self.name_of(class_id) or f"class {class_id}"


class _Segmentation:
    """The task."""

    name: TaskName = "segmentation"
    # YOLO runtimes read what they call "segment" as boxes with masks of their own, which these outputs are not:
    # https://docs.ultralytics.com/tasks/
    word: str | None = None
    columns: tuple[str, ...] = ("name", "class", "pixels", "share")
    regions: Regions | None = "masks"
    shown = SHOWN
    unsure = False

    def decode(self, manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[Segmentation]:
        """Returns one result an image."""
        decoder = cast(EveryPixel, manifest.decoder)
        spec = manifest.output(decoder.output)
        if decoder.tiles is not None and placements:  # the graph's size is that of a tile, the logits' the pictures'
            spec = replace(spec, shape=(*placements[0].image_size, spec.shape[-1]))
        logits = read_output(spec, outputs, len(placements))
        return [
            Segmentation(
                class_map(row, placement),
                num_classes=manifest.num_classes,
                labels=manifest.labels,
                shape=placement.image_size,
            )
            for row, placement in zip(logits, placements, strict=True)
        ]

    def compared_by(self, manifest: Manifest, outputs: Outputs) -> Manifest:
        """Returns the manifest itself: every pixel has an answer."""
        del outputs
        return manifest

    def aligned(self, manifest: Manifest, reference: Outputs, candidate: Outputs, *, exact: bool) -> Outputs:
        """Returns the candidate's outputs as they are: no decoder of this task ranks."""
        del manifest, reference, exact
        return candidate

    def agreement(self, reference: Segmentation, candidate: Segmentation) -> Agreement:
        """Compares the two class maps: rounding may turn one pixel of a thousand, those between two classes.

        Raises:
            ValueError: they are of images of other sizes.
        """
        if reference.class_map.shape != candidate.class_map.shape:
            raise ValueError(
                f"class maps: expected one size, received {reference.class_map.shape} and {candidate.class_map.shape}"
            )
        turned = int(np.count_nonzero(reference.class_map != candidate.class_map))
        apart = turned / reference.class_map.size
        return Agreement(
            same=apart <= SETTLED_OTHERWISE,
            margin=math.inf,
            largest_log=0.0,
            differences={"pixels": apart},
            relative={"pixels": apart},
            changed=apart,
        )

    def parity(self, images: int, agreeing: int, differences: Mapping[str, float], compared: int) -> SegmentationParity:
        """Returns the record for the evidence."""
        return SegmentationParity(images, agreeing / max(images, 1), differences.get("pixels", 0.0), compared)

    def hold(self, result: Segmentation, limit: int | None = None) -> Held:
        """Holds the image's size, and which part of each of its 4 x 4 cells is of each of the largest classes.

        Of few classes only what is above 0 is held, so that a file stays small; a device has all to compare with.
        """
        every = [(class_id, 0) for class_id in range(len(result.areas()))]
        classes = [class_id for class_id, _ in (every if limit is None else result.largest(limit))]
        numbers = {
            f"class {class_id} in cell {row},{column}": share
            for (row, column), shares in _cells(result)
            for class_id, share in zip(classes, shares[classes].tolist(), strict=True)
            if share or limit is None
        }
        return Held(
            words={
                "size": "{} x {}".format(*result.shape),
                **{f"class {class_id}": repr(result.name_of(class_id)) for class_id in classes},
            },
            numbers=numbers,
            told=", ".join(result.lines(limit or _TOLD)),
        )


SEGMENTATION: Task[Segmentation] = _Segmentation()


def _areas(classes: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int64]:
    """Returns how many pixels of a class map, or of a part of one, are of each of so many classes."""
    height = max(1, _COUNTED // max(1, classes.shape[1]))
    total = np.zeros(count, np.int64)
    for first in range(0, len(classes), height):
        total += np.bincount(classes[first : first + height].reshape(-1), minlength=count)
    return total


def _cells(result: Segmentation) -> list[tuple[tuple[int, int], npt.NDArray[np.float64]]]:
    """Returns the shares of all classes in each cell, by its row and column; a small image has fewer cells."""
    count, found = len(result.areas()), []
    edges = [[side * part // CELLS for part in range(CELLS + 1)] for side in result.class_map.shape]
    for row, column in np.ndindex(CELLS, CELLS):
        (top, bottom), (left, right) = (axis[at : at + 2] for axis, at in zip(edges, (row, column), strict=True))
        cell = result.class_map[top:bottom, left:right]
        if cell.size:
            found.append(((row, column), (_areas(cell, count) / cell.size).round(_DIGITS)))
    return found
