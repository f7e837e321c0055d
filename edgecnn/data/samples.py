"""What every reader gives: labelled images, in two parts, with a fingerprint of their content."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Source = Path | bytes | npt.NDArray[np.uint8]
Sample = tuple[Source, int]


@dataclass(frozen=True, slots=True, eq=False)
class Samples(Sequence[Sample]):
    """The labelled images of one part of a data set; an item is (path, encoded image or uint8 array, class id).

    Attributes:
        sources: (N, H, W) or (N, H, W, C) uint8 pixels, or N encoded images, by path or by their bytes.
        class_ids: (N,) int64, each in 0 .. len(labels) - 1.
        labels: one name a class.
        part: "train" or "test".
    """

    sources: npt.NDArray[np.uint8] | tuple[Path | bytes, ...]
    class_ids: npt.NDArray[np.int64]
    labels: tuple[str, ...]
    part: str

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.class_ids):
            raise ValueError(f"expected one class id a source, received {len(self.sources)} and {len(self.class_ids)}")

    def __len__(self) -> int:
        return len(self.class_ids)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: Any) -> "Sample | Samples":
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
        return self.sources[index], int(self.class_ids[index])

    def subset(self, indices: npt.NDArray[np.integer]) -> "Samples":
        """Returns the samples at those positions, in that order."""
        sources = self.sources
        chosen = tuple(sources[i] for i in indices) if isinstance(sources, tuple) else sources[indices]
        return Samples(chosen, self.class_ids[indices], self.labels, self.part)

    def describe(self, index: int) -> str:
        """Returns what to call one image in a message: its path, or its position."""
        source = self.sources[index]
        return str(source) if isinstance(source, Path) else f"image {index} of the {self.part} part"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data set of labelled images.

    Attributes:
        name: the set's name, or the file's or folder's.
        location: what `load_dataset` takes to read it again from any folder: a name, or an absolute path.
        train: the part to learn from.
        test: the part that training never sees.
        fingerprint: hex SHA-256 over labels, class ids and images of both parts; the same wherever a copy stands.
    """

    name: str
    location: str
    train: Samples
    test: Samples
    fingerprint: str

    @property
    def labels(self) -> tuple[str, ...]:
        """One name a class."""
        return self.train.labels
