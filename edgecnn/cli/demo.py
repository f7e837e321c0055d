"""`edgecnn demo`: the whole way on embedded data, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import Table, format_bytes
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.extras import require

if TYPE_CHECKING:
    from edgecnn.benchmarking import Latency
    from edgecnn.tasks.classification.demo import Demo


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for what it makes.")] = Path(
        "demo"
    ),
) -> None:
    """Train on scikit-learn's digits, export in float32 and int8, evaluate, run and measure: a table and a picture."""
    with stdout_for_results() as results:
        from edgecnn.demo_folder import DemoFolder  # loads ONNX Runtime

        DemoFolder(output).check()
        require("tensorflow", "edgecnn_exporters", "onnx", "tf2onnx")
        load_tensorflow()
        from edgecnn.cli.training_progress import training_progress  # these load everything
        from edgecnn.tasks.classification.demo import run_demo

        with training_progress() as progress:
            demo = run_demo(output, progress=progress, on_stage=lambda stage: say(f"edgecnn: {stage}"))
        results.report(_format_demo(demo, output))


def _format_demo(demo: Demo, output: Path) -> list[str | Table]:
    files = (demo.float32, demo.int8)
    wrong = [one for one in demo.shown if not one.is_right]
    right = len(demo.shown) - len(wrong)
    mistakes = "".join(f", a {one.truth} taken for {one.answer.label} ({one.answer.score:.1%})" for one in wrong)
    rows = [
        ["accuracy of the Keras model", f"{demo.keras.accuracy:.4f}", ""],
        ["accuracy of the file", *(f"{file.evaluation.accuracy:.4f}" for file in files)],
        ["same best class as Keras", *(f"{file.export.evidence.parity.decoded.agreement:.4f}" for file in files)],
        ["size of the file", *(format_bytes(file.export.size_bytes) for file in files)],
        ["inference p50 / p90 / p99, ms", *(_format_latency(file.bench.inference_ms) for file in files)],
        ["ran on", *(file.bench.provider for file in files)],
        ["threads", *(str(file.bench.threads) for file in files)],
    ]
    return [
        f"mnist_convnet, trained on scikit-learn's digits, tested on {demo.keras.images} others",
        "",
        Table(["", "float32", "int8"], rows),
        "",
        f"{demo.picture}: {len(demo.shown)} test digits as the int8 file answers them, {right} right{mistakes}",
        f"Made in {demo.seconds:.0f} s, in {output}: run, {', '.join(file.export.path.name for file in files)}, "
        f"{demo.picture.name}",
        f"Next: edgecnn inspect {output / demo.int8.export.path.name}",
    ]


def _format_latency(latency: Latency) -> str:
    return f"{latency.p50:.3f} / {latency.p90:.3f} / {latency.p99:.3f}"
