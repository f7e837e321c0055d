"""`edgecnn demo`: the whole way on embedded data, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import Table, format_bytes
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.extras import require

if TYPE_CHECKING:
    from edgecnn.benchmarking import Latency
    from edgecnn.demonstration.plans import DemoPlan
    from edgecnn.demonstration.way import Demo

DemoTask = Literal["classification", "detection", "segmentation", "question"]  # those whose rows have one


def demo(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for what it makes. [default: demo; of another task demo-TASK]",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        DemoTask,
        typer.Option(help="classification of scikit-learn's digits in seconds; of drawn shapes in minutes the others."),
    ] = "classification",
) -> None:
    """Train on embedded data, export in float32 and int8, evaluate, run and measure: a table and a picture."""
    with stdout_for_results() as results:
        from edgecnn.demonstration.plans import DemoFolder  # loads ONNX Runtime
        from edgecnn.tasks.table import TASKS, load

        plan: DemoPlan = load(TASKS[task].demo or "")
        folder = output or Path(plan.folder)
        DemoFolder(folder, plan).check()
        require("tensorflow", "edgecnn_exporters", "onnx", "tf2onnx")
        load_tensorflow()
        from edgecnn.cli.training_progress import training_progress  # these load everything
        from edgecnn.demonstration.way import run_demo

        with training_progress() as progress:
            demo = run_demo(plan, folder, progress=progress, on_stage=lambda stage: say(f"edgecnn: {stage}"))
        results.report(_format_demo(demo, plan, folder))


def _format_demo(demo: Demo, plan: DemoPlan, folder: Path) -> list[str | Table]:
    files = (demo.float32, demo.int8)
    scores = [f"{one.to_dict()[plan.metric]:.4f}" for one in (demo.keras, *(file.evaluation for file in files))]
    rows = [
        [f"{plan.told} of the Keras model", scores[0], ""],
        [f"{plan.told} of the file", *scores[1:]],
        [plan.agreement, *(f"{file.export.evidence.parity.decoded.agreement:.4f}" for file in files)],
        ["size of the file", *(format_bytes(file.export.size_bytes) for file in files)],
        ["inference p50 / p90 / p99, ms", *(_format_latency(file.bench.inference_ms) for file in files)],
        ["ran on", *(file.bench.provider for file in files)],
        ["threads", *(str(file.bench.threads) for file in files)],
    ]
    return [
        f"{plan.training.model}, trained on {plan.images}, tested on {demo.keras.images} others",
        "",
        Table(["", "float32", "int8"], rows),
        "",
        f"{demo.picture}: {demo.shown}",
        f"Made in {demo.seconds:.0f} s, in {folder}: run, {', '.join(file.export.path.name for file in files)}, "
        f"{demo.picture.name}",
        f"Next: edgecnn inspect {folder / demo.int8.export.path.name}",
    ]


def _format_latency(latency: Latency) -> str:
    return f"{latency.p50:.3f} / {latency.p90:.3f} / {latency.p99:.3f}"
