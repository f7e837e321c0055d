"""Writing lines of text, drawing boxes, and laying the colours of classes on a copy of an image."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.fonts import Typeface, legible

Color = tuple[int, int, int]  # red, green, blue
_READABLE_PIXELS = 320  # a shorter side of this many pixels takes a line of text
_LONGEST_PIXELS = 2048  # no image is enlarged beyond this
_TEXT_PART = 18  # the text is the shorter side divided by this, in pixels
_SMALLEST_TEXT = 14
_LONGEST_LINE = 300  # letters; more than any picture has room for
_CAPTION_PART, _LINE_PART = 30, 180  # likewise of boxes: their text, and the width of their lines
_COVERED = 128  # of 255: how much of a pixel the colour of its class takes
_GOLDEN = 0.6180339887  # of the circle of hues: neighbouring classes look unlike, and no two alike for long


def draw_lines(image: Image.Image, lines: Sequence[str], *, typeface: Typeface | None = None) -> Image.Image:
    """Returns an RGB copy with the lines in its upper left corner, white on black.

    Args:
        image: mode RGB or L; it stays as it is.
        lines: top to bottom; what has no shape (controls, line ends) is written as its escape.
        typeface: what draws the letters; by default Pillow's own font, or one of this system.

    Raises:
        EdgeCNNError: a font is damaged.
    """
    canvas = _enlarged(image.convert("RGB"))
    draw = ImageDraw.Draw(canvas)
    text = "\n".join(map(_short, lines))
    size = max(_SMALLEST_TEXT, min(canvas.size) // _TEXT_PART)
    font = (typeface or Typeface()).at(size, text.replace("\n", ""))
    with _whole_font():
        left, top, right, bottom = draw.multiline_textbbox((4, 4), text, font=font)
        draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill="black")
        draw.multiline_text((4, 4), text, fill="white", font=font)
    return canvas


def draw_under(image: Image.Image, lines: Sequence[str], *, typeface: Typeface | None = None) -> Image.Image:
    """Returns an RGB copy with the lines in a black strip under it, white; a small image is enlarged.

    Args:
        image: mode RGB or L; it stays as it is.
        lines: top to bottom, as for `draw_lines`; one that is wider than the picture goes on in the next.
        typeface: as for `draw_lines`.

    Raises:
        EdgeCNNError: a font is damaged.
    """
    picture, lines = _enlarged(image.convert("RGB")), list(map(_short, lines))
    size = max(_SMALLEST_TEXT, min(picture.size) // _TEXT_PART)
    font, step = (typeface or Typeface()).at(size, "".join(lines)), size + size // 2
    with _whole_font():
        draw = ImageDraw.Draw(picture)
        fitting = [part for line in lines for part in _wrapped(draw, line, font, picture.width - size)]
        canvas = Image.new("RGB", (picture.width, picture.height + step * len(fitting) + size // 2))
        canvas.paste(picture)
        draw = ImageDraw.Draw(canvas)
        for index, line in enumerate(fitting):
            draw.text((size // 2, picture.height + size // 4 + step * index), line, fill="white", font=font)
    return canvas


def _wrapped(
    draw: ImageDraw.ImageDraw, line: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int
) -> list[str]:
    """Returns the line in parts that are no wider, divided between words."""
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and draw.textlength(longer, font=font) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def draw_boxes(
    image: Image.Image,
    boxes: Sequence[Sequence[float]],
    class_ids: Sequence[int],
    captions: Sequence[str],
    *,
    typeface: Typeface | None = None,
) -> Image.Image:
    """Returns an RGB copy with boxes in the colours of their classes; a small image is enlarged by a whole factor.

    Args:
        image: mode RGB or L; it stays as it is.
        boxes: xyxy in pixels of the image.
        class_ids: one a box.
        captions: one a box, for example a label and a score.
        typeface: as for `draw_lines`.

    Raises:
        EdgeCNNError: a font is damaged.
    """
    canvas = _enlarged(image.convert("RGB"))
    factor = canvas.width / image.width
    colors = [class_color(class_id) for class_id in class_ids]
    paint_boxes(canvas, [[factor * value for value in box] for box in boxes], colors, captions, typeface=typeface)
    return canvas


def paint_boxes(
    canvas: Image.Image,
    boxes: Sequence[Sequence[float]],
    colors: Sequence[Color],
    captions: Sequence[str],
    *,
    typeface: Typeface | None = None,
) -> None:
    """Draws boxes on the image itself, the largest first; captions stand above their boxes, or below, or else in them.

    Args:
        canvas: mode RGB.
        boxes: as for `draw_boxes`.
        colors: one a box.
        captions: one a box; an empty one is left out.
        typeface: as for `draw_boxes`.

    Raises:
        EdgeCNNError: a font is damaged.
    """
    draw, side, typeface = ImageDraw.Draw(canvas), min(canvas.size), typeface or Typeface()
    line, size = max(2, side // _LINE_PART), max(_SMALLEST_TEXT, side // _CAPTION_PART)
    marks = list(zip(boxes, colors, captions, strict=True))
    marks.sort(key=lambda mark: -(mark[0][2] - mark[0][0]) * (mark[0][3] - mark[0][1]))
    for (x1, y1, x2, y2), color, _ in marks:
        # an edge lies between pixels, so the last pixel of a box is the one before x2
        right, bottom = max(round(x2) - 1, round(x1)), max(round(y2) - 1, round(y1))
        draw.rectangle((round(x1), round(y1), right, bottom), outline=color, width=line)
    for box, color, caption in marks:
        with _whole_font():
            if caption:
                _write_caption(draw, box, color, _short(caption), typeface, size)


def _write_caption(
    draw: ImageDraw.ImageDraw, box: Sequence[float], color: Color, text: str, typeface: Typeface, size: int
) -> None:
    (x1, y1, _, y2), font = box, typeface.at(size, text)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0, min(round(x1), draw.im.size[0] - round(width)))
    is_low = y2 - y1 < 2 * height and y2 + height <= draw.im.size[1]  # a caption in it would hide it
    y = round(y1 - height) if y1 >= height else round(y2) if is_low else max(0, round(y1))
    draw.rectangle((x, y, x + width, y + height), fill=color)
    draw.text((x + 2 - left, y + 2 - top), text, fill=_readable_on(color), font=font)


def draw_classes(
    image: Image.Image,
    class_map: npt.NDArray[np.uint8],
    captions: Mapping[int, str],
    *,
    typeface: Typeface | None = None,
) -> Image.Image:
    """Returns an RGB copy under the colours of its pixels' classes, with a legend; a small image is enlarged.

    Args:
        image: mode RGB or L; it stays as it is.
        class_map: (H, W) uint8, of the image's size.
        captions: by class, in the order of the legend; pixels of other classes stay as they are. What the picture has
            no room for is counted.
        typeface: as for `draw_lines`.

    Raises:
        EdgeCNNError: a font is damaged.
        ValueError: the class map has another size than the image.
    """
    if class_map.shape != (image.height, image.width):
        raise ValueError(
            f"class map: expected the image's size, {(image.height, image.width)}, received {class_map.shape}. Draw on "
            "the image that was answered."
        )
    canvas = image.convert("RGB")
    covered = np.zeros(256, np.uint8)
    covered[list(captions)] = _COVERED
    colors = np.array([class_color(class_id) for class_id in range(256)], np.uint8)
    canvas.paste(Image.fromarray(colors[class_map]), mask=Image.fromarray(covered[class_map]))
    canvas = _enlarged(canvas)
    _write_legend(
        canvas, [(class_color(class_id), text) for class_id, text in captions.items()], typeface or Typeface()
    )
    return canvas


def _write_legend(canvas: Image.Image, entries: Sequence[tuple[Color, str]], typeface: Typeface) -> None:
    """Writes what colours mean into the upper left corner, one a line, white on black."""
    size = max(_SMALLEST_TEXT, min(canvas.size) // _CAPTION_PART)
    step = size + size // 2
    room = max(1, (canvas.height - size // 2) // step)
    marks: list[tuple[Color | None, str]] = [(color, _short(text)) for color, text in entries]
    if len(marks) > room:
        marks[room - 1 :] = [(None, f"and {len(marks) - room + 1} more")]
    font = typeface.at(size, "".join(text for _, text in marks))
    draw = ImageDraw.Draw(canvas)
    with _whole_font():
        boxes = [draw.textbbox((0, 0), text, font=font) for _, text in marks]
        wide = max((right - left for left, _, right, _ in boxes), default=0)
        top, bottom = min((box[1] for box in boxes), default=0), max((box[3] for box in boxes), default=0)
        draw.rectangle((0, 0, 2.5 * size + wide, step * len(marks) + size // 2), fill="black")
        for place, ((color, text), (left, *_)) in enumerate(zip(marks, boxes, strict=True)):
            y = size // 2 + place * step
            if color is not None:
                draw.rectangle((size // 2, y, size // 2 + size, y + size), fill=color)
            draw.text((2 * size - left, y + (size - bottom + top) // 2 - top), text, fill="white", font=font)


def class_color(class_id: int) -> Color:
    """Returns the colour of a class, (red, green, blue), always the same."""
    import colorsys  # an answer that is not drawn needs it not

    hue = class_id * _GOLDEN % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.8, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _readable_on(color: Color) -> str:
    """Returns black on light colours and white on dark ones, by the luma of ITU-R BT.601."""
    return "black" if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140 else "white"


def _short(line: str) -> str:
    shown = legible(line)
    return shown if len(shown) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]}..."


@contextmanager
def _whole_font() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # FreeType's words for an outline that it cannot follow
        raise EdgeCNNError(f"pictures: expected a whole font, received a damaged one: {error}. Name another") from error


def _enlarged(image: Image.Image) -> Image.Image:
    """Returns the image, enlarged by a whole factor where it is too small for text."""
    width, height = image.size
    factor = min(-(-_READABLE_PIXELS // min(width, height)), max(1, _LONGEST_PIXELS // max(width, height)))
    return image if factor == 1 else image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
