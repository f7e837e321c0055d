"""One file of fewer bits that was made and judged."""

from dataclasses import dataclass

from edgecnn_exporters.quantization.calibration import Method
from edgecnn_exporters.quantization.speed import Speedup
from edgecnn_runtime.evidence import Precision


@dataclass(frozen=True, slots=True)
class Try:
    """One file of fewer bits, judged.

    Attributes:
        precision: of its layers.
        calibration: how the ranges were found; None for float16.
        layers: how many convolutions and matrix products have that precision.
        float_layers: the nodes of those that were left in float32.
        metric: its name; None without labels.
        source: the metric of the source; None without labels.
        file: the metric of this file; None without labels.
        drop: source minus file; without labels the largest difference of an output, as a part of its maximum.
        bound: the one-sided 95 % bound on the drop; None where there is none.
        decided: whether the bound keeps the budget too.
        agreement: the part of the images with the source's best answer, 0 to 1.
        speedup: against the float32 file; None where it was not measured.
        size_bytes: of the graph.
        accurate: whether the drop keeps its budget and every output is finite.
        fast: whether the speed-up keeps its budget; None where it was not measured.
        strict: whether it must be decided too, to fit.
    """

    precision: Precision
    calibration: Method | None
    layers: int
    float_layers: tuple[str, ...]
    metric: str | None
    source: float | None
    file: float | None
    drop: float
    bound: float | None
    decided: bool
    agreement: float
    speedup: Speedup | None
    size_bytes: int
    accurate: bool
    fast: bool | None
    strict: bool = False

    @property
    def fits(self) -> bool:
        """Whether it keeps all budgets, so that it may be the file."""
        return self.accurate and self.fast is not False and (self.decided or not self.strict)

    def describe(self) -> str:
        """Returns one line for people."""
        how = self.precision if self.calibration is None else f"{self.precision}, {self.calibration}"
        kept = f", {len(self.float_layers)} of {self.layers + len(self.float_layers)} layers in float32"
        what = "outputs off by" if self.metric is None else f"{self.metric} drop"
        speed = "not measured" if self.speedup is None else f"{self.speedup.ratio:.2f}"
        return f"{how}{kept if self.float_layers else ''}: {what} {self.drop:.4f}, speed-up {speed}"
