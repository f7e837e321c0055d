"""Labelled batches, one after the other: nothing accumulates."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecnn.data.cache import preprocess
from edgecnn.data.samples import Samples
from edgecnn_runtime.preprocessing import Placement, Preprocessor


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBatch:
    """A few images as the network takes them.

    Attributes:
        pixels: (N, height, width, channels) uint8.
        placements: N of them, where each image lies in its pixels.
        class_ids: (N,) int64.
    """

    pixels: npt.NDArray[np.uint8]
    placements: tuple[Placement, ...]
    class_ids: npt.NDArray[np.int64]


def iter_placed_batches(samples: Samples, preprocessor: Preprocessor, batch_size: int) -> Iterator[PlacedBatch]:
    """Gives the samples in their order, preprocessed as on the device.

    Args:
        samples: any part.
        preprocessor: of the model's image input.
        batch_size: images a batch, at least 1; the last batch may have fewer.

    Raises:
        DatasetError: an image cannot be decoded; the file is named.
        ValueError: the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, received {batch_size}")
    for start in range(0, len(samples), batch_size):
        indices = range(start, min(start + batch_size, len(samples)))
        pixels, placements = zip(*(preprocess(samples, index, preprocessor) for index in indices), strict=True)
        yield PlacedBatch(np.concatenate(pixels), placements, samples.class_ids[start : start + batch_size])


def iter_batches(
    samples: Samples, preprocessor: Preprocessor, batch_size: int
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """Gives pixels and class ids alone.

    Args:
        samples: as for `iter_placed_batches`.
        preprocessor: likewise.
        batch_size: likewise.

    Yields:
        Pixels uint8 (N, height, width, channels) and class ids int64 (N,).

    Raises:
        DatasetError: an image cannot be decoded; the file is named.
        ValueError: the batch size is below 1.
    """
    for batch in iter_placed_batches(samples, preprocessor, batch_size):
        yield batch.pixels, batch.class_ids
