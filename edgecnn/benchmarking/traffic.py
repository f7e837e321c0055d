"""A process that answers the queries of MLPerf's LoadGen; `scenarios` runs it as a script.

Argument: the options as a JSON object. LoadGen cannot be left by an exception (it ends the
process then), so what goes wrong while it runs is kept, the remaining queries are answered without work, and the error
follows.

Reference:
    https://github.com/mlcommons/inference/tree/master/loadgen
"""

import json
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from edgecnn.benchmarking.child import FOUND
from edgecnn.benchmarking.picture import beside_picture, make_picture
from edgecnn_runtime import Placement, Predictor
from edgecnn_runtime.inputs import join
from edgecnn_runtime.tasks.table import decode

TOGETHER = 8  # samples that run together in a graph that takes any number, and those of a query in MultiStream
_PICTURES = 8
_PROBES = 5  # answers whose time tells LoadGen how many queries to prepare
_SPARE = 1.5  # it prepares for a system so many times faster, so that it never runs out of them
_NAMES = {"single-stream": "SingleStream", "multi-stream": "MultiStream", "offline": "Offline"}


class Answerer:
    """A loaded file and ready pixels: MLPerf times the graph and decoding of its outputs, not preprocessing.

    Args:
        predictor: the file.
        pictures: encoded images.
    """

    def __init__(self, predictor: Predictor, pictures: Sequence[bytes]) -> None:
        self._predictor = predictor
        beside = beside_picture(predictor.manifest)
        self._samples = [predictor.inputs(picture, **beside) for picture in pictures]
        self.together = predictor.batch or TOGETHER

    def answer(self, indices: Sequence[int]) -> None:
        """Answers samples, at most `together`; a fixed batch that is not full is filled up with the last one."""
        samples = [self._samples[index] for index in indices]
        outputs = self._predictor.run(join([sample.feeds for sample in samples]))
        for row, sample in enumerate(samples):
            self._decode({name: values[row : row + 1] for name, values in outputs.items()}, sample.placement)

    def probe(self, count: int, warmup: int) -> float:
        """Returns the seconds of the fastest of a few answers of `count` samples, after a warm-up."""
        indices = [index % len(self._samples) for index in range(count)]
        for _ in range(warmup):
            self.answer(indices)
        times = []
        for _ in range(_PROBES):
            start = perf_counter()
            self.answer(indices)
            times.append(perf_counter() - start)
        return min(times)

    def _decode(self, outputs: dict[str, Any], placement: Placement) -> None:
        decode(self._predictor.manifest, outputs, [placement])


class System:
    """LoadGen's system under test.

    Args:
        loadgen: the module.
        answerer: what answers.

    Attributes:
        problem: the first error, or None.
    """

    def __init__(self, loadgen: Any, answerer: Answerer) -> None:
        self._loadgen = loadgen
        self._answerer = answerer
        self.problem: BaseException | None = None

    def issue(self, query: Sequence[Any]) -> None:
        """Answers one query: as many samples at a time as the graph takes, each completed with its batch."""
        step = self._answerer.together
        for first in range(0, len(query), step):
            samples = query[first : first + step]
            if self.problem is None:
                try:
                    self._answerer.answer([sample.index for sample in samples])
                except BaseException as error:  # noqa: BLE001  (raised again by main, once LoadGen has ended)
                    self.problem = error
            self._loadgen.QuerySamplesComplete(
                [self._loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in samples]
            )


def make_settings(
    loadgen: Any, scenario: str, *, queries: int | None, duration_s: float | None, sample_s: float
) -> Any:
    """Returns LoadGen's settings.

    Args:
        loadgen: the module.
        scenario: "single-stream", "multi-stream" or "offline".
        queries: exactly as many (offline: samples); None goes by `duration_s`.
        duration_s: at least as long; None goes by `queries`.
        sample_s: how long one sample takes, about.
    """
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, _NAMES[scenario])
    settings.mode = loadgen.TestMode.PerformanceOnly
    expected_s = sample_s / _SPARE
    settings.single_stream_expected_latency_ns = int(expected_s * 1e9)
    settings.multi_stream_samples_per_query = TOGETHER
    settings.multi_stream_expected_latency_ns = int(expected_s * TOGETHER * 1e9)
    settings.offline_expected_qps = 1 / expected_s
    if queries is None:
        settings.min_query_count = 1
        settings.min_duration_ms = int((duration_s or 0) * 1000)
    else:
        settings.min_query_count = settings.max_query_count = queries
        settings.min_duration_ms = 0
    return settings


def main(options: str) -> None:
    """Loads the file, lets LoadGen ask, and tells how many samples ran together; LoadGen's logs tell the rest."""
    import mlperf_loadgen as loadgen  # an optional extra

    asked = json.loads(options)
    load = {name: asked[name] for name in ("device", "threads", "spinning")}
    answerer = Answerer(Predictor.load(asked["file"], **load), [make_picture(seed) for seed in range(_PICTURES)])
    together = 1 if asked["scenario"] == "single-stream" else min(answerer.together, TOGETHER)
    sample_s = answerer.probe(together, asked["warmup"]) / together
    limits = {name: asked[name] for name in ("queries", "duration_s")}
    system = System(loadgen, answerer)
    sut = loadgen.ConstructSUT(system.issue, _nothing)
    library = loadgen.ConstructQSL(_PICTURES, _PICTURES, _nothing, _nothing)
    logs = loadgen.LogSettings()
    logs.log_output.outdir = asked["logs"]
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = False
    settings = make_settings(loadgen, asked["scenario"], sample_s=sample_s, **limits)
    loadgen.StartTestWithLogSettings(sut, library, settings, logs, "")
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(sut)
    if system.problem is not None:
        raise system.problem
    sys.stdout.write(f"\n{FOUND}{json.dumps({'together': answerer.together})}\n")


def _nothing(*_: Any) -> None:
    """All samples lie in memory already, and no query waits."""


if __name__ == "__main__":
    main(*sys.argv[1:])
