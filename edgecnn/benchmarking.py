"""How fast model files are on this machine: several files interleaved, so that their ratio holds on a noisy one."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from PIL import Image

from edgecnn.machine import Machine, describe_machine
from edgecnn.memory import peak_memory_bytes
from edgecnn_runtime import Predictor, Result
from edgecnn_runtime.evidence import MetricParity
from edgecnn_runtime.providers import Device

IMAGE_SIZE = (480, 640)  # (height, width) of the encoded picture that is answered
_SEED = 0
METHOD = (
    "One seeded synthetic JPEG of 480x640 pixels, in memory, answered whole by each file in turn. preprocess: decoding "
    "and resizing; inference: the graph; postprocess: decoding the outputs; total: all of it. Percentiles of all runs "
    "after the warm-up. load: reading, checking and creating the session; first: the first answer."
)


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """What is measured.

    Attributes:
        device: where to run.
        threads: of the CPU; None is one for each CPU that the process may use.
        warmup: answers of each file before the measured ones.
        runs: measured answers of each file; None measures for `duration_s`.
        duration_s: seconds of measured answers, over all files; None measures `runs`.
    """

    device: Device = "auto"
    threads: int | None = None
    warmup: int = 10
    runs: int | None = 100
    duration_s: float | None = None

    def __post_init__(self) -> None:
        if (self.runs is None) == (self.duration_s is None):
            raise ValueError(f"expected runs or duration_s, received {self.runs} and {self.duration_s}")


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


@dataclass(frozen=True, slots=True)
class FileBench:
    """What was measured of one file; times in milliseconds.

    Attributes:
        file: its path.
        provider: the execution provider that ran it.
        threads: that one operator may use on the CPU.
        metric: the file's quality, out of its evidence; None where it was never measured.
        load_ms: reading, checking and creating the session.
        first_ms: the first answer.
        preprocess_ms: decoding and resizing the picture.
        inference_ms: the graph.
        postprocess_ms: from raw outputs to the result.
        total_ms: one whole answer.
    """

    file: str
    provider: str
    threads: int
    metric: MetricParity | None
    load_ms: float
    first_ms: float
    preprocess_ms: Latency
    inference_ms: Latency
    postprocess_ms: Latency
    total_ms: Latency


@dataclass(frozen=True, slots=True)
class BenchReport:
    """A whole measurement.

    Attributes:
        method: what was measured and how.
        config: with which options.
        spinning: whether waiting threads burned CPU time.
        machine: where.
        peak_memory_bytes: of this process, with all files loaded; None where the system does not tell.
        files: one entry a file, in the order asked for.
    """

    method: str
    config: BenchConfig
    spinning: bool
    machine: Machine
    peak_memory_bytes: int | None
    files: tuple[FileBench, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    file: str
    predictor: Predictor
    load_ms: float
    first_ms: float


def bench(files: Sequence[str], config: BenchConfig, *, on_stage: Callable[[str], None] | None = None) -> BenchReport:
    """Measures model files, interleaved: each round answers the picture once with every file.

    Args:
        files: paths of model files.
        config: device, threads, and how often.
        on_stage: called with a line as each stage begins.

    Raises:
        ModelFileError: a file is refused.
        ProviderError: the device cannot be used here.
    """
    picture = _picture()
    spinning = config.threads is not None  # back to back on threads that were given: the fastest setting
    say = on_stage or _ignore
    say(f"loading {len(files)} file{'s' if len(files) > 1 else ''}")
    loaded = [_load(file, config, picture, spinning) for file in files]
    say(f"measuring {config.runs} runs a file" if config.runs else f"measuring for {config.duration_s} s")
    for _ in range(config.warmup):
        for item in loaded:
            item.predictor.predict(picture)
    samples = _measure([item.predictor for item in loaded], config, picture)
    return BenchReport(
        method=METHOD,
        config=config,
        spinning=spinning,
        machine=describe_machine(),
        peak_memory_bytes=peak_memory_bytes(),
        files=tuple(_summarise(item, times) for item, times in zip(loaded, samples, strict=True)),
    )


def _ignore(stage: str) -> None:
    del stage


def _picture() -> bytes:
    """Smooth waves and some grain, so that decoding costs about what a photo's does."""
    height, width = IMAGE_SIZE
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 37 + y / 53), np.cos(x / 29 - y / 71), np.sin((x + y) / 83)], axis=-1)  # (H, W, 3)
    grain = np.random.default_rng(_SEED).normal(0, 8, waves.shape)
    encoded = io.BytesIO()
    Image.fromarray(np.clip(128 + 90 * waves + grain, 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


def _load(file: str, config: BenchConfig, picture: bytes, spinning: bool) -> _Loaded:
    start = perf_counter()
    predictor = Predictor.load(file, device=config.device, threads=config.threads, spinning=spinning)
    loaded = perf_counter()
    predictor.predict(picture)
    return _Loaded(file, predictor, (loaded - start) * 1000, (perf_counter() - loaded) * 1000)


def _measure(
    predictors: Sequence[Predictor], config: BenchConfig, picture: bytes
) -> list[list[tuple[float, float, float, float]]]:
    """Returns, for each predictor, (preprocess, inference, postprocess, total) of every run."""
    samples: list[list[tuple[float, float, float, float]]] = [[] for _ in predictors]
    end = None if config.duration_s is None else perf_counter() + config.duration_s
    rounds = 0
    while rounds < (config.runs or 1) or (end is not None and perf_counter() < end):
        for predictor, times in zip(predictors, samples, strict=True):
            start = perf_counter()
            result = predictor.predict(picture)
            times.append((*_parts(result), (perf_counter() - start) * 1000))
        rounds += 1
    return samples


def _parts(result: Result) -> tuple[float, float, float]:
    speed = result.speed_ms
    assert speed is not None, "a Predictor always measures"
    return speed.preprocess, speed.inference, speed.postprocess


def _summarise(loaded: _Loaded, times: Sequence[tuple[float, float, float, float]]) -> FileBench:
    preprocess, inference, postprocess, total = (_latency(column) for column in zip(*times, strict=True))
    evidence, session = loaded.predictor.evidence, loaded.predictor.session
    return FileBench(
        file=loaded.file,
        provider=session.provider,
        threads=session.threads,
        metric=None if evidence is None else evidence.parity.metric,
        load_ms=loaded.load_ms,
        first_ms=loaded.first_ms,
        preprocess_ms=preprocess,
        inference_ms=inference,
        postprocess_ms=postprocess,
        total_ms=total,
    )


def _latency(times_ms: Sequence[float]) -> Latency:
    p50, p90, p99 = np.percentile(times_ms, [50, 90, 99]).tolist()
    return Latency(n=len(times_ms), p50=p50, p90=p90, p99=p99)
