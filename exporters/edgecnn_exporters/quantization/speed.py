"""How much faster one file is than another on this machine: run in turn, so that noise hits both."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.session import Session

THREADS = 1
_WARMUP, _FEWEST, _MOST = 10, 30, 1000  # pairs of runs
_SECONDS = 2.0  # of measured runs, once there are the fewest


@dataclass(frozen=True, slots=True)
class Speedup:
    """What was measured, in pairs of one run each.

    Attributes:
        ratio: the median over the pairs of the float32 file's time by the other's.
        float32_ms: the median time of the float32 file.
        file_ms: the median time of the other.
        n: how many pairs.
        batch: images a run.
        threads: of the CPU.
        provider: the execution provider that ran both.
    """

    ratio: float
    float32_ms: float
    file_ms: float
    n: int
    batch: int
    threads: int
    provider: str


def measure_speedup(
    float32: bytes, file: bytes, feeds: Mapping[str, npt.NDArray[Any]], *, device: Literal["cpu", "cuda"] = "cpu"
) -> Speedup:
    """Returns how much faster a graph is than the float32 graph that it was made of.

    Args:
        float32: the graph to compare with.
        file: the graph in question.
        feeds: of one run of either.
        device: where both run.
    """
    sessions = [
        Session(float32, device=device, threads=THREADS),
        Session(file, device=device, threads=THREADS, tf32=device == "cuda"),  # float16, and as Predictor.load does
    ]
    for _ in range(_WARMUP):
        for session in sessions:
            session.run(feeds)
    pairs: list[tuple[float, float]] = []
    end = perf_counter() + _SECONDS
    while len(pairs) < _FEWEST or (len(pairs) < _MOST and perf_counter() < end):
        pairs.append((_time_ms(sessions[0], feeds), _time_ms(sessions[1], feeds)))
    times = np.array(pairs)  # (n, 2)
    return Speedup(
        ratio=float(np.median(times[:, 0] / times[:, 1])),
        float32_ms=float(np.median(times[:, 0])),
        file_ms=float(np.median(times[:, 1])),
        n=len(pairs),
        batch=len(next(iter(feeds.values()))),
        threads=THREADS,
        provider=sessions[1].provider,
    )


def _time_ms(session: Session, feeds: Mapping[str, npt.NDArray[Any]]) -> float:
    start = perf_counter()
    session.run(feeds)
    return (perf_counter() - start) * 1000
