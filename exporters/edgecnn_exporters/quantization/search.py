"""In which order files of fewer bits are tried: calibrations first, then layers back in float32, until one is accurate.

What a try is made and judged by stands behind `Workshop`; here is the order alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edgecnn_exporters.quantization.calibration import METHODS, Method
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
        top1_agreement: the part of the images with the source's best class, 0 to 1.
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
    top1_agreement: float
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


class Workshop(Protocol):
    """Makes and judges files."""

    @property
    def layers(self) -> frozenset[str]:
        """The names of all layers that can be of fewer bits."""
        ...

    def attempt(self, method: Method, float_nodes: frozenset[str]) -> Try:
        """Makes a file with these nodes in float32 and judges it; it stays until the next one."""
        ...

    def by_sensitivity(self, method: Method) -> Iterator[tuple[str, ...]]:
        """Yields for each layer the nodes that go back to float32 with it, the most sensitive layer first."""
        ...


def search(workshop: Workshop) -> Iterator[Try]:
    """Yields one try after the other; the last one is accurate, if any is.

    The calibrations come first: trimmed, MinMax, percentile, entropy. If none is accurate, the one with the least drop
    goes on with its most sensitive layers in float32, one after another, as long as any layer is left and it is not too
    slow already.
    """
    tries = []
    for method in METHODS:
        tries.append(workshop.attempt(method, frozenset()))
        yield tries[-1]
        if tries[-1].accurate:
            return
    best = min(tries, key=lambda one: one.drop).calibration
    assert best is not None, "every try so far was calibrated"
    kept: frozenset[str] = frozenset()
    for nodes in workshop.by_sensitivity(best):
        more = kept.union(nodes)
        if more == kept:
            continue
        if workshop.layers <= more:
            return
        kept = more
        one = workshop.attempt(best, kept)
        yield one
        if one.accurate or one.fast is False:
            return
