"""Mask files: pictures whose values are classes, in gray or as numbers of a palette's colours."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn.errors import DatasetError
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.image_files import read_image_file
from edgecnn_runtime.images import displayed
from edgecnn_runtime.regular_file import open_regular_file, reason
from edgecnn_runtime.strict_pillow import StrictPillow

IGNORE = 255  # in a class map: a pixel of which nothing is said
NO_VALUE = -1  # in a table of classes: no class has this value
_SHOWN = 10  # values in a message
_GRAY_16 = ("I", "I;16", "I;16B", "I;16L")

Color = tuple[int, int, int]  # red, green, blue


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """What a mask file holds.

    Attributes:
        values: (H, W) uint8: gray levels, or numbers of colours; of a picture of one bit 0 and 255, as it is shown.
        palette: the colours, by their numbers; empty for gray.
    """

    values: npt.NDArray[np.uint8]
    palette: tuple[Color, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """What is kept of a mask that was looked at.

    Attributes:
        values: that it shows, sorted.
        places: SHA-256 over its height and width, and which of these values each pixel has.
    """

    values: npt.NDArray[np.intp]
    places: bytes

    @classmethod
    def of(cls, mask: npt.NDArray[np.uint8]) -> "Pattern":
        """Returns the pattern of a mask, (H, W)."""
        values, numbers = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)), np.zeros(256, np.uint8)
        numbers[values] = np.arange(len(values))
        digest = hashlib.sha256(b"".join(side.to_bytes(8, "little") for side in mask.shape))
        digest.update(numbers[mask].data)
        return cls(values, digest.digest())

    def digest(self, classes: npt.NDArray[np.integer]) -> bytes:
        """Returns the digest of the class map, the same for masks of 0 and 1 and of 0 and 255.

        Args:
            classes: of the values, in their order.
        """
        return hashlib.sha256(self.places + classes.astype("<i2").tobytes()).digest()


@dataclass(frozen=True, slots=True, eq=False)
class MaskFile:
    """A mask that is opened when it is asked for.

    Attributes:
        path: of the file.
        classes: (256,) int16, for each value its class, `IGNORE` or `NO_VALUE`; the files of a data set share it.
    """

    path: Path
    classes: npt.NDArray[np.int16]

    def open(self) -> npt.NDArray[np.uint8]:
        """Returns the class map, (H, W).

        Raises:
            DatasetError: the file cannot be read, or shows a value that is no class.
        """
        class_map: npt.NDArray[np.int16] = self.classes[read_levels(self.path).values]
        if (class_map == NO_VALUE).any():
            raise DatasetError(f"{self.path}: expected a mask as it was when the data were read, received another")
        return class_map.astype(np.uint8)


def read_levels(path: Path) -> Levels:
    """Decodes a mask, turned as its EXIF says, as strictly as pictures are.

    Raises:
        DatasetError: it cannot be read, is damaged, or has colours without a palette or values above 255.
    """
    try:
        with open_regular_file(path) as stream, StrictPillow(str(path)):
            image = displayed(read_image_file(stream, str(path)).image)
    except ImageError as error:
        raise DatasetError(str(error)) from error
    except OSError as error:
        raise DatasetError(f"{path}: expected a mask that can be read: {reason(error)}") from error
    values = np.asarray(image)
    if image.mode == "1":
        return Levels(values.astype(np.uint8) * 255, ())
    if image.mode == "P":
        return Levels(values, _palette(image))
    if image.mode in _GRAY_16:
        if values.min() < 0 or values.max() > 255:
            found = np.unique(values[(values < 0) | (values > 255)])
            raise DatasetError(f"{path}: expected values from 0 to 255, received {listed(found.tolist())}")
        return Levels(values.astype(np.uint8), ())
    if image.mode != "L":
        raise DatasetError(
            f"{path}: expected classes as gray levels or as numbers of a palette, received colours without a palette "
            f"(mode {image.mode}). Write it as gray with a class's number in each pixel."
        )
    return Levels(values, ())


def listed(values: list[int]) -> str:
    """Returns numbers in words, long rows of them shortened.

    >>> listed([0, 1, 2, 3, 255]), listed([])
    ('0 to 3, 255', 'none')
    """
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    words = [
        f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run))  # two are as short without
        for run in runs
    ]
    return ", ".join(words[:_SHOWN]) + (", …" if len(words) > _SHOWN else "") or "none"


def _palette(image: Image.Image) -> tuple[Color, ...]:
    flat = image.getpalette("RGB") or []
    return tuple((flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat) - 2, 3))
