"""Contact sheets: pictures of a part side by side, each with its boxes or its class."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgecnn.atomic import make_folder, replacing
from edgecnn.data.samples import Samples
from edgecnn.data.targets import Boxes
from edgecnn_runtime.drawing import class_color, paint_boxes
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.fonts import Typeface, legible
from edgecnn_runtime.images import open_image

_COLUMNS, _ROWS = 6, 4
_CELL = (320, 240)  # width and height that a picture gets
_CAPTION, _GAP = 22, 6
_TEXT = 14
_GROUND, _INK = "white", "black"


def draw_sheet(samples: Samples, path: Path, *, typeface: Typeface | None = None) -> None:
    """Writes up to 24 pictures, from all over the part, with what they are labelled with.

    A picture fills its place, small ones enlarged without smoothing; under it stands its name, before that its class
    where it has one. One that cannot be decoded leaves its place empty and says so.

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
    columns = min(_COLUMNS, len(chosen))
    step = (_CELL[0] + _GAP, _CELL[1] + _CAPTION + _GAP)
    sheet = Image.new("RGB", (columns * step[0] + _GAP, -(-len(chosen) // columns) * step[1] + _GAP), _GROUND)
    for place, index in enumerate(chosen):
        row, column = divmod(place, columns)
        _draw_sample(sheet, samples, index, (column * step[0] + _GAP, row * step[1] + _GAP), typeface)
    make_folder(path.parent)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _draw_sample(sheet: Image.Image, samples: Samples, index: int, corner: tuple[int, int], typeface: Typeface) -> None:
    source, truth = samples[index]
    draw = ImageDraw.Draw(sheet)
    name = source.name if isinstance(source, Path) else str(index)
    try:
        image = open_image(source).convert("RGB")
    except ImageError:
        name = f"cannot be decoded: {name}"
    else:
        factor = min(_CELL[0] / image.width, _CELL[1] / image.height)
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        shown = image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR)
        if isinstance(samples.targets, Boxes):
            scale = np.array([size[0] / image.width, size[1] / image.height] * 2)
            labels = [samples.labels[class_id] for class_id in truth.class_ids]
            paint_boxes(shown, (truth.boxes * scale).tolist(), truth.class_ids.tolist(), labels, typeface=typeface)
        sheet.paste(shown, (corner[0] + (_CELL[0] - size[0]) // 2, corner[1] + (_CELL[1] - size[1]) // 2))
    y = corner[1] + _CELL[1] + 3
    x: float = corner[0]
    if not isinstance(samples.targets, Boxes):
        draw.rectangle((x, y + 2, x + _TEXT - 2, y + _TEXT), fill=class_color(truth))
        name = f"{samples.labels[truth]}: {name}"
        x += _TEXT + 2
    text = legible(name)
    font = typeface.at(_TEXT, text)
    draw.text((x, y), _fitting(draw, text, font, corner[0] + _CELL[0] - x), fill=_INK, font=font)


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: float
) -> str:
    """Returns the text, its middle left out where it is too wide."""
    short, keep = text, min(len(text), _CELL[0])
    while draw.textlength(short, font=font) > width and keep > 2:
        keep -= 1
        short = f"{text[: keep // 2]}...{text[len(text) - keep + keep // 2 :]}"
    return short
