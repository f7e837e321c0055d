"""How every benchmark takes its medians: what is compared takes turns. Needs the standard library alone."""

import statistics
from collections.abc import Callable, Sequence
from time import perf_counter


def interleave(runs: int, **functions: Callable[[], object]) -> dict[str, list[float]]:
    """Calls the functions in turn, `runs` times over, and returns the milliseconds of each call by name.

    Every round begins with another one, so that none always finds what the same one left behind in the caches.
    """
    names = list(functions)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(runs):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            start = perf_counter()
            functions[name]()
            samples[name].append((perf_counter() - start) * 1000)
    return samples


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Returns median, 10th and 90th percentile and n."""
    deciles = statistics.quantiles(samples, n=10, method="inclusive")
    return {"median": statistics.median(samples), "p10": deciles[0], "p90": deciles[-1], "n": len(samples)}
