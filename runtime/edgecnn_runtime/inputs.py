"""From what the user gives to what a graph takes: one array an input, and where the image lies in its pixels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Feeds
from edgecnn_runtime.preprocessing import Placement, Preprocessor


class Prepared(NamedTuple):
    """An image that is ready to run.

    Attributes:
        feeds: one array an input, one row each; the image's is (1, H, W, C) uint8.
        placement: where the image lies in its pixels.
    """

    feeds: Feeds
    placement: Placement


class Batch(NamedTuple):
    """A few images that are ready to run, and what the data say of them.

    Attributes:
        feeds: one array an input, N rows each.
        placements: N of them, where each image lies in its pixels.
        truths: of N images, for the metric of the task alone; None where the data say nothing.
    """

    feeds: Feeds
    placements: Sequence[Placement]
    truths: Any = None

    def __len__(self) -> int:
        return len(self.placements)


class Inputs:
    """Makes what a graph takes, as its manifest says, or of a graph that takes tiles what they are cut from.

    Args:
        manifest: of the model.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._name = manifest.image_input.name
        self._preprocess = preprocessor_of(manifest)

    def __call__(self, image: ImageSource) -> Prepared:
        """Returns the feeds of one image.

        Args:
            image: as `Preprocessor` takes it.

        Raises:
            ImageError: the image cannot be read or is refused.
            TypeError: it is none.
        """
        pixels, placement = self._preprocess(image)
        return Prepared({self._name: pixels}, placement)


def preprocessor_of(manifest: Manifest) -> Preprocessor:
    """Returns what makes the pixels of an image as a model wants them; where it takes tiles, those of the image."""
    image = manifest.image_input
    if manifest.decoder.cut_into() is not None:
        image = replace(image, height=None, width=None, resize="pad", crop_fraction=None, pad_value=None, multiple_of=1)
    return Preprocessor(image)


def join(feeds: Sequence[Feeds]) -> dict[str, npt.NDArray[Any]]:
    """Returns the rows of several feeds, one after the other, for one run; the inputs' sizes must be the same."""
    return {name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]}
