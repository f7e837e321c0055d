"""`edgecnn bench`: how fast model files are on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edgecnn.cli.options import Device, Format, Threads
from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import format_bytes, format_table


def bench(
    models: Annotated[list[str], typer.Argument(metavar="FILE.onnx", help="One or several; they run in turn.")],
    device: Device = "auto",
    threads: Threads = None,
    warmup: Annotated[int, typer.Option(min=0, metavar="N", help="Answers before the measured ones.")] = 10,
    runs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Measured answers a file. [default: 100]")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.001, metavar="S", help="Measure this many seconds instead of --runs.")
    ] = None,
    format: Format = "text",
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the JSON report here.")] = None,
) -> None:
    """Measure model files: load, first answer, preprocessing, inference, postprocessing, memory."""
    if runs is not None and duration is not None:
        raise typer.BadParameter("it contradicts --duration: give one of them.", param_hint="--runs")
    with stdout_for_results() as results:
        from edgecnn.atomic import write_text  # these load ONNX Runtime
        from edgecnn.benchmarking import BenchConfig, bench

        config = BenchConfig(device, threads, warmup, (runs or 100) if duration is None else None, duration)
        tree = asdict(bench(models, config, on_stage=lambda stage: say(f"edgecnn: {stage}")))
        if report is not None:
            write_text(report, json.dumps(tree, indent=2) + "\n")
        if format == "json":
            results.json(tree)
        else:
            results.line(format_bench(tree))


def format_bench(tree: dict[str, Any]) -> str:
    """Returns a report for people: one column a file, milliseconds."""
    files, machine = tree["files"], tree["machine"]
    columns = [_format_column(file, files[0]) for file in files]
    rows = [[row, *(column[row] for column in columns)] for row in columns[0]]
    memory = "not known" if tree["peak_memory_bytes"] is None else format_bytes(tree["peak_memory_bytes"])
    return "\n".join(
        [
            format_table(["milliseconds", *(file["file"] for file in files)], rows),
            "",
            f"{tree['method']} Spinning {'on' if tree['spinning'] else 'off'}.",
            f"{machine['cpu']}, {machine['usable_cpus']} of {machine['cpus']} threads usable, {machine['system']}, "
            f"ONNX Runtime {machine['versions']['onnxruntime'] or machine['versions']['onnxruntime-gpu']}; "
            f"peak memory {memory}.",
        ]
    )


def _format_column(file: dict[str, Any], first: dict[str, Any]) -> dict[str, str]:
    metric, inference = file["metric"], file["inference_ms"]
    return {
        "quality": "not measured" if metric is None else f"{metric['name']} {metric['file']:.4f}",
        "ran on": f"{file['provider']}, {file['threads']} thread{'s' if file['threads'] > 1 else ''}",
        "load": f"{file['load_ms']:.2f}",
        "first answer": f"{file['first_ms']:.2f}",
        "preprocess p50": f"{file['preprocess_ms']['p50']:.3f}",
        **{f"inference {name}": f"{inference[name]:.3f}" for name in ("p50", "p90", "p99")},
        "postprocess p50": f"{file['postprocess_ms']['p50']:.3f}",
        "total p50": f"{file['total_ms']['p50']:.3f}",
        "answers measured": str(inference["n"]),
        "faster than the first": f"{first['inference_ms']['p50'] / inference['p50']:.2f} times",
    }
