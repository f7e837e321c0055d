"""Measuring model files: loading them, starting processes, answering in turn, watching the machine meanwhile."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from edgecnn.benchmarking.comparison import check_comparable, compare, read_report
from edgecnn.benchmarking.conditions import Snapshot
from edgecnn.benchmarking.config import BenchConfig
from edgecnn.benchmarking.latency import Answering, measure_answers
from edgecnn.benchmarking.picture import make_picture
from edgecnn.benchmarking.report import BenchReport, FileBench
from edgecnn.benchmarking.startup import Startup, measure_startups
from edgecnn.machine import describe_machine
from edgecnn_runtime import Predictor

_PICTURES = 2
METHOD = (
    "Two seeded synthetic JPEGs of 480x640 pixels in turn, answered whole by each file in turn, in one process. "
    "preprocess: decoding and resizing; inference: the graph; postprocess: decoding the outputs; total: all of it. Of "
    "a file that takes a question: one about a picture that is new to it, then a further one about the same picture, "
    "of which the graph and its outputs count. Percentiles of all runs after the warm-up. Process start to answer: "
    "medians over fresh processes, the files in turn, one start of each before them not counted; peak memory is the "
    "largest of those processes."
)


def bench(files: Sequence[str], config: BenchConfig, *, on_stage: Callable[[str], None] | None = None) -> BenchReport:
    """Measures model files, interleaved: each round answers the picture once with every file.

    Args:
        files: paths of model files.
        config: device, threads, and how often.
        on_stage: called with a line as each stage begins.

    Raises:
        ModelFileError: a file is refused.
        ProviderError: the device cannot be used here.
        MeasurementError: a process that was to be measured failed.
    """
    pictures, say = [make_picture(seed) for seed in range(_PICTURES)], on_stage or _ignore
    say(f"loading {len(files)} file{'s' if len(files) > 1 else ''}")
    predictors = [
        Predictor.load(file, device=config.device, threads=config.threads, spinning=config.spinning) for file in files
    ]
    before = Snapshot.take()
    startups: Sequence[Startup | None] = [None] * len(files)
    if config.starts:
        say(f"starting {config.starts + 1} processes a file")
        startups = measure_startups(files, config, pictures[0])
    say(f"measuring {config.runs} runs a file" if config.runs else f"measuring for {config.duration_s} s")
    answering = measure_answers(predictors, config, pictures)
    return BenchReport(
        method=METHOD,
        config=config,
        spinning=config.spinning,
        machine=describe_machine(),
        conditions=before.until(Snapshot.take()),
        files=tuple(map(_describe, files, predictors, startups, answering)),
    )


def bench_against(
    earlier_path: str,
    files: Sequence[str],
    config: BenchConfig,
    max_regression: float | None,
    *,
    on_stage: Callable[[str], None] | None = None,
) -> BenchReport:
    """Measures model files as `bench` does and compares them with an earlier report, which is checked first.

    Args:
        earlier_path: what `edgecnn bench --report` wrote.
        files: paths of model files.
        config: device, threads, and how often.
        max_regression: how much slower a file may be, as a share of the earlier time; None judges nothing.
        on_stage: called with a line as each stage begins.

    Raises:
        ReportError: the earlier report cannot be read, or was not taken under these conditions.
        ModelFileError: a file is refused.
        ProviderError: the device cannot be used here.
        MeasurementError: a process that was to be measured failed.
    """
    earlier = read_report(earlier_path)
    check_comparable(earlier, files, config, describe_machine())
    report = bench(files, config, on_stage=on_stage)
    return replace(report, comparison=compare(earlier, report, path=earlier_path, max_regression=max_regression))


def _ignore(stage: str) -> None:
    del stage


def _describe(file: str, predictor: Predictor, startup: Startup | None, answering: Answering) -> FileBench:
    evidence = predictor.evidence
    return FileBench(
        file=file,
        provider=predictor.provider,
        threads=predictor.session.threads,
        metric=None if evidence is None else evidence.parity.metric,
        startup=startup,
        preprocess_ms=answering.preprocess_ms,
        inference_ms=answering.inference_ms,
        postprocess_ms=answering.postprocess_ms,
        total_ms=answering.total_ms,
        further_ms=answering.further_ms,
    )
