"""`edgecnn demo`: the whole way on embedded data, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import format_bytes, format_table
from edgecnn.cli.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from edgecnn.benchmarking import Latency
    from edgecnn.demo import Demo


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for what it makes.")] = Path(
        "demo"
    ),
) -> None:
    """Train on scikit-learn's digits, export in float32 and int8, evaluate, run and measure: a table and a picture."""
    with stdout_for_results() as results:
        load_tensorflow()
        from edgecnn.cli.training_progress import training_progress  # these load everything
        from edgecnn.demo import run_demo

        with training_progress() as progress:
            demo = run_demo(output, progress=progress, on_stage=lambda stage: say(f"edgecnn: {stage}"))
        results.line(_format_demo(demo, output))


def _format_demo(demo: Demo, output: Path) -> str:
    files = (demo.float32, demo.int8)
    rows = [
        ["test accuracy of the Keras model", f"{demo.keras.accuracy:.4f} on {demo.keras.images} digits", ""],
        ["test accuracy of the file", *(f"{file.evaluation.accuracy:.4f}" for file in files)],
        ["same best class as Keras", *(f"{file.export.evidence.parity.decoded.top1_agreement:.4f}" for file in files)],
        ["size of the file", *(format_bytes(file.export.size_bytes) for file in files)],
        ["inference, p50 / p90 / p99", *(_format_latency(file.bench.inference_ms) for file in files)],
        ["ran on", *(f"{file.bench.provider}, {file.bench.threads} thread" for file in files)],
        *(
            [f"test digit {index}, a {truth}", "", f"answered {answer.label}, probability {answer.score:.4f}"]
            for index, (answer, truth) in enumerate(demo.answers)
        ),
        ["the whole way", f"{demo.seconds:.0f} s", ""],
    ]
    made = [output / "run", *(file.export.path for file in files), demo.picture]
    return "\n".join(
        [
            format_table(["mnist_convnet on scikit-learn's digits", "float32", "int8"], rows),
            "",
            f"Made: {', '.join(map(str, made))}",
            f"Next: edgecnn inspect {demo.int8.export.path}",
        ]
    )


def _format_latency(latency: Latency) -> str:
    return f"{latency.p50:.3f} / {latency.p90:.3f} / {latency.p99:.3f} ms"
