"""The Preprocessor: any image to the network's pixels, and the way back for results.

Training, calibration, evaluation and the device all use this one class. Pillow alone resizes, bilinear with antialias
(`Image.Resampling.BILINEAR`). Nothing is normalised here: the graph does it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import MAX_PIXELS, check_array, open_picture
from edgecnn_runtime.images import ImageSource as ImageSource  # these two are part of this module's interface
from edgecnn_runtime.images import open_image as open_image
from edgecnn_runtime.manifest import ImageInput

_BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the displayed image lies in the network's input: input = image * scale + offset, for each axis.

    Attributes:
        image_size: (height, width) of the displayed (EXIF-upright) image, in pixels.
        scale: (vertical, horizontal), input pixels for one image pixel.
        offset: (vertical, horizontal), in input pixels; negative where the image is cropped.
        frames: how many the image's file holds; the first is displayed.
    """

    image_size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]
    frames: int = 1

    def to_image(self, points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Returns the points of the input in pixels of the displayed image.

        Args:
            points: (..., 2), x before y, in pixels of the network's input.
        """
        inverse: npt.NDArray[np.float64] = (np.asarray(points, dtype=np.float64) - self.offset[::-1]) / self.scale[::-1]
        return inverse

    def to_input(self, points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Returns the points of the displayed image in pixels of the network's input.

        Args:
            points: (..., 2), x before y, in pixels of the displayed image.
        """
        mapped: npt.NDArray[np.float64] = np.asarray(points, dtype=np.float64) * self.scale[::-1] + self.offset[::-1]
        return mapped


class Preprocessor:
    """Makes the network's pixels from an image, as the manifest says.

    - stretch: height and width are scaled to the input's, each for itself.
    - letterbox: scaled by one factor to fit, placed in the middle, padded with `pad_value`. The scaled sides are
      rounded, halves up, to at least 1; where the padding is odd, the right and lower side get the pixel more.
    - center_crop: scaled by one factor to cover round(input side / crop_fraction) (halves up) in both axes, which for a
      square input is the shorter side's new length; then the middle is cut out. Pillow does both in one step, so only
      the pixels that are kept are computed.
    - pad: nothing is scaled. The image is in the upper left corner and is continued by reflection, its border not
      repeated, up to the next multiple of `multiple_of` in both axes. One with a side below that is refused.

    But for "pad", a height or width that the manifest leaves free becomes the multiple of `multiple_of` nearest to the
    image's own (halves up, at least one multiple); then the rules above apply.
    """

    def __init__(self, spec: ImageInput) -> None:
        self.spec = spec
        self._mode = "RGB" if spec.color == "rgb" else "L"

    def __call__(self, image: ImageSource) -> tuple[npt.NDArray[np.uint8], Placement]:
        """Returns pixels (1, H, W, C) uint8, and where the image lies in them.

        Args:
            image: a path, the bytes of a file, a Pillow image, or a uint8 array (H,W), (H,W,1) or (H,W,3) in RGB order.
                An array that already is as the network wants it is not copied.

        Raises:
            ImageError: the image cannot be read or is refused.
            TypeError: the image is none of these.
        """
        if isinstance(image, np.ndarray):
            pixels = check_array(image)
            height, width, channels = pixels.shape
            if channels == self.spec.channels and self._keeps(height, width):
                return np.ascontiguousarray(pixels)[np.newaxis], _identity(height, width)
        picture, frames = open_picture(image)
        if picture.mode != self._mode:
            picture = picture.convert(self._mode)
        placed, placement = self._place(picture)
        pixels = np.asarray(placed, dtype=np.uint8)  # (H, W) or (H, W, 3)
        placement = placement if frames == 1 else replace(placement, frames=frames)
        return pixels.reshape(1, *pixels.shape[:2], self.spec.channels), placement

    @property
    def least_side(self) -> int:
        """The least height and width of an image, in pixels; a smaller one is refused."""
        return self.spec.multiple_of or 1 if self.spec.resize == "pad" else 1

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Returns the input's (height, width) for an image of that size.

        Raises:
            ImageError: a free size would make an input of over 50 megapixels; or an image that is to be padded is
                smaller than the least input.
        """
        spec = self.spec
        multiple = _nearest_multiple
        if spec.resize == "pad":
            if min(height, width) < self.least_side:
                raise ImageError(
                    f"image of {height} x {width}: expected a height and width of {self.least_side} pixels or more, "
                    "the least that this network takes. Enlarge the image."
                )
            multiple = _next_multiple
        target = (
            multiple(height, spec.multiple_of) if spec.height is None else spec.height,
            multiple(width, spec.multiple_of) if spec.width is None else spec.width,
        )
        if target[0] * target[1] > MAX_PIXELS and None in (spec.height, spec.width):
            raise ImageError(
                f"image of {height} x {width}: its input would be {target[0]} x {target[1]}, over the limit"
            )
        return target

    def _keeps(self, height: int, width: int) -> bool:
        """Whether an image of that size becomes the input without resampling."""
        return self.target_size(height, width) == (height, width) and self.spec.crop_fraction in (None, 1.0)

    def _place(self, picture: Image.Image) -> tuple[Image.Image | npt.NDArray[np.uint8], Placement]:
        width, height = picture.size
        if self._keeps(height, width):
            return picture, _identity(height, width)
        target = self.target_size(height, width)
        if self.spec.resize == "letterbox":
            return _letterbox(picture, target, self.spec.pad_value or 0)
        if self.spec.resize == "center_crop":
            return _center_crop(picture, target, self.spec.crop_fraction or 1.0)
        if self.spec.resize == "pad":
            return _reflected(np.asarray(picture), target), _identity(height, width)
        scale = (target[0] / height, target[1] / width)
        return picture.resize(target[::-1], _BILINEAR), Placement((height, width), scale, (0.0, 0.0))


def _identity(height: int, width: int) -> Placement:
    return Placement((height, width), (1.0, 1.0), (0.0, 0.0))


def _reflected(pixels: npt.NDArray[np.uint8], target: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Returns the pixels, (H, W) or (H, W, 3), continued on their right and lower side."""
    missing = [(0, wanted - side) for wanted, side in zip(target, pixels.shape, strict=False)]
    return np.pad(pixels, [*missing, (0, 0)][: pixels.ndim], mode="reflect")


def _letterbox(picture: Image.Image, target: tuple[int, int], pad_value: int) -> tuple[Image.Image, Placement]:
    size = (picture.height, picture.width)
    factor = min(target[0] / size[0], target[1] / size[1])
    height, width = (max(1, min(_round(side * factor), limit)) for side, limit in zip(size, target, strict=True))
    top, left = (target[0] - height) // 2, (target[1] - width) // 2
    canvas = Image.new(picture.mode, target[::-1], (pad_value,) * len(picture.getbands()))
    canvas.paste(picture.resize((width, height), _BILINEAR), (left, top))
    return canvas, Placement(size, (height / size[0], width / size[1]), (float(top), float(left)))


def _center_crop(picture: Image.Image, target: tuple[int, int], crop_fraction: float) -> tuple[Image.Image, Placement]:
    size = (picture.height, picture.width)
    factor = max(_round(wanted / crop_fraction) / side for wanted, side in zip(target, size, strict=True))
    (top, bottom), (left, right) = (_middle(side, wanted / factor) for side, wanted in zip(size, target, strict=True))
    cropped = picture.resize(target[::-1], _BILINEAR, box=(left, top, right, bottom))
    return cropped, Placement(size, (factor, factor), (-top * factor, -left * factor))


def _middle(side: int, length: float) -> tuple[float, float]:
    """Returns where the middle part of that length starts and ends; rounding errors never leave the image."""
    start = max(0.0, (side - length) / 2)
    return start, min(float(side), start + length)


def _nearest_multiple(side: int, multiple_of: int | None) -> int:
    step = multiple_of or 1
    return max(1, _round(side / step)) * step


def _next_multiple(side: int, multiple_of: int | None) -> int:
    step = multiple_of or 1
    return -(-side // step) * step


def _round(value: float) -> int:
    """Rounds halves up, where Python's round takes the even neighbour."""
    return math.floor(value + 0.5)
