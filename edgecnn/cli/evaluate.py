"""`edgecnn evaluate`: score a run folder or a model file over labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgecnn.cli.options import DataOption, DeviceName, Format
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tables import format_table
from edgecnn.cli.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from edgecnn_runtime import Manifest, Model

_BATCH_SIZE = 64


def evaluate(
    model: Annotated[str, typer.Argument(metavar="RUN_DIR|FILE.onnx", help="What 'train' or 'export' wrote.")],
    data: DataOption,
    split: Annotated[Literal["test", "train"], typer.Option(help="Part of the data to score.")] = "test",
    device: Annotated[DeviceName | None, typer.Option(help="Where a FILE.onnx runs. [default: auto]")] = None,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw the confusion matrix here.")
    ] = None,
    format: Format = "text",
) -> None:
    """Score answers over labelled images: accuracy, top-5, precision and recall a class, confusion matrix."""
    is_folder = Path(model).is_dir()
    if is_folder and device is not None:
        raise typer.BadParameter("a run folder runs on TensorFlow: give a FILE.onnx.", param_hint="--device")
    with stdout_for_results() as results:
        from edgecnn.data.load import path_of  # these load ONNX Runtime and numpy
        from edgecnn.outputs import Input, Output, check_outputs

        read = [Input(option, path) for option, path in (("MODEL", Path(model)), ("--data", path_of(data))) if path]
        check_outputs([] if confusion is None else [Output("--confusion", confusion)], read)
        runner, manifest, provider, batch = _open_folder(model) if is_folder else _open_file(model, device or "auto")
        from edgecnn.cli.progress import counted  # these load numpy, scikit-learn and matplotlib
        from edgecnn.data import load_dataset
        from edgecnn.evaluation import draw_confusion_matrix, evaluate

        dataset = load_dataset(data)
        samples = dataset.test if split == "test" else dataset.train
        with counted("evaluating") as on_batch:
            evaluation = evaluate(runner, manifest, samples, batch_size=batch, on_batch=on_batch)
        if confusion is not None:
            draw_confusion_matrix(evaluation, confusion)
        tree = {"model": model, "split": split, "provider": provider, **evaluation.to_dict()}
        if format == "json":
            results.json(tree)
        else:
            results.line(_format_evaluation(tree))


def _open_folder(path: str) -> tuple[Model, Manifest, str, int]:
    load_tensorflow()
    from edgecnn.models.adapter import KerasModel  # these load Keras
    from edgecnn.models.loading import load_keras
    from edgecnn.training import RunFolder

    run = RunFolder.open(path)
    return KerasModel(load_keras(run.model_path), run.manifest), run.manifest, "TensorFlow", _BATCH_SIZE


def _open_file(path: str, device: DeviceName) -> tuple[Model, Manifest, str, int]:
    from edgecnn_runtime import Predictor  # loads ONNX Runtime

    predictor = Predictor.load(path, device=device)
    return predictor.session, predictor.manifest, predictor.provider, predictor.batch or _BATCH_SIZE


def _format_evaluation(tree: dict[str, Any]) -> str:
    top5 = "" if tree["top5"] is None else f", top-5 {tree['top5']:.4f}"
    rows = [
        [
            f"class {entry['class']}" if entry["name"] is None else entry["name"],
            "-" if entry["precision"] is None else f"{entry['precision']:.4f}",
            "-" if entry["recall"] is None else f"{entry['recall']:.4f}",
            str(entry["support"]),
        ]
        for entry in tree["per_class"]
    ]
    return "\n".join(
        [
            f"{tree['model']}: accuracy {tree['accuracy']:.4f}{top5} on {tree['images']} {tree['split']} images "
            f"[{tree['provider']}]",
            "",
            format_table(["class", "precision", "recall", "images"], rows),
        ]
    )
