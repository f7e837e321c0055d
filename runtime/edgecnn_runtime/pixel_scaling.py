"""What networks of elsewhere take for pixels: the usual ways from 0 to 255 to their numbers, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

PixelScalingName = Literal["raw", "unit", "signed", "caffe", "torch"]

# of ImageNet's red, green and blue, 0 to 1, as torchvision's weights were trained
IMAGENET_MEANS = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class PixelScaling:
    """(pixel - mean) / std, of pixels from 0 to 255.

    Attributes:
        mean: of 0 to 255: one number for all channels, or one a channel, in the order that the network takes them in.
        std: likewise.
        bgr: whether the network takes blue first; else red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False

    @property
    def channels(self) -> int | None:
        """How many channels it is for; None where it treats all alike, and any number will do."""
        return None if len(self.mean) == len(self.std) == 1 and not self.bgr else 3

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns what the network takes.

        Args:
            pixels: (..., C), 0 to 255, red first; C as `channels` says.

        Returns:
            An array of the same shape, with blue first where `bgr` says so.

        Example:
            >>> PIXEL_SCALINGS["signed"].apply(np.array([[0, 127.5, 255]])).tolist()
            [[-1.0, 0.0, 1.0]]

        Raises:
            ValueError: another number of channels.
        """
        if self.channels not in (None, pixels.shape[-1]):
            raise ValueError(f"pixels: expected {self.channels} channels, received shape {pixels.shape}")
        ordered = pixels[..., ::-1] if self.bgr else pixels  # (..., C)
        mean, std = (np.array(numbers, np.float32) for numbers in (self.mean, self.std))
        return np.ascontiguousarray((ordered.astype(np.float32) - mean) / std, np.float32)


# caffe: means of ImageNet's blue, green and red, as keras.applications.imagenet_utils subtracts them in mode "caffe".
PIXEL_SCALINGS: Mapping[PixelScalingName, PixelScaling] = MappingProxyType(
    {
        "raw": PixelScaling((0.0,), (1.0,)),
        "unit": PixelScaling((0.0,), (255.0,)),
        "signed": PixelScaling((127.5,), (127.5,)),
        "caffe": PixelScaling((103.939, 116.779, 123.68), (1.0,), bgr=True),
        "torch": PixelScaling(
            tuple(255 * mean for mean in IMAGENET_MEANS), tuple(255 * std for std in IMAGENET_DEVIATIONS)
        ),
    }
)
