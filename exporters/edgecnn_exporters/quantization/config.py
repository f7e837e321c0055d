"""What a file of fewer bits must be, and the images that int8 is calibrated on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from edgecnn_exporters.quantization.calibration import Pixels

Processor = Literal["any", "amx"]


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """What a file of fewer bits must be.

    Attributes:
        precision: of its layers.
        images: to calibrate on, for int8: batches (N, H, W, C) uint8, ready for the network; read several times.
        images_fingerprint: of the data that they are from.
        max_drop: the most that the metric may lose against the source, absolute.
        min_speedup: the least that it must be faster than the float32 file; 0 measures and lets all pass.
        strict: whether the 95 % bound on the drop must keep the budget too.
        reduce_range: whether int8 weights take 7 bits, for processors whose 8-bit products saturate.
        tune_for: the processors that int8 weights are laid out for; the answers are the same.
    """

    precision: Literal["int8", "float16"]
    images: Iterable[Pixels] | None = None
    images_fingerprint: str | None = None
    max_drop: float = 0.01
    min_speedup: float = 1.0
    strict: bool = False
    reduce_range: bool = False
    tune_for: Processor = "any"

    def __post_init__(self) -> None:
        if (self.precision == "int8") != (self.images is not None):
            raise ValueError("images: expected calibration images for int8, and none for float16")
        if self.tune_for == "amx" and (self.precision != "int8" or self.reduce_range):
            raise ValueError("tune_for: expected int8 weights of 8 bits for amx, received other ones")
        if isinstance(self.images, Iterator):
            raise ValueError("images: expected an iterable that can be read again, received an iterator")
