"""The options of `edgecnn export`; what they mean stands in `ExportConfig`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgecnn.cli.options import read_batch, read_image_size


def read_picture_size(text: str) -> tuple[int, int] | Literal["dynamic"]:
    """Reads "H,W" in pixels, or "dynamic".

    >>> read_picture_size("dynamic"), read_picture_size("224,160")
    ('dynamic', (224, 160))

    Raises:
        typer.BadParameter: anything else.
    """
    if text == "dynamic":
        return "dynamic"
    try:
        return read_image_size(text)
    except typer.BadParameter as error:
        raise typer.BadParameter(
            f"expected height and width in pixels as H,W, or dynamic, received {text!r}."
        ) from error


Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="Prove the file on the test part, calibrate int8 on the train part. [default: those of the run]",
    ),
]
Quantize = Annotated[
    Literal["none", "fp16", "int8"], typer.Option(help="Fewer bits, if accuracy and speed keep their budgets.")
]
CalibrationSamples = Annotated[int | None, typer.Option(metavar="N", help="Images that calibrate int8. [default: 300]")]
MaxDrop = Annotated[float | None, typer.Option(metavar="F", help="The most that the metric may lose. [default: 0.01]")]
MinSpeedup = Annotated[
    float | None, typer.Option(metavar="F", help="Against the float32 file, here; 0 lets all pass. [default: 1.0]")
]
Strict = Annotated[bool, typer.Option("--strict", help="The 95 % bound on the loss must keep --max-drop too.")]
ReduceRange = Annotated[bool, typer.Option("--reduce-range", help="int8 weights of 7 bits, for x86 without VNNI.")]
TuneFor = Annotated[
    Literal["any", "amx"],
    typer.Option(help="Lay int8 weights out for x86 with AMX: faster there, slower elsewhere, the same answers."),
]
Nms = Annotated[
    Literal["runtime", "graph"],
    typer.Option(help="Where a detector's boxes are decoded and drop each other: graph is for other tools' sake."),
]
Split = Annotated[
    bool,
    typer.Option("--split", help="Of a model that answers questions: see a picture once for all questions about it."),
]
PictureSize = Annotated[
    Any,  # a (height, width), "dynamic" or None; typer would ask for two arguments
    typer.Option(
        parser=read_picture_size,
        metavar="H,W|dynamic",
        help="Of a NAME, in pixels; of a segmenter dynamic: pictures of any size. [default: the source's]",
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(metavar="N", help="Of a segmenter: pictures of any size, in squares of N pixels that overlap."),
]
Overlap = Annotated[
    int | None, typer.Option(metavar="M", help="Pixels that squares have in common. [default: a quarter of --tile]")
]
Batch = Annotated[
    Any,  # a number or None; typer would ask for an int
    typer.Option(parser=read_batch, metavar="N|dynamic", help="Images that the file takes at once."),
]
Opset = Annotated[int, typer.Option(min=13, max=18, metavar="N", help="ONNX opset; older runtimes need less.")]
GoldenSamples = Annotated[
    int,
    typer.Option(metavar="N", help="Small test images in the file for 'edgecnn verify', 0 to 4; 0 keeps them out."),
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="none|imagenet|FILE", help="For a NAME: seeded random ones, ImageNet's or a file's."),
]
Labels = Annotated[Path | None, typer.Option(metavar="FILE", help="For a NAME: one label a line.")]
ManifestFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="For a MODEL.keras. [default: manifest.json beside it]")
]
