"""Options that several commands share, each declared once, and how their text is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgecnn.models import CATALOG


def read_image_size(text: str) -> tuple[int, int]:
    """Reads "H,W" in pixels.

    >>> read_image_size("224,160")
    (224, 160)

    Raises:
        typer.BadParameter: anything else.
    """
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"expected height and width in pixels as H,W, received {text!r}.")
    height, width = map(int, parts)
    return height, width


def read_batch(text: str) -> int | None:
    """Reads the batch of an export: a number, or "dynamic", which gives None.

    >>> read_batch("8"), read_batch("dynamic")
    (8, None)

    Raises:
        typer.BadParameter: anything else.
    """
    if text == "dynamic":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"expected a number from 1 or 'dynamic', received {text!r}.")
    return int(text)


def read_class(text: str, labels: Sequence[str] | None, count: int, option: str) -> int:
    """Reads a class: its name, or else its number.

    >>> read_class("dog", ("cat", "dog"), 2, "--classes"), read_class("0", ("cat", "dog"), 2, "--classes")
    (1, 0)

    Args:
        text: one of them.
        labels: of the model; None for one that never saw data.
        count: how many classes there are.
        option: what messages call it.

    Raises:
        typer.BadParameter: anything else.
    """
    if labels is not None and text in labels:
        return labels.index(text)
    if text.isascii() and text.isdecimal() and int(text) < count:
        return int(text)
    names = "" if labels is None else f" or a name of {', '.join(labels)}"
    raise typer.BadParameter(
        f"expected a class from 0 to {count - 1}{names:.500}, received {text!r}.", param_hint=option
    )


def check_font(font: Path | None, save: Path | None) -> None:
    """Refuses --font where nothing is drawn.

    Raises:
        typer.BadParameter: there is no --save.
    """
    if font is not None and save is None:
        raise typer.BadParameter("it needs --save DIR, whose pictures it draws on.", param_hint="--font")


def complete_model_name(incomplete: str) -> list[str]:
    """Returns the catalogue's names that begin so, for the shell.

    >>> complete_model_name("resnet")
    ['resnet34', 'resnet50', 'resnet34_localizer']
    """
    return [name for name in CATALOG if name.startswith(incomplete)]


ModelArgument = Annotated[str, typer.Argument(metavar="FILE.onnx", help="Model file that 'edgecnn export' wrote.")]
DATA_HELP = (
    "digits, shapes, mnist, fashion_mnist, cifar10, tfds:NAME, an .npz, a folder a class, Pascal VOC, COCO, YOLO, "
    "images/ and masks/, or questions.json and images/."
)
DataOption = Annotated[str, typer.Option(metavar="DATA", help=DATA_HELP)]
Font = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Font of those pictures: .ttf, .otf or .ttc. [default: one with the letters]"),
]
CheckpointOption = Annotated[
    Literal["best", "last"] | None,
    typer.Option(help="Of a RUN_DIR, which weights. [default: best, where a part was held out; else last]"),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Go on without pictures that cannot be decoded, and without faulty boxes and masks."
    ),
]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE|FILE.py",
        help="Import this before the model is loaded, for layers of your own: its code is run.",
    ),
]
DeviceName = Literal["auto", "cpu", "cuda"]
Device = Annotated[
    DeviceName, typer.Option(help="Where to run. cuda never falls back to the CPU; auto may, and says so.")
]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Threads of the CPU. [default: those the process may use]")
]
AllowModified = Annotated[
    bool,
    typer.Option("--allow-modified", help="Take a file that was altered, or is not proven, without evidence."),
]
Format = Annotated[Literal["text", "json"], typer.Option(help="For people or for programs.")]
ImageSize = Annotated[
    Any,  # a (height, width) or None; typer would ask for two arguments
    typer.Option(parser=read_image_size, metavar="H,W", help="Height and width in pixels. [default: the published]"),
]
Width = Annotated[float | None, typer.Option(metavar="F", help="Multiplier on filters and units. [default: 1.0]")]
