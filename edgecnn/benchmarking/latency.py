"""Steady state: the files answer one picture in turn, and each part of an answer has its own spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edgecnn.benchmarking.config import BenchConfig
from edgecnn.benchmarking.picture import FURTHER_QUESTION, beside_picture
from edgecnn_runtime import Predictor
from edgecnn_runtime.plain import PlainModel


@dataclass(frozen=True, slots=True)
class Latency:
    """The spread of one part's time, in milliseconds.

    Attributes:
        n: how many measurements.
        p50: the median.
        p90: 90 % were faster.
        p99: 99 % were faster.
    """

    n: int
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> "Latency":
        """Returns the spread of the times.

        >>> Latency.of(list(range(101)))
        Latency(n=101, p50=50.0, p90=90.0, p99=99.0)
        """
        p50, p90, p99 = np.percentile(times_ms, [50, 90, 99]).tolist()
        return cls(n=len(times_ms), p50=p50, p90=p90, p99=p99)


@dataclass(frozen=True, slots=True)
class Answering:
    """How long a file's answers took; of a plain one, whose outputs nobody can read, there is the graph's time alone.

    Attributes:
        inference_ms: the graph.
        preprocess_ms: decoding and resizing the picture; None of a plain file.
        postprocess_ms: from raw outputs to the result; likewise.
        total_ms: one whole answer; likewise.
        further_ms: graph and result of a further question about the same picture; None of a file that takes none.
    """

    inference_ms: Latency
    preprocess_ms: Latency | None = None
    postprocess_ms: Latency | None = None
    total_ms: Latency | None = None
    further_ms: Latency | None = None


def measure_answers(
    models: Sequence[Predictor | PlainModel], config: BenchConfig, pictures: Sequence[bytes]
) -> list[Answering]:
    """Measures loaded files, interleaved: each round answers a picture once with every file.

    A plain file is given a ready array of the same picture. It is made anew each time, so that what is in the
    processor's cache is the same as before another file's graph runs.

    Args:
        models: one a file.
        config: how often.
        pictures: two encoded images, in turn: a file that answers questions may keep what it saw of the last one.

    Returns:
        One entry a file, in their order.
    """
    for turn in range(config.warmup):
        for model in models:
            _measure(model, pictures[turn % len(pictures)])
    samples: list[list[tuple[float, ...]]] = [[] for _ in models]
    end = None if config.duration_s is None else perf_counter() + config.duration_s
    rounds = 0
    while rounds < (config.runs or 1) or (end is not None and perf_counter() < end):
        for model, times in zip(models, samples, strict=True):
            times.append(_measure(model, pictures[rounds % len(pictures)]))
        rounds += 1
    return [Answering(*(Latency.of(column) for column in zip(*times, strict=True))) for times in samples]


def _measure(model: Predictor | PlainModel, picture: bytes) -> tuple[float, ...]:
    return _run(model, picture) if isinstance(model, PlainModel) else _answer(model, picture)


def _run(model: PlainModel, picture: bytes) -> tuple[float]:
    """Returns the time of the graph on a ready array."""
    feeds = model.prepare(picture).feeds
    start = perf_counter()
    model.run(feeds)
    return ((perf_counter() - start) * 1000,)


def _answer(predictor: Predictor, picture: bytes) -> tuple[float, ...]:
    """Returns (inference, preprocess, postprocess, total) of one answer, and the time of a further question."""
    beside = beside_picture(predictor.manifest)
    start = perf_counter()
    speed = predictor.predict(picture, **beside).speed_ms
    total_ms = (perf_counter() - start) * 1000
    assert speed is not None, "a Predictor always measures"
    times = speed.inference, speed.preprocess, speed.postprocess, total_ms
    if predictor.manifest.text_input is None:
        return times
    further = predictor.predict(picture, FURTHER_QUESTION).speed_ms
    assert further is not None, "as above"
    return *times, further.inference + further.postprocess
