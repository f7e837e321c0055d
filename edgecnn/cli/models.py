"""`edgecnn models`: the catalogue, or what one model costs."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from edgecnn.cli.options import Format, ImageSize, Width, complete_model_name
from edgecnn.cli.streams import Results, stdout_for_results
from edgecnn.cli.tables import Table, format_bytes
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.models import CATALOG, ModelSpec, build_manifest, get_spec
from edgecnn.models.published import build_reckoning, published_reckoning

_OWN_KEYS = ("builder", "outputs", "smallest_size", "multiple_of")  # of a row: how we build it


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Reckon this model, layer by layer.", autocompletion=complete_model_name),
    ] = None,
    image_size: ImageSize = None,
    classes: Annotated[int | None, typer.Option(min=1, metavar="N", help="Classes. [default: the published]")] = None,
    width: Width = None,
    format: Format = "text",
) -> None:
    """List the documented models, or reckon one: shapes, parameters, multiply-adds, activation memory.

    The published sizes need no TensorFlow; others are built with it, which takes seconds.
    """
    with stdout_for_results() as results:
        if name is None:
            for option, value in (("--image-size", image_size), ("--classes", classes), ("--width", width)):
                if value is not None:
                    raise typer.BadParameter("it needs the NAME of a model.", param_hint=option)
            _list_catalogue(results, format)
            return
        spec = get_spec(name)
        width = 1.0 if width is None else width
        published = (spec.image_size, spec.num_classes, 1.0)
        if (image_size or spec.image_size, classes or spec.num_classes, width) == published:
            reckoning = published_reckoning(name)
        else:
            build_manifest(spec, None, image_size=image_size, num_classes=classes, width=width)  # says what is wrong
            load_tensorflow()
            reckoning = build_reckoning(name, image_size=image_size, num_classes=classes, width=width)
        size = image_size or spec.image_size
        row = {**_row(spec), "image_size": list(size), "num_classes": classes or spec.num_classes, "width": width}
        if format == "json":
            results.json({**row, **reckoning})
        else:
            results.report(_format_reckoning(row, reckoning))


def _list_catalogue(results: Results, format: str) -> None:
    if format == "json":
        results.json([_row(spec) for spec in CATALOG.values()])
        return
    rows = [
        [
            spec.name,
            spec.task,
            "{}x{}x{}".format(*spec.image_size, spec.channels),
            f"{spec.parameters:,}",
            spec.reference,
        ]
        for spec in CATALOG.values()
    ]
    results.report([Table(["name", "task", "input", "parameters", "paper or book"], rows)])


def _row(spec: ModelSpec) -> dict[str, Any]:
    return {key: value for key, value in asdict(spec).items() if key not in _OWN_KEYS}


def _format_reckoning(row: dict[str, Any], reckoning: dict[str, Any]) -> list[str | Table]:
    has_backbone = row["backbone"] is not None
    header = ["layer", "type", "output", "parameters", "multiply-adds", "activations"]
    layers = [
        [
            *(["" if layer["backbone_index"] is None else str(layer["backbone_index"])] if has_backbone else []),
            layer["name"],
            layer["type"],
            "x".join("?" if size is None else str(size) for size in layer["output_shape"]),
            f"{layer['parameters']:,}",
            f"{layer['multiply_adds']:,}",
            format_bytes(layer["activation_bytes"]),
        ]
        for layer in reckoning["layers"]
    ]
    return [
        f"{row['name']}: {row['summary']}",
        f"{row['reference']}",
        "",
        Table(["N", *header] if has_backbone else header, layers),
        "",
        f"parameters         {reckoning['parameters']:,} ({reckoning['trainable_parameters']:,} trainable)",
        f"multiply-adds      {reckoning['multiply_adds']:,} an image",
        f"activation memory  {format_bytes(reckoning['inference_bytes'])} an image at inference, "
        f"{format_bytes(reckoning['training_bytes'])} in training",
        f"backbone           {_format_backbone(reckoning['layers'])}",
    ]


def _format_backbone(layers: list[dict[str, Any]]) -> str:
    indices = [layer["backbone_index"] for layer in layers if layer["backbone_index"] is not None]
    if not indices:
        return "none: 'edgecnn train' has nothing to --freeze here"
    return f"layers 0 to {max(indices)}: 'edgecnn train --unfreeze-from N' trains those from column N on, and the head"
