"""Contact sheets: pictures side by side, each with its boxes, its mask or its class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from edgecnn.atomic import make_folder, replacing
from edgecnn.data.samples import Samples
from edgecnn.data.targets import IGNORE, Answers, Boxes, Masks
from edgecnn_runtime.drawing import Color, class_color, paint_boxes
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.fonts import Typeface, legible
from edgecnn_runtime.images import open_image

_COLUMNS, _ROWS = 6, 4
_CELL = (320, 240)  # width and height that a picture gets
_CAPTION, _GAP = 22, 6
_TEXT = 14
_GROUND, _INK = "white", "black"
_NAMED = 4  # classes of a mask
_VEIL = 0.5  # of a class's colour over the picture


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A picture and what stands under it.

    Attributes:
        picture: mode RGB, of any size; None leaves the place empty.
        caption: one line.
        color: of a mark before the caption; None for none.
    """

    picture: Image.Image | None
    caption: str
    color: Color | None = None


def draw_sheet(samples: Samples, path: Path, *, typeface: Typeface | None = None) -> None:
    """Writes up to 24 pictures, from all over the part, with what they are labelled with.

    Args:
        samples: one or more.
        path: of the PNG.
        typeface: draws the names; by default Pillow's own font, or one of this system.

    Raises:
        WriteError: it cannot be written.
    """
    typeface = typeface or Typeface()
    count = min(len(samples), _COLUMNS * _ROWS)
    chosen = np.unique(np.linspace(0, len(samples) - 1, count).astype(int)).tolist()
    write_sheet([labelled_cell(samples, index, typeface) for index in chosen], path, _COLUMNS, typeface=typeface)


def labelled_cell(samples: Samples, index: int, typeface: Typeface) -> Cell:
    """Returns one picture with its boxes, its mask and the classes in it, or its class, or a question, under it.

    One that cannot be decoded leaves its place empty and says so.

    Args:
        samples: with boxes, masks, questions, or a class an image.
        index: of the picture.
        typeface: draws the names at boxes.
    """
    source, truth = samples[index]
    name = source.name if isinstance(source, Path) else str(index)
    try:
        image = open_image(source).convert("RGB")
    except ImageError:
        return Cell(None, f"cannot be decoded: {name}")
    if isinstance(samples.targets, Masks):
        return Cell(masked(image, truth, samples.labels, typeface=typeface), name)
    if isinstance(samples.targets, Answers):
        asked = truth[index % len(truth)] if truth else None  # another one each time
        said = "no question" if asked is None else f"{asked.text} {samples.labels[asked.class_id]}"
        return Cell(_fitted(image.copy()), said)
    if not isinstance(samples.targets, Boxes):
        return Cell(_fitted(image.copy()), f"{samples.labels[truth]}: {name}", class_color(truth))
    labels = [samples.labels[class_id] for class_id in truth.class_ids]
    colors = [class_color(class_id) for class_id in truth.class_ids.tolist()]
    return Cell(boxed(image, truth.boxes, colors, labels, typeface=typeface), name)


def boxed(
    image: Image.Image,
    boxes: npt.NDArray[np.float32],
    colors: Sequence[Color],
    captions: Sequence[str],
    *,
    typeface: Typeface,
) -> Image.Image:
    """Returns a picture of a cell's size with boxes on it, so that their captions can be read.

    Args:
        image: mode RGB; it stays as it is.
        boxes: (n, 4) xyxy in pixels of the image.
        colors: n of them.
        captions: n of them; an empty one is left out.
        typeface: draws the captions.
    """
    picture = _fitted(image.copy())
    scale = np.array([picture.width / image.width, picture.height / image.height] * 2)
    paint_boxes(picture, (boxes * scale).tolist(), colors, captions, typeface=typeface)
    return picture


def masked(
    image: Image.Image, class_map: npt.NDArray[np.uint8], labels: Sequence[str], *, typeface: Typeface
) -> Image.Image:
    """Returns a picture of a cell's size under the colours of its classes, and the largest of these by name.

    Pixels of which nothing is said stay as they are, and so do those of class 0: in most data it is what lies behind.

    Args:
        image: mode RGB; it stays as it is.
        class_map: (H, W) in pixels of the image.
        labels: one name a class.
        typeface: draws the names.
    """
    picture = _fitted(image.copy())
    shown = np.asarray(Image.fromarray(class_map).resize(picture.size, Image.Resampling.NEAREST))
    colors = np.array([class_color(class_id) for class_id in range(256)], np.float32)
    pixels, veiled = np.asarray(picture, np.float32), (shown != IGNORE) & (shown != 0)
    pixels = np.where(veiled[..., np.newaxis], (1 - _VEIL) * pixels + _VEIL * colors[shown], pixels)
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    draw, y = ImageDraw.Draw(picture), 2
    areas = np.bincount(class_map.ravel(), minlength=256)[: len(labels)]
    for class_id in np.argsort(-areas[1:], kind="stable")[:_NAMED] + 1:
        if areas[class_id]:
            text = legible(labels[class_id])
            font = typeface.at(_TEXT, text)
            draw.rectangle((2, y + 2, _TEXT, y + _TEXT), fill=class_color(int(class_id)), outline=_INK)
            fitting = _fitting(draw, text, font, picture.width - _TEXT - 6)
            draw.text((_TEXT + 4, y), fitting, fill=_GROUND, stroke_fill=_INK, stroke_width=2, font=font)
            y += _TEXT + 4
    return picture


def write_sheet(cells: Sequence[Cell], path: Path, columns: int, *, typeface: Typeface) -> None:
    """Writes pictures side by side. Each fills its place, small ones enlarged without smoothing.

    Args:
        cells: one or more, row by row.
        path: of the PNG.
        columns: the most in a row.
        typeface: draws the captions.

    Raises:
        WriteError: it cannot be written.
    """
    columns = min(columns, len(cells))
    step = (_CELL[0] + _GAP, _CELL[1] + _CAPTION + _GAP)
    sheet = Image.new("RGB", (columns * step[0] + _GAP, -(-len(cells) // columns) * step[1] + _GAP), _GROUND)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        _draw_cell(sheet, cell, (column * step[0] + _GAP, row * step[1] + _GAP), typeface)
    make_folder(path.parent)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _draw_cell(sheet: Image.Image, cell: Cell, corner: tuple[int, int], typeface: Typeface) -> None:
    draw = ImageDraw.Draw(sheet)
    if cell.picture is not None:
        shown = _fitted(cell.picture)
        sheet.paste(shown, (corner[0] + (_CELL[0] - shown.width) // 2, corner[1] + (_CELL[1] - shown.height) // 2))
    x, y = corner[0], corner[1] + _CELL[1] + 3
    if cell.color is not None:
        draw.rectangle((x, y + 2, x + _TEXT - 2, y + _TEXT), fill=cell.color)
        x += _TEXT + 2
    text = legible(cell.caption)
    font = typeface.at(_TEXT, text)
    draw.text((x, y), _fitting(draw, text, font, corner[0] + _CELL[0] - x), fill=_INK, font=font)


def _fitted(picture: Image.Image) -> Image.Image:
    factor = min(_CELL[0] / picture.width, _CELL[1] / picture.height)
    if factor == 1:
        return picture
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR)


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float
) -> str:
    """Returns the text, its middle left out where it is too wide."""
    short, keep = text, min(len(text), _CELL[0])
    while draw.textlength(short, font=font) > width and keep > 2:
        keep -= 1
        short = f"{text[: keep // 2]}...{text[len(text) - keep + keep // 2 :]}"
    return short
