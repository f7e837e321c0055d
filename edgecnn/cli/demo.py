"""`edgecnn demo`: the whole way on embedded data, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import format_bytes, format_table
from edgecnn.cli.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from edgecnn.demo import Demo


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for what it makes.")] = Path(
        "demo"
    ),
) -> None:
    """Train on scikit-learn's digits, export, evaluate both, run the file, measure it: one table and a picture."""
    with stdout_for_results() as results:
        load_tensorflow()
        from edgecnn.cli.training_progress import training_progress  # these load everything
        from edgecnn.demo import run_demo

        with training_progress() as progress:
            demo = run_demo(output, progress=progress, on_stage=lambda stage: say(f"edgecnn: {stage}"))
        results.line(_format_demo(demo, output))


def _format_demo(demo: Demo, output: Path) -> str:
    decoded, inference = demo.export.evidence.parity.decoded, demo.bench.inference_ms
    rows = [
        ["test accuracy of the Keras model", f"{demo.keras.accuracy:.4f} on {demo.keras.images} digits"],
        ["test accuracy of the file", f"{demo.file.accuracy:.4f} on {demo.file.images} digits"],
        ["same best class", f"{decoded.top1_agreement:.4f} of {decoded.images} digits"],
        ["size of the file", format_bytes(demo.export.size_bytes)],
        ["inference, p50 / p90 / p99", f"{inference.p50:.3f} / {inference.p90:.3f} / {inference.p99:.3f} ms"],
        ["ran on", f"{demo.bench.provider}, {demo.bench.threads} thread"],
        *(
            [f"test digit {index}, a {truth}", f"answered {answer.label}, probability {answer.score:.4f}"]
            for index, (answer, truth) in enumerate(demo.answers)
        ),
        ["the whole way", f"{demo.seconds:.0f} s"],
    ]
    return "\n".join(
        [
            format_table(["mnist_convnet on scikit-learn's digits", ""], rows),
            "",
            f"Made: {output / 'run'}, {output / 'digits.onnx'}, {demo.picture}",
            f"Next: edgecnn inspect {output / 'digits.onnx'}",
        ]
    )
