"""Writing lines of text on a copy of an image."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_READABLE_PIXELS = 320  # a shorter side of this many pixels takes a line of text
_LONGEST_PIXELS = 2048  # no image is enlarged beyond this
_TEXT_PART = 18  # the text is the shorter side divided by this, in pixels
_SMALLEST_TEXT = 14


def draw_lines(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Returns an RGB copy with the lines in its upper left corner, white on black.

    Args:
        image: mode RGB or L; it stays as it is.
        lines: top to bottom.
    """
    canvas = _enlarged(image.convert("RGB"))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(max(_SMALLEST_TEXT, min(canvas.size) // _TEXT_PART))
    text = "\n".join(" ".join(line.split()) for line in lines)  # a label with a newline stays one line
    left, top, right, bottom = draw.multiline_textbbox((4, 4), text, font=font)
    draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill="black")
    draw.multiline_text((4, 4), text, fill="white", font=font)
    return canvas


def _enlarged(image: Image.Image) -> Image.Image:
    """Returns the image, enlarged by a whole factor where it is too small for text."""
    width, height = image.size
    factor = min(-(-_READABLE_PIXELS // min(width, height)), max(1, _LONGEST_PIXELS // max(width, height)))
    return image if factor == 1 else image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
