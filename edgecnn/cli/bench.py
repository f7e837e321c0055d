"""`edgecnn bench`: how fast model files are on this machine."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgecnn.cli.bench_text import format_bench, format_scenario
from edgecnn.cli.options import Device, Format, Threads
from edgecnn.cli.plain_options import Layout, PlainImageSize, refuse_given
from edgecnn.cli.streams import Results, say, stdout_for_results
from edgecnn.cli.tables import Table


def bench(
    models: Annotated[list[str], typer.Argument(metavar="FILE.onnx", help="One or several; they run in turn.")],
    device: Device = "auto",
    threads: Threads = None,
    warmup: Annotated[int, typer.Option(min=0, metavar="N", help="Answers before the measured ones.")] = 10,
    runs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Measured answers a file. [default: 100; with --scenario as many as LoadGen needs]"
        ),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.001, metavar="S", help="Measure this many seconds instead of --runs.")
    ] = None,
    starts: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Processes to time from start to first answer, a file. [default: 5]"),
    ] = None,
    scenario: Annotated[
        Literal["single-stream", "multi-stream", "offline"] | None,
        typer.Option(help="Let MLPerf's LoadGen ask instead (extra 'loadgen')."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="OLD.json", help="Compare inference p50 with that of an earlier --report.")
    ] = None,
    max_regression: Annotated[
        float | None,
        typer.Option(min=0, metavar="SHARE", help="With --compare: exit 5 where a file is slower by more than this."),
    ] = None,
    layout: Layout = None,
    image_size: PlainImageSize = None,
    format: Format = "text",
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the JSON report here.")] = None,
) -> None:
    """Measure model files: process start, session, first and further answers, memory; against an earlier report.

    Plain ONNX is measured too: its graph alone, on a ready array of the same picture.
    """
    _check_options(runs, duration, starts, scenario, compare, max_regression)
    if scenario is not None:
        refuse_given({"--layout": layout, "--image-size": image_size}, "with --scenario, which takes no plain ONNX")
    with stdout_for_results() as results:
        from edgecnn import benchmarking  # loads ONNX Runtime
        from edgecnn.outputs import Input, Output, check_outputs

        read = [Input("FILE.onnx", Path(model)) for model in models]
        read += [] if compare is None else [Input("--compare", compare)]
        check_outputs([] if report is None else [Output("--report", report)], read)

        if scenario is not None:
            options = benchmarking.ScenarioConfig(scenario, device, threads, warmup, runs, duration)
            asked = benchmarking.bench_scenario(models, options, on_stage=_tell)
            _give(results, asked.to_dict(), format_scenario(asked), format, report)
            return
        runs = (runs or 100) if duration is None else None
        config = benchmarking.BenchConfig(device, threads, warmup, runs, duration, 5 if starts is None else starts)
        told = benchmarking.PlainHints(layout, image_size)
        if compare is None:
            found = benchmarking.bench(models, config, told=told, on_stage=_tell)
        else:
            found = benchmarking.bench_against(str(compare), models, config, max_regression, told=told, on_stage=_tell)
        _give(results, found.to_dict(), format_bench(found), format, report)
        benchmarking.check_regression(found)


def _check_options(
    runs: int | None,
    duration: float | None,
    starts: int | None,
    scenario: str | None,
    compare: Path | None,
    max_regression: float | None,
) -> None:
    if runs is not None and duration is not None:
        raise typer.BadParameter("it contradicts --duration: give one of them.", param_hint="--runs")
    if max_regression is not None and compare is None:
        raise typer.BadParameter("it needs --compare OLD.json.", param_hint="--max-regression")
    if scenario is not None:
        for name, value in (("--compare", compare), ("--starts", starts)):
            if value is not None:
                raise typer.BadParameter("it cannot be used with --scenario.", param_hint=name)


def _tell(stage: str) -> None:
    say(f"edgecnn: {stage}")


def _give(
    results: Results, tree: dict[str, Any], blocks: Sequence[str | Table], format: str, report: Path | None
) -> None:
    if report is not None:
        from edgecnn.atomic import write_text  # loads the runtime, which --help must not

        write_text(report, json.dumps(tree, indent=2) + "\n")
    if format == "json":
        results.json(tree)
    else:
        results.report(blocks)
