"""What `--quantize` asks for, checked before anything heavy is imported."""

from dataclasses import dataclass
from typing import Any, Literal

from edgecnn.errors import UsageError

Precision = Literal["fp16", "int8"]
Processor = Literal["any", "amx"]
_INT8_ONLY = ("calibration_samples", "reduce_range", "tune_for")


@dataclass(frozen=True, slots=True)
class QuantizeConfig:
    """A file of fewer bits, and what it must keep.

    Attributes:
        precision: of the layers.
        calibration_samples: images of the train part that the ranges of int8 are taken from.
        max_drop: the most that the metric may lose, absolute.
        min_speedup: the least that it must be faster than the float32 file; 0 measures and lets all pass.
        strict: whether the 95 % bound on the drop must keep the budget too.
        reduce_range: whether int8 weights take 7 bits.
        tune_for: the processors that int8 weights are laid out for; the answers are the same.

    Raises:
        UsageError: a number out of range, or options for processors that cannot be one.
    """

    precision: Precision
    calibration_samples: int = 300
    max_drop: float = 0.01
    min_speedup: float = 1.0
    strict: bool = False
    reduce_range: bool = False
    tune_for: Processor = "any"

    def __post_init__(self) -> None:
        if self.calibration_samples < 2:
            raise UsageError(f"--calibration-samples: expected 2 or more, received {self.calibration_samples}")
        if not 0 <= self.max_drop <= 1:
            raise UsageError(f"--max-drop: expected 0 to 1, received {self.max_drop}")
        if self.reduce_range and self.tune_for == "amx":
            raise UsageError(
                "--reduce-range: it is for x86 without VNNI, --tune-for amx for x86 with AMX. Leave one of them out."
            )
        if not 0 <= self.min_speedup < float("inf"):
            raise UsageError(f"--min-speedup: expected 0 or more, received {self.min_speedup}")


def read_quantize_options(
    quantize: Literal["none", "fp16", "int8"],
    *,
    calibration_samples: int | None = None,
    max_drop: float | None = None,
    min_speedup: float | None = None,
    strict: bool = False,
    reduce_range: bool = False,
    tune_for: Processor = "any",
) -> QuantizeConfig | None:
    """Returns what the options ask for; None for a float32 file.

    Args:
        quantize: the precision.
        calibration_samples: None takes the default, as for the others.
        max_drop: likewise.
        min_speedup: likewise.
        strict: whether it was given.
        reduce_range: whether it was given.
        tune_for: "any" is the default.

    Raises:
        UsageError: an option that cannot take effect, or a number out of range.

    Example:
        >>> read_quantize_options("none"), read_quantize_options("int8", max_drop=0.005).max_drop
        (None, 0.005)
    """
    options = {
        "calibration_samples": calibration_samples,
        "max_drop": max_drop,
        "min_speedup": min_speedup,
        "strict": strict or None,
        "reduce_range": reduce_range or None,
        "tune_for": None if tune_for == "any" else tune_for,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    idle = [name for name in given if quantize == "none" or (quantize == "fp16" and name in _INT8_ONLY)]
    if idle:
        option = idle[0].replace("_", "-")
        needed = "--quantize int8" if idle[0] in _INT8_ONLY else "--quantize int8 or fp16"
        raise UsageError(
            f"--{option}: it cannot take effect with --quantize {quantize}. Leave it out, or give {needed}."
        )
    return None if quantize == "none" else QuantizeConfig(precision=quantize, **given)
