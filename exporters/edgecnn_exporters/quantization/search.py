"""In which order files of fewer bits are tried: calibrations first, then layers back in float32, until one is accurate.

What a try is made and judged by stands behind `Workshop`; here is the order alone.
"""

from collections.abc import Iterator
from typing import Protocol

from edgecnn_exporters.quantization.calibration import METHODS, Method
from edgecnn_exporters.quantization.tries import Try


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
