"""What every reader gives: labelled images, in parts that have names, with a fingerprint of their content."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Targets
from edgecnn.errors import DatasetError, UsageError

PartName = Literal["train", "val", "test"]
Split = Literal["train", "val", "test", "all"]
Source = Path | bytes | npt.NDArray[np.uint8]
Sample = tuple[Source, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Samples(Sequence[Sample]):
    """The labelled images of one part of a data set; an item is (path, encoded image or uint8 array, label).

    Attributes:
        sources: (N, H, W) or (N, H, W, C) uint8 pixels, or N encoded images, by path or by their bytes.
        targets: what the N images are labelled with; class ids in them are 0 .. len(labels) - 1.
        labels: one name a class.
        part: "train", "val", "test", or "all".
    """

    sources: npt.NDArray[np.uint8] | tuple[Path | bytes, ...]
    targets: Targets
    labels: tuple[str, ...]
    part: str

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.targets):
            raise ValueError(f"expected one label a source, received {len(self.sources)} and {len(self.targets)}")

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: Any) -> "Sample | Samples":
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
        return self.sources[index], self.targets.truth(int(index))

    def subset(self, indices: npt.NDArray[np.integer]) -> "Samples":
        """Returns the samples at those positions, in that order."""
        sources = self.sources
        chosen = tuple(sources[i] for i in indices) if isinstance(sources, tuple) else sources[indices]
        return Samples(chosen, self.targets.subset(indices), self.labels, self.part)

    def called(self, part: str) -> "Samples":
        """Returns the same samples as another part."""
        return Samples(self.sources, self.targets, self.labels, part)

    def describe(self, index: int) -> str:
        """Returns what to call one image in a message: its path, or its position."""
        source = self.sources[index]
        if isinstance(source, Path):
            return str(source)
        return f"image {index}" if self.part == "all" else f"image {index} of the {self.part} part"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A data set of labelled images.

    Attributes:
        name: the set's name, or the file's or folder's.
        location: what `load_dataset` takes to read it again from any folder: a name, or an absolute path.
        parts: train, val and test in this order, any of them missing; or one called "all", which cannot be split.
        fingerprint: hex SHA-256 over names of classes, labels and images of all parts; the same wherever a copy stands.
        is_split: whether the data have no part to judge by, so that a seeded fifth of each class became the test part.
        unsplit: why data without parts are left whole; empty where they are not.
    """

    name: str
    location: str
    parts: tuple[Samples, ...]
    fingerprint: str
    is_split: bool = False
    unsplit: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """One name a class."""
        return self.parts[0].labels

    @property
    def train(self) -> Samples:
        """The part to learn from.

        Raises:
            DatasetError: there is none.
        """
        return self._first_of("train")

    @property
    def val(self) -> Samples | None:
        """The part to validate with while training, where the data have one."""
        return self._named("val")

    @property
    def test(self) -> Samples:
        """The part to judge by: test, or val where there is no test; its `part` says which.

        Raises:
            DatasetError: there is neither.
        """
        return self._first_of("test", "val")

    def select(self, split: Split | None) -> Samples:
        """Returns what is to be scored.

        Args:
            split: a part by name, or "all". None takes the part to judge by where the data name one, and else all.

        Raises:
            UsageError: the data have no such part.
        """
        if split is None:
            given = None if self.is_split else self._named("test") or self._named("val")
            return given or self._everything()
        if split == "all":
            return self._everything()
        part = self._named(split)
        if part is None:
            known = [*(part.part for part in self.parts if part.part != "all"), "all"]
            raise UsageError(f"--split {split}: expected {' or '.join(known)}, what {self.name} has, received {split}")
        return part

    def _named(self, name: str) -> Samples | None:
        return next((part for part in self.parts if part.part == name), None)

    def _first_of(self, *names: PartName) -> Samples:
        found = next(filter(None, map(self._named, names)), None)
        if found is None:
            received = self.unsplit or f"received {' and '.join(part.part for part in self.parts)} alone"
            raise DatasetError(f"{self.name}: expected a {names[0]} part: {received}")
        return found

    def _everything(self) -> Samples:
        if len(self.parts) == 1:
            return self.parts[0].called("all")
        parts = [part.sources for part in self.parts]
        arrays = [sources for sources in parts if isinstance(sources, np.ndarray)]
        sources = np.concatenate(arrays) if arrays else tuple(source for part in parts for source in part)
        first, *others = (part.targets for part in self.parts)
        return Samples(sources, first.joined(others), self.labels, "all")
