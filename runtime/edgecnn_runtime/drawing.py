"""Writing lines of text on a copy of an image."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.fonts import Typeface, legible

_READABLE_PIXELS = 320  # a shorter side of this many pixels takes a line of text
_LONGEST_PIXELS = 2048  # no image is enlarged beyond this
_TEXT_PART = 18  # the text is the shorter side divided by this, in pixels
_SMALLEST_TEXT = 14
_LONGEST_LINE = 300  # letters; more than any picture has room for


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
    shown = [legible(line) for line in lines]
    text = "\n".join(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..." for line in shown)
    size = max(_SMALLEST_TEXT, min(canvas.size) // _TEXT_PART)
    font = (typeface or Typeface()).at(size, text.replace("\n", ""))
    try:
        left, top, right, bottom = draw.multiline_textbbox((4, 4), text, font=font)
        draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill="black")
        draw.multiline_text((4, 4), text, fill="white", font=font)
    except OSError as error:  # FreeType's words for an outline that it cannot follow
        raise EdgeCNNError(f"pictures: expected a whole font, received a damaged one: {error}. Name another") from error
    return canvas


def _enlarged(image: Image.Image) -> Image.Image:
    """Returns the image, enlarged by a whole factor where it is too small for text."""
    width, height = image.size
    factor = min(-(-_READABLE_PIXELS // min(width, height)), max(1, _LONGEST_PIXELS // max(width, height)))
    return image if factor == 1 else image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
