"""`edgecnn evaluate`: score a run folder, a Keras model or a model file over labelled images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from edgecnn.cli.options import DataOption, DeviceName, Format, SkipBad
from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import Table
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.extras import require

if TYPE_CHECKING:
    from edgecnn.evaluation import Evaluation
    from edgecnn_runtime import Manifest, Model

_BATCH_SIZE = 64


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RUN_DIR|MODEL.keras|FILE.onnx",
            help="What 'train' or 'export' wrote, or a MODEL.keras with a manifest.json beside it.",
        ),
    ],
    data: DataOption,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        typer.Option(help="Part to score. [default: test or val where the data have one, else all]"),
    ] = None,
    device: Annotated[DeviceName | None, typer.Option(help="Where a FILE.onnx runs. [default: auto]")] = None,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw the confusion matrix here.")
    ] = None,
    skip_bad: SkipBad = False,
    format: Format = "text",
) -> None:
    """Score answers over labelled images: of a classifier accuracy, top-5, precision and recall a class.

    Of a localizer: mean IoU, accuracy, and the part that is right in class and box.
    """
    is_keras = os.path.isdir(model) or model.endswith(".keras")  # noqa: PTH112  (Path raises on a long name)
    if is_keras and device is not None:
        raise typer.BadParameter("a Keras model runs on TensorFlow: give a FILE.onnx.", param_hint="--device")
    with stdout_for_results() as results:
        from edgecnn.data.load import check_data, load_dataset, needs_tensorflow, path_of  # these load ONNX Runtime
        from edgecnn.outputs import Input, Output, check_outputs

        read = [Input(option, path) for option, path in (("MODEL", Path(model)), ("--data", path_of(data))) if path]
        check_outputs([] if confusion is None else [Output("--confusion", confusion)], read)
        check_data(data)
        opened = _open_trained(model) if is_keras else _open_file(model, device or "auto")
        if needs_tensorflow(data):
            load_tensorflow()
        from edgecnn.cli.progress import counted  # these load scikit-learn
        from edgecnn.evaluation import class_map, narrow, score_dataset
        from edgecnn.tasks.table import TASKS, load

        pictures = TASKS[opened.manifest.task].pictures
        if confusion is not None and pictures is None:
            raise typer.BadParameter(f"{opened.manifest.task} has no confusion matrix.", param_hint="--confusion")
        dataset = narrow(opened.manifest, load_dataset(data, skip_bad=skip_bad))
        class_map(opened.manifest, dataset.select(split))  # other classes are said before Keras' seconds
        with counted("evaluating") as on_batch:
            scored = score_dataset(
                opened.load(),
                opened.manifest,
                dataset,
                split=split,
                trained_on=opened.trained_on,
                batch_size=opened.batch,
                skip_bad=skip_bad,
                on_batch=on_batch,
            )
        if confusion is not None:
            load(str(pictures))(scored.evaluation, confusion)
        tree = {"model": model, "provider": opened.provider, **scored.to_dict()}
        for warning in scored.warnings:
            say(f"edgecnn: {warning}")
        if format == "json":
            results.json(tree)
        else:
            results.report(_format_evaluation(tree, scored.evaluation))


class _Opened(NamedTuple):
    """A model to score, and the fingerprint of the data that it was trained on, where that is known."""

    load: Callable[[], Model]
    manifest: Manifest
    provider: str
    batch: int
    trained_on: str | None


def _open_trained(path: str) -> _Opened:
    from edgecnn.trained import check_trained, open_trained  # these load ONNX Runtime
    from edgecnn.training import RunFolder

    manifest = check_trained(path)
    run = RunFolder.open(path) if os.path.isdir(path) else None  # noqa: PTH112
    require("tensorflow")

    def load() -> Model:
        load_tensorflow()
        from edgecnn.models.adapter import KerasModel  # loads Keras

        return KerasModel(*open_trained(path))

    return _Opened(load, manifest, "TensorFlow", _BATCH_SIZE, None if run is None else run.record.data.fingerprint)


def _open_file(path: str, device: DeviceName) -> _Opened:
    from edgecnn_runtime import Predictor  # loads ONNX Runtime

    predictor = Predictor.load(path, device=device)
    evidence, batch = predictor.evidence, predictor.batch or _BATCH_SIZE
    trained_on = None if evidence is None else evidence.provenance.data_fingerprint
    return _Opened(lambda: predictor.session, predictor.manifest, predictor.provider, batch, trained_on)


def _format_evaluation(tree: dict[str, Any], evaluation: Evaluation) -> list[str | Table]:
    part = "" if tree["split"] == "all" else f"{tree['split']} "
    skipped = f", {evaluation.skipped} bad ones left out" if evaluation.skipped else ""
    return [
        f"{tree['model']}: {evaluation.headline()} on {evaluation.images} {part}images{skipped} [{tree['provider']}]",
        "",
        Table(*evaluation.table()),
    ]
