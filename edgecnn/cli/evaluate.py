"""`edgecnn evaluate`: score a run folder, a Keras model or a model file over labelled images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from edgecnn.cli.options import CheckpointOption, DataOption, DeviceName, Font, Format, Imports, SkipBad, check_font
from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import Table
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.extras import require

if TYPE_CHECKING:
    from edgecnn.evaluation import Evaluation
    from edgecnn.trained import Checkpoint
    from edgecnn_runtime import Manifest, Model


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
    checkpoint: CheckpointOption = None,
    device: Annotated[DeviceName | None, typer.Option(help="Where a FILE.onnx runs. [default: auto]")] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw the worst answers here, and a task's curves or confusion matrix."),
    ] = None,
    font: Font = None,
    imports: Imports = None,
    skip_bad: SkipBad = False,
    format: Format = "text",
) -> None:
    """Score answers over labelled images: of a classifier accuracy, top-5, precision and recall a class.

    Of a localizer: mean IoU, accuracy, and the part that is right in class and box. Of a detector: AP50, AP50:95,
    precision, recall and F1. Of a segmenter: mean IoU, dice, the F1 of outlines, and the part of the pixels that is
    right. Of a model that answers questions: what is right by kind of question, and with the picture blacked out.
    """
    check_font(font, save)
    is_keras = os.path.isdir(model) or model.endswith(".keras")  # noqa: PTH112  (Path raises on a long name)
    if is_keras and device is not None:
        raise typer.BadParameter("a Keras model runs on TensorFlow: give a FILE.onnx.", param_hint="--device")
    if not is_keras and imports:
        raise typer.BadParameter("a file holds no code: give a RUN_DIR or a MODEL.keras.", param_hint="--import")
    if not is_keras and checkpoint is not None:
        raise typer.BadParameter("a file holds one checkpoint: give a RUN_DIR.", param_hint="--checkpoint")
    with stdout_for_results() as results:
        from edgecnn.data.load import check_data, load_dataset, needs_tensorflow, path_of  # these load ONNX Runtime
        from edgecnn.outputs import Input, check_output_folder

        if save is not None:
            read = [Input(option, path) for option, path in (("MODEL", Path(model)), ("--data", path_of(data))) if path]
            check_output_folder("--save", save, read)
        check_data(data)
        opened = _open_trained(model, checkpoint, imports or ()) if is_keras else _open_file(model, device or "auto")
        if needs_tensorflow(data):
            load_tensorflow()
        from edgecnn.cli.pictures import open_typeface
        from edgecnn.cli.progress import counted  # these load scikit-learn
        from edgecnn.evaluation import class_map, narrow, score_dataset
        from edgecnn.evaluation.pictures import EvaluationPictures

        pictures = None if save is None else EvaluationPictures(save, open_typeface(font))
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
                worst=None if pictures is None else pictures.worst,
            )
        if pictures is not None:
            pictures.draw(opened.manifest, scored.samples, scored.evaluation)
            if pictures.warning is not None:
                say(f"edgecnn: {pictures.warning}")
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
    batch: int | None
    trained_on: str | None


def _open_trained(path: str, checkpoint: Checkpoint | None, imports: Sequence[str]) -> _Opened:
    from edgecnn.trained import open_trained  # loads ONNX Runtime

    trained = open_trained(path, checkpoint=checkpoint)
    trained.check_imports(imports)
    require("tensorflow")

    def load() -> Model:
        load_tensorflow()
        from edgecnn.models.adapter import KerasModel  # loads Keras

        return KerasModel(trained.load(imports), trained.manifest)

    return _Opened(load, trained.manifest, "TensorFlow", None, trained.trained_on)


def _open_file(path: str, device: DeviceName) -> _Opened:
    from edgecnn_runtime import Predictor  # loads ONNX Runtime

    predictor = Predictor.load(path, device=device)
    evidence, batch = predictor.evidence, predictor.session.batch
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
