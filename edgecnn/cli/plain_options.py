"""Options of `edgecnn run --raw` and `edgecnn bench` that say what a plain ONNX file leaves open."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from edgecnn.cli.options import read_image_size

Layout = Annotated[
    Literal["nchw", "nhwc"] | None,
    typer.Option(help="Of plain ONNX: where its channels stand. [default: where the graph has 1 or 3]"),
]
PlainImageSize = Annotated[
    Any,  # a (height, width) or None, as ImageSize
    typer.Option(
        "--image-size",
        parser=read_image_size,
        metavar="H,W",
        help="Of plain ONNX: height and width, where its graph takes any.",
    ),
]
Pixels = Annotated[
    Literal["raw", "unit", "signed", "caffe", "torch"] | None,
    typer.Option(
        help="Of plain ONNX: how it wants pixels. raw: 0 to 255; unit: /255; signed: /127.5 - 1; caffe: BGR minus "
        "ImageNet's means; torch: unit, minus means, over deviations. [default: raw]"
    ),
]


def refuse_given(options: Mapping[str, object], reason: str) -> None:
    """Refuses options that cannot take effect.

    Args:
        options: by name, each as it was given; None or False where it was not.
        reason: why they cannot.

    Raises:
        typer.BadParameter: names the first one that was given.
    """
    for option, value in options.items():
        if value is not None and value is not False:
            raise typer.BadParameter(f"it cannot take effect {reason}.", param_hint=option)
