"""Measuring model files: loading them, starting processes, answering in turn, watching the machine meanwhile."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from edgecnn.benchmarking.comparison import check_comparable, compare, read_report
from edgecnn.benchmarking.conditions import Snapshot
from edgecnn.benchmarking.config import NOTHING_TOLD, BenchConfig, PlainHints
from edgecnn.benchmarking.latency import Answering, measure_answers
from edgecnn.benchmarking.picture import make_picture
from edgecnn.benchmarking.report import BenchReport, FileBench, Proof
from edgecnn.benchmarking.startup import Startup, measure_startups
from edgecnn.errors import UsageError
from edgecnn.machine import describe_machine
from edgecnn_runtime import Predictor
from edgecnn_runtime.container import is_plain_file
from edgecnn_runtime.plain import PlainModel, load_plain_file

_PICTURES = 2
METHOD = (
    "Two seeded synthetic JPEGs of 480x640 pixels in turn, answered whole by each file in turn, in one process. "
    "preprocess: decoding and resizing; inference: the graph; postprocess: decoding the outputs; total: all of it. Of "
    "a file that takes a question: one about a picture that is new to it, then a further one about the same picture, "
    "of which the graph and its outputs count. Of plain ONNX the graph alone counts, on a ready array of the same "
    "picture. Percentiles of all runs after the warm-up. Process start to answer: "
    "medians over fresh processes, the files in turn, one start of each before them not counted; peak memory is the "
    "largest of those processes. The first answer of plain ONNX is its array made ready and the graph's first run."
)


def bench(
    files: Sequence[str],
    config: BenchConfig,
    *,
    told: PlainHints = NOTHING_TOLD,
    on_stage: Callable[[str], None] | None = None,
) -> BenchReport:
    """Measures model files, interleaved: each round answers the picture once with every file.

    Args:
        files: paths of model files, of edgecnn's or plain ONNX.
        config: device, threads, and how often.
        told: what the graphs of plain files leave open.
        on_stage: called with a line as each stage begins.

    Raises:
        ModelFileError: a file is refused.
        PlainInputError: what a plain file takes is left open, or told otherwise than its graph says.
        UsageError: something is told of plain files, and there are none.
        ProviderError: the device cannot be used here.
        MeasurementError: a process that was to be measured failed.
    """
    pictures, say = [make_picture(seed) for seed in range(_PICTURES)], on_stage or _ignore
    say(f"loading {len(files)} file{'s' if len(files) > 1 else ''}")
    models = [_load(file, config, told) for file in files]
    plain = [model.input if isinstance(model, PlainModel) else None for model in models]
    if told != NOTHING_TOLD and not any(plain):
        raise UsageError("--layout, --image-size: they cannot take effect where no file is plain ONNX")
    before = Snapshot.take()
    startups: Sequence[Startup | None] = [None] * len(files)
    if config.starts:
        say(f"starting {config.starts + 1} processes a file")
        startups = measure_startups(files, config, pictures[0], plain=plain)
    say(f"measuring {config.runs} runs a file" if config.runs else f"measuring for {config.duration_s} s")
    answering = measure_answers(models, config, pictures)
    return BenchReport(
        method=METHOD,
        config=config,
        spinning=config.spinning,
        machine=describe_machine(),
        conditions=before.until(Snapshot.take()),
        files=tuple(map(_describe, files, models, startups, answering)),
    )


def bench_against(
    earlier_path: str,
    files: Sequence[str],
    config: BenchConfig,
    max_regression: float | None,
    *,
    told: PlainHints = NOTHING_TOLD,
    on_stage: Callable[[str], None] | None = None,
) -> BenchReport:
    """Measures model files as `bench` does and compares them with an earlier report, which is checked first.

    Args:
        earlier_path: what `edgecnn bench --report` wrote.
        files: paths of model files.
        config: device, threads, and how often.
        max_regression: how much slower a file may be, as a share of the earlier time; None judges nothing.
        told: as for `bench`.
        on_stage: called with a line as each stage begins.

    Raises:
        ReportError: the earlier report cannot be read, or was not taken under these conditions.
        ModelFileError: as `bench`, like the others.
        PlainInputError: likewise.
        ProviderError: likewise.
        MeasurementError: likewise.
    """
    earlier = read_report(earlier_path)
    check_comparable(earlier, files, config, describe_machine())
    report = bench(files, config, told=told, on_stage=on_stage)
    return replace(report, comparison=compare(earlier, report, path=earlier_path, max_regression=max_regression))


def _ignore(stage: str) -> None:
    del stage


def _load(file: str, config: BenchConfig, told: PlainHints) -> Predictor | PlainModel:
    if is_plain_file(file):
        loaded = load_plain_file(file, device=config.device, threads=config.threads, spinning=config.spinning)
        return PlainModel(loaded, layout=told.layout, image_size=told.image_size)
    return Predictor.load(file, device=config.device, threads=config.threads, spinning=config.spinning)


def _describe(file: str, model: Predictor | PlainModel, startup: Startup | None, answering: Answering) -> FileBench:
    session = model.file.session if isinstance(model, PlainModel) else model.session
    evidence = None if isinstance(model, PlainModel) else model.evidence
    return FileBench(
        file=file,
        provider=model.provider,
        threads=session.threads,
        metric=None if evidence is None else evidence.parity.metric,
        startup=startup,
        preprocess_ms=answering.preprocess_ms,
        inference_ms=answering.inference_ms,
        postprocess_ms=answering.postprocess_ms,
        total_ms=answering.total_ms,
        further_ms=answering.further_ms,
        manifest=None if isinstance(model, PlainModel) else model.manifest.model,
        evidence=None if evidence is None else Proof(evidence.precision, evidence.payload_sha256),
        plain=model.input if isinstance(model, PlainModel) else None,
    )
