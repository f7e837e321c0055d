"""Pictures of any size through a network of one size: in overlapping tiles, whose logits are added up under a weight.

A tile's own middle counts most, because at its edges the network sees less. The picture is continued by reflection on
its right and lower side up to the next multiple of what the network's sizes are multiples of, as resize "pad" does, and
at least to one tile. Tiles lie on multiples of that too, so that each sees the same grid as the whole picture would.

Reference: Isensee et al. 2021, nnU-Net, Nature Methods 18, supplementary note 4: gaussian weights with a sigma of an
eighth of the tile; Ronneberger et al. 2015, U-Net, section 2: overlapping tiles, and reflection where the image ends.
"""

import math
from collections.abc import Iterator
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import SessionError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.map_decoders import Tiling
from edgecnn_runtime.model import Feeds, Model, run_all

_SIGMAS = 8  # that a tile is wide


class Tiled:
    """A model that takes pictures of any one size: it runs on their tiles. Memory is a picture, its logits, one run.

    The logits are those of the pixels that are given, no more, so they may be more or fewer than the manifest says.

    Args:
        model: takes tiles.
        manifest: of the model; its decoder says how pictures are cut.
        batch: how many tiles a run takes; None for any number, which are given one by one.

    Raises:
        ValueError: the manifest's decoder has no tiles.
    """

    def __init__(self, model: Model, manifest: Manifest, *, batch: int | None = None) -> None:
        self._tiling, self._step = _tiling(manifest)
        self._model, self._batch = model, batch
        self._input, self._output = manifest.image_input.name, manifest.decoder.output
        self._classes = manifest.num_units

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        """Returns the logits by their name, (N, H, W, classes) float32.

        Args:
            feeds: the pictures by the input's name, (N, H, W, channels) uint8, each side of 1 pixel or more.

        Raises:
            SessionError: the model refuses a tile, or answers it with another shape.
        """
        pictures = feeds[self._input]
        axes = [_Axis.cut(side, self._tiling, self._step) for side in pictures.shape[1:3]]
        logits = np.zeros((*pictures.shape[:3], self._classes), np.float32)
        for picture, sums in zip(pictures, logits, strict=True):
            self._add_tiles(picture, sums, axes)
        return {self._output: logits}

    def _add_tiles(self, picture: npt.NDArray[Any], sums: npt.NDArray[np.float32], axes: "list[_Axis]") -> None:
        """Adds the logits of all tiles of one picture to its sums."""
        places, size = product(*(axis.tiles() for axis in axes)), self._tiling.size
        while taken := list(islice(places, self._batch or 1)):
            tiles = np.stack([picture[np.ix_(row.pixels, column.pixels)] for row, column in taken])
            answers = run_all(self._model, {self._input: tiles}, self._batch)[self._output]
            if answers.shape != (expected := (len(taken), size, size, self._classes)):
                raise SessionError(f"output {self._output!r}: expected shape {expected}, received {answers.shape}")
            for (row, column), answer in zip(taken, answers, strict=True):
                weights = row.weights[:, np.newaxis, np.newaxis] * column.weights[:, np.newaxis]
                with np.errstate(invalid="ignore", over="ignore"):  # whoever reads the logits refuses such
                    sums[row.inside, column.inside] += answer[: len(row.weights), : len(column.weights)] * weights


def of_pictures(model: Model, manifest: Manifest, batch: int | None) -> tuple[Model, int | None]:
    """Returns a model that takes what `Inputs` makes of pictures, and how many rows a run of it takes.

    Args:
        model: takes what its graph takes.
        manifest: of the model; where its decoder has no tiles, model and batch come back.
        batch: how many rows a run of the model takes; None for any number.
    """
    if manifest.decoder.cut_into() is None:
        return model, batch
    return Tiled(model, manifest, batch=batch), None


def cut(picture: npt.NDArray[Any], manifest: Manifest) -> Iterator[npt.NDArray[Any]]:
    """Yields the tiles of a picture, one row each, as the network takes them.

    Args:
        picture: (1, H, W, channels) uint8.
        manifest: its decoder says how pictures are cut.
    """
    tiling, step = _tiling(manifest)
    for row, column in product(*(_Axis.cut(side, tiling, step).tiles() for side in picture.shape[1:3])):
        yield picture[:, row.pixels[:, np.newaxis], column.pixels]


def _tiling(manifest: Manifest) -> tuple[Tiling, int]:
    """Returns how pictures are cut, and what the tiles' places are multiples of."""
    tiling = manifest.decoder.cut_into()
    if tiling is None:
        raise ValueError("manifest: expected a decoder with tiles, received one without. Export with --tile.")
    return tiling, manifest.image_input.multiple_of or math.gcd(tiling.size, tiling.overlap)


class _Part(NamedTuple):
    """Where a tile lies in one axis of the picture.

    Attributes:
        pixels: the tile's, as indices of the picture's.
        inside: those of the picture that it covers.
        weights: one for each of these; those of all tiles that cover a pixel have the sum 1.
    """

    pixels: npt.NDArray[np.intp]
    inside: slice
    weights: npt.NDArray[np.float32]


class _Axis(NamedTuple):
    """How one axis of a picture is cut.

    Attributes:
        side: of the picture, in pixels.
        size: of a tile.
        starts: of the tiles.
        weights: of a tile's pixels.
        sums: of these for each pixel of the picture, and of what continues it.
    """

    side: int
    size: int
    starts: list[int]
    weights: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]

    @classmethod
    def cut(cls, side: int, tiling: Tiling, step: int) -> "_Axis":
        size = tiling.size
        covered = max(size, -(-side // step) * step)
        move = max(step, (size - tiling.overlap) // step * step)
        starts = [*range(0, covered - size, move), covered - size]
        weights = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) * _SIGMAS / size) ** 2)
        sums = np.zeros(covered)
        for start in starts:
            sums[start : start + size] += weights
        return cls(side, size, starts, weights, sums)

    def tiles(self) -> Iterator[_Part]:
        for start in self.starts:
            stop = min(start + self.size, self.side)
            parts = self.weights[: stop - start] / self.sums[start:stop]
            yield _Part(_reflected(start, self.size, self.side), slice(start, stop), parts.astype(np.float32))


def _reflected(start: int, size: int, side: int) -> npt.NDArray[np.intp]:
    """Returns which of `side` pixels stand at so many places from `start` on; the border itself is not repeated."""
    period = max(1, 2 * (side - 1))
    places = np.arange(start, start + size) % period
    return np.minimum(places, period - places) if side > 1 else places
