"""What a file of fewer bits must be."""

from dataclasses import dataclass
from typing import Literal

Processor = Literal["any", "amx"]


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """What a file of fewer bits must be, and what it must keep.

    Attributes:
        precision: of its layers.
        max_drop: the most that the metric may lose against the source, absolute.
        min_speedup: the least that it must be faster than the float32 file; 0 measures and lets all pass.
        strict: whether the 95 % bound on the drop must keep the budget too.
        reduce_range: whether int8 weights take 7 bits, for processors whose 8-bit products saturate.
        tune_for: the processors that int8 weights are laid out for; the answers are the same.

    Raises:
        ValueError: AMX's layout for weights that are not int8 of 8 bits.
    """

    precision: Literal["int8", "float16"]
    max_drop: float = 0.01
    min_speedup: float = 1.0
    strict: bool = False
    reduce_range: bool = False
    tune_for: Processor = "any"

    def __post_init__(self) -> None:
        if self.tune_for == "amx" and (self.precision != "int8" or self.reduce_range):
            raise ValueError("tune_for: expected int8 weights of 8 bits for amx, received other ones")
