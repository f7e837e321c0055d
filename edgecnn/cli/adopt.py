"""`edgecnn adopt`: somebody's trained Keras model becomes a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edgecnn.cli.options import DATA_HELP, Format, Imports, SkipBad, read_image_size
from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import Table
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.extras import require

if TYPE_CHECKING:
    from edgecnn.adopting.adopt import Adoption

_SHOWN = 10  # labels


def read_numbers(text: str) -> tuple[float, ...]:
    """Reads a number, or several with commas between them.

    Raises:
        typer.BadParameter: they are none.

    >>> read_numbers("123.68,116.8,104")
    (123.68, 116.8, 104.0)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"expected a number, or three with commas, received {text!r}.") from error


def read_anchors(text: str) -> tuple[tuple[float, float], ...]:
    """Reads the sizes of anchors.

    Raises:
        typer.BadParameter: they are none.

    >>> read_anchors("10,14 23,27")
    ((10.0, 14.0), (23.0, 27.0))
    """
    try:
        pairs = [tuple(float(side) for side in pair.split(",")) for pair in text.split()]
        return tuple((width, height) for width, height in pairs)
    except ValueError as error:
        raise typer.BadParameter(f"expected 'W,H W,H …' in pixels of the input, received {text!r}.") from error


def adopt(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.keras", help="A saved Keras model: .keras, .h5, or .weights.h5 (--architecture)."
        ),
    ],
    run_dir: Annotated[
        Path | None, typer.Option("-o", "--run-dir", metavar="RUN_DIR", help="To make. [default: runs/MODEL-N]")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help=f"Score it, and try other ways to ask it: {DATA_HELP}")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="FILE|A,B,…", help="Names of its classes, in the order of its outputs. [default: DATA's]"),
    ] = None,
    pixels: Annotated[
        Literal["unit", "signed", "caffe", "torch", "raw"] | None,
        typer.Option(help="How pixels of 0 to 255 become its numbers. [default: as the model does it itself]"),
    ] = None,
    mean: Annotated[
        Any,  # numbers or None; typer would ask for several arguments
        typer.Option(parser=read_numbers, metavar="N|N,N,N", help="Instead: is subtracted from pixels of 0 to 255."),
    ] = None,
    std: Annotated[
        Any, typer.Option(parser=read_numbers, metavar="N|N,N,N", help="Instead: what they are divided by then.")
    ] = None,
    color: Annotated[
        Literal["rgb", "bgr", "gray"] | None, typer.Option(help="Colours it takes. [default: rgb of three channels]")
    ] = None,
    image_size: Annotated[
        Any,
        typer.Option(parser=read_image_size, metavar="H,W", help="Height and width, of a network that takes any size."),
    ] = None,
    resize: Annotated[
        Literal["stretch", "letterbox", "center_crop"], typer.Option(help="How pictures are brought to its size.")
    ] = "stretch",
    crop_fraction: Annotated[
        float | None, typer.Option(metavar="F", help="Of center_crop, the part that is kept. [default: 0.875]")
    ] = None,
    pad_value: Annotated[
        int | None, typer.Option(metavar="N", help="Of letterbox, the gray level beside the picture. [default: 114]")
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="NAME=TENSOR", help="Of several outputs: logits, boxes or scale_N is TENSOR."),
    ] = None,
    decoder: Annotated[
        Literal["softmax", "sigmoid", "probabilities"] | None,
        typer.Option(help="How scores come of its last layer. [default: as it ends]"),
    ] = None,
    anchors: Annotated[
        Any,
        typer.Option(
            parser=read_anchors, metavar="'W,H W,H …'", help="Of a YOLO detector, pixels, the smallest first."
        ),
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of questions, one word a line; the first has the number 2.")
    ] = None,
    architecture: Annotated[
        Path | None, typer.Option(metavar="MODEL.json", help="Of a .weights.h5: what model.to_json() returned.")
    ] = None,
    imports: Imports = None,
    skip_bad: SkipBad = False,
    format: Format = "text",
) -> None:
    """Make a run folder of a Keras model that you trained yourself, proven to answer like the model itself.

    What it needs is found in the model: its size, its colours, the scaling of pixels inside it, what it ends in. What
    is missing is said in one message, with the command to type.
    """
    with stdout_for_results() as results:
        from edgecnn.adopting.config import AdoptConfig, read_labels_option, read_outputs  # these load numpy
        from edgecnn.adopting.model_file import ModelFile
        from edgecnn.adopting.plan import make_plan
        from edgecnn.data.load import check_data, path_of
        from edgecnn.exporting.source import read_labels
        from edgecnn.outputs import Input, check_free, check_output_folder
        from edgecnn.training.numbered import RUNS, next_folder

        config = AdoptConfig(
            ModelFile(model, architecture, tuple(imports or ())),
            data=data,
            labels=None if labels is None else read_labels_option(labels),
            pixels=pixels,
            mean=mean,
            std=std,
            color=color,
            image_size=image_size,
            resize=resize,
            crop_fraction=crop_fraction,
            pad_value=pad_value,
            outputs=MappingProxyType(read_outputs(outputs or ())),
            decoder=decoder,
            anchors=anchors,
            vocabulary=None if vocabulary is None else tuple(read_labels(vocabulary)),
            skip_bad=skip_bad,
        )
        plan = make_plan(config)
        if data is not None:
            check_data(data)
        paths = {"MODEL": model, "--data": None if data is None else path_of(data)}
        read = [Input(option, path) for option, path in paths.items() if path is not None]
        check_output_folder("-o", run_dir or RUNS, read)
        if run_dir is not None:
            check_free(run_dir)
        require("tensorflow", "edgecnn_exporters", "onnx", "tf2onnx")
        load_tensorflow()
        from edgecnn.adopting.adopt import adopt as adopt_model  # loads Keras

        with next_folder(config.name) if run_dir is None else nullcontext(run_dir) as place:
            adoption = adopt_model(plan, place, on_stage=lambda stage: say(f"edgecnn: {stage}"))
        for warning in adoption.warnings:
            say(f"edgecnn: {warning}")
        if format == "json":
            results.json(adoption.to_dict())
        else:
            results.report(_format(adoption))


def _format(adoption: Adoption) -> list[str | Table]:
    tree = adoption.to_dict()
    image, size = adoption.fitted.manifest.image_input, tree["input"]["image_size"]
    decoded = adoption.parity.decoded
    lines: list[str | Table] = [
        f"{adoption.run_dir}: {tree['model']}, {tree['task']}, {tree['parameters']:,} parameters",
        f"input       {size[0]} x {size[1]} {tree['input']['color']}, {image.resize}",
        f"pixels      {tree['input']['pixels']}",
        f"output      {', '.join(tree['outputs'])}: decoder {tree['decoder']}",
        f"labels      {_listed(tree['labels'])}",
        f"proven      {decoded.summary()}, outputs within "
        f"{max(tensor.max_relative for tensor in adoption.parity.tensors):.2g} of the largest of the model itself",
    ]
    if adoption.evaluation is not None and adoption.samples is not None:
        part = "" if adoption.samples.part == "all" else f"{adoption.samples.part} "
        lines.append(f"score       {adoption.evaluation.headline()} on {adoption.evaluation.images} {part}images")
    name = adoption.fitted.manifest.model.name
    return [*lines, f"next        edgecnn export {adoption.run_dir} -o {name}.onnx"]


def _listed(labels: Sequence[str] | None) -> str:
    if labels is None:
        return "none"
    shown = ", ".join(labels[:_SHOWN])
    return shown if len(labels) <= _SHOWN else f"{shown}, … ({len(labels)})"
