"""The options of `edgecnn run` that change how a file's raw outputs are read: each is a field of its decoder.

A decoder that lacks the field cannot take the option, and no task is asked for. A least score is more than that:
results that hold a score for each class take it too, and list nothing below it.
"""

from dataclasses import fields, replace
from typing import Any, NamedTuple

import typer

from edgecnn.cli.options import read_class
from edgecnn_runtime import Predictor
from edgecnn_runtime.decoders import Decoder, OperatingPoint
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.table import get_task


class DecoderOptions(NamedTuple):
    """What was asked for; None for what was not.

    Attributes:
        score_threshold: one number, or class=number pairs.
        iou_threshold: of boxes that drop each other.
        max_detections: boxes an image.
        agnostic: whether boxes of different classes drop each other.
        classes: names or ids of those that are answered, between commas.
    """

    score_threshold: str | None
    iou_threshold: float | None
    max_detections: int | None
    agnostic: bool | None
    classes: str | None


def changed_predictor(predictor: Predictor, asked: DecoderOptions) -> Predictor:
    """Returns the predictor of a file that answers as it was asked for.

    Args:
        predictor: as the file says.
        asked: on the command line.

    Raises:
        typer.BadParameter: neither the decoder nor the results take an option, or not its value.
    """
    manifest, text = predictor.manifest, asked.score_threshold
    if text is not None and get_task(manifest.task).unsure:
        predictor = predictor.with_score_threshold(_least_score(text))
        asked = asked._replace(score_threshold=None)
    return predictor.with_decoder(changed_decoder(manifest, asked))


def changed_decoder(manifest: Manifest, asked: DecoderOptions) -> Decoder:
    """Returns the decoder of a file as it was asked for.

    Args:
        manifest: of the file.
        asked: on the command line.

    Raises:
        typer.BadParameter: the decoder has no such field, or does not take the value.
    """
    decoder = manifest.decoder
    for option, field, value, read in (
        ("--score-threshold", "score_threshold", asked.score_threshold, _scores),
        ("--iou-threshold", "iou_threshold", asked.iou_threshold, None),
        ("--max-detections", "most", asked.max_detections, None),
        ("--agnostic", "agnostic", asked.agnostic, None),
        ("--classes", "classes", asked.classes, _classes),
    ):
        if value is not None:
            if field not in {known.name for known in fields(decoder)}:
                if decoder.suppresses == "graph":
                    raise typer.BadParameter(
                        "the file's own graph drops boxes that overlap, and which ones is fixed in it. Leave it out, "
                        "or export the model without --nms graph.",
                        param_hint=option,
                    )
                raise typer.BadParameter(
                    f"expected a model that finds any number of boxes, received one for {manifest.task}: its decoder "
                    f"{decoder.kind!r} does not take it.",
                    param_hint=option,
                )
            decoder = replace(decoder, **({field: value} if read is None else read(manifest, str(value))))
            shapes = {output.name: output.shape for output in manifest.outputs}
            misfit = decoder.misfit(shapes, (manifest.image_input.height, manifest.image_input.width))
            if misfit is not None:
                raise typer.BadParameter(f"{misfit.removeprefix(f'{field}: ')}.", param_hint=option)
    return decoder


def _classes(manifest: Manifest, text: str) -> dict[str, Any]:
    words = [word.strip() for word in text.split(",")]
    ids = [read_class(word, manifest.labels, manifest.num_classes, "--classes") for word in words]
    return {"classes": tuple(dict.fromkeys(ids))}


def _scores(manifest: Manifest, text: str) -> dict[str, Any]:
    """Returns the fields of "0.4", which overrules all operating points, or of "cat=0.4,dog=0.6": those of two."""
    if "=" not in text:
        return {"score_threshold": _number(text), "operating_points": None}
    points = {point.class_id: point for point in getattr(manifest.decoder, "operating_points", None) or ()}
    for pair in text.split(","):
        name, _, number = pair.rpartition("=")
        class_id = read_class(name.strip(), manifest.labels, manifest.num_classes, "--score-threshold")
        points[class_id] = OperatingPoint(class_id, _number(number), None, None)
    return {"operating_points": tuple(points.values())}


def _least_score(text: str) -> float:
    """Returns the least score of any class, 0 to 1."""
    if "=" in text or not 0 <= (number := _number(text)) <= 1:
        raise typer.BadParameter(
            f"expected one number from 0 to 1, below which an answer is unsure, received {text!r}.",
            param_hint="--score-threshold",
        )
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"expected a number, or class=number pairs between commas, received {text!r}.",
            param_hint="--score-threshold",
        ) from error
