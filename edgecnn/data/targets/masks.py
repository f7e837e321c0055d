"""A class for each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from edgecnn.data.mask_files import IGNORE, MaskFile, Pattern
from edgecnn.data.targets.protocol import rarest_classes

MaskSource = MaskFile | npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """A class for each pixel of each image; only what else is asked of them is held in memory.

    Attributes:
        sources: N of them: files, opened when one is asked for, or class maps (H, W) uint8 of the displayed image,
            whose values are class ids or `IGNORE`.
        shown: (N, classes) bool, which classes an image shows.
        digests: of each class map, whatever file it stands in.
    """

    contradiction: ClassVar[str] = "with another mask"

    sources: tuple[MaskSource, ...]
    shown: npt.NDArray[np.bool_]
    digests: tuple[bytes, ...]

    def __post_init__(self) -> None:
        lengths = len(self.sources), len(self.digests)
        if self.shown.ndim != 2 or lengths != (len(self.shown),) * 2:
            raise ValueError(
                f"masks: expected a row and a digest for each source, received {self.shown.shape}, {lengths}"
            )

    @classmethod
    def of(cls, maps: Sequence[npt.NDArray[np.uint8]], num_classes: int) -> "Masks":
        """Returns the masks that arrays are.

        >>> Masks.of([np.array([[0, 2, 255]], np.uint8)], 3).shown.tolist()
        [[True, False, True]]
        """
        patterns = [Pattern.of(one) for one in maps]
        shown = np.zeros((len(maps), num_classes), bool)
        for row, pattern in zip(shown, patterns, strict=True):
            row[pattern.values[pattern.values != IGNORE]] = True
        return cls(tuple(maps), shown, tuple(pattern.digest(pattern.values) for pattern in patterns))

    def __len__(self) -> int:
        return len(self.sources)

    def subset(self, indices: npt.NDArray[np.integer]) -> "Masks":
        """Returns the masks of the images at those positions, in that order."""
        chosen = [int(index) for index in indices]
        return Masks(
            tuple(self.sources[index] for index in chosen),
            self.shown[chosen],
            tuple(self.digests[index] for index in chosen),
        )

    def joined(self, others: Sequence["Masks"]) -> "Masks":
        """Returns these masks and those of other parts behind them."""
        every = (self, *others)
        return Masks(
            tuple(source for one in every for source in one.sources),
            np.concatenate([one.shown for one in every]),
            tuple(digest for one in every for digest in one.digests),
        )

    def classes(self) -> npt.NDArray[np.int64]:
        """Returns for each image the rarest class in it, see `rarest_classes`; `NO_CLASS` where all is ignored."""
        shown = [np.flatnonzero(row).tolist() for row in self.shown]
        return rarest_classes(shown, self.counts(self.shown.shape[1]))

    def counts(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Returns how many images show each class in at least one pixel."""
        counts = np.zeros(num_classes, np.int64)
        counts[: self.shown.shape[1]] = self.shown.sum(axis=0)
        return counts

    def digest(self, index: int) -> bytes:
        """Returns the digest of one class map."""
        return self.digests[index]

    def truth(self, index: int) -> npt.NDArray[np.uint8]:
        """Returns the class map of one image, (H, W), `IGNORE` where nothing is said.

        Raises:
            DatasetError: its file cannot be read any more.
        """
        source = self.sources[index]
        return source.open() if isinstance(source, MaskFile) else source

    def truths(self, to_model: npt.NDArray[np.int64]) -> list[npt.NDArray[np.uint8]]:
        """Returns the class maps of all images, with the model's class ids: as many as their answers, a batch's."""
        table = np.full(256, IGNORE, np.uint8)
        table[: len(to_model)] = to_model
        return [table[self.truth(index)] for index in range(len(self))]
