"""Fonts for annotated pictures: which font draws a text, and which of its letters none has."""

import os
import string
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from PIL import ImageFont

from edgecnn_runtime.regular_file import open_regular_file, reason

_WELL_KNOWN = (  # where systems keep fonts of many letters; the widest one of a kind first
    *("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf"),
    *("/usr/share/fonts/TTF/DejaVuSans.ttf", "/usr/share/fonts/dejavu/DejaVuSans.ttf"),
    *("/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf", "/usr/share/fonts/noto/NotoSans-Regular.ttf"),
    "/usr/share/fonts/google-noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    *("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc"),
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    *("/System/Library/Fonts/Supplemental/Arial Unicode.ttf", "/Library/Fonts/Arial Unicode.ttf"),
    *("C:/Windows/Fonts/arial.ttf", "C:/Windows/Fonts/msgothic.ttc"),
)
_BROUGHT = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # by Matplotlib
_JOINERS = "\u200c\u200d"  # they have no shape of their own, and shape the letters beside them
_SHAPELESS = " " + _JOINERS + "".join(map(chr, range(0xFE00, 0xFE10)))  # nor have the selectors of emoji's variants
_NO_LETTER = "\uffff"  # Unicode promises that it never will be one, so every font draws its box
_COMPARED_PIXELS = 32  # the size at which a letter is compared with the box
_NAMED = 20  # letters, in a message
_LARGEST = 256 * 2**20  # bytes of a font; those of all Chinese letters take 20 MB a weight
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Typeface:
    """Draws text, and keeps the letters that were asked of it and that it lacks.

    Without a file, Pillow's own font draws what it has the letters of, ASCII for the most part, so that such a picture
    is the same on every machine; other text takes the first font here that has all its letters, out of a short list of
    well-known places and what Matplotlib brings where it is installed.

    Args:
        path: a TrueType or OpenType font (.ttf, .otf, .ttc: its first), which draws everything then.

    Raises:
        ValueError: the file cannot be read, or is no font whose letters have outlines.

    Attributes:
        path: of the font; None for the others.

    Example:
        >>> typeface = Typeface()
        >>> typeface.at(20, "cat 98.0%").getname()
        ('Aileron', 'Regular')
        >>> typeface.missing
        ()
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path
        self._faces = [_Face(None if path is None else _read(path))]
        self._unread = [] if path is not None else fonts_here()
        self._missing: dict[str, None] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The letters that were asked for so far and stand as boxes, in that order."""
        return tuple(self._missing)

    @property
    def warning(self) -> str | None:
        """What to tell of the missing letters; None where there are none."""
        if not self._missing:
            return None
        named = ", ".join(self.missing[:_NAMED])
        more = f" and {len(self._missing) - _NAMED} more" if len(self._missing) > _NAMED else ""
        return (
            f"pictures: expected a font with every letter of the labels, received none for {named}{more}, which are "
            "drawn as boxes. Name a font that has them with --font FILE (font= in Python)"
        )

    def at(self, size: int, text: str) -> _Font:
        """Returns the font that draws a text, in pixels of height: the first that has all its letters, or most."""
        best, lacked = self._faces[0], self._faces[0].lacked(text)
        for face in self._others():
            if not lacked:
                break
            if len(found := face.lacked(text)) < len(lacked):
                best, lacked = face, found
        self._missing.update(dict.fromkeys(lacked))
        return best.at(size)

    def _others(self) -> Iterator["_Face"]:
        yield from self._faces[1:]
        while self._unread:
            with suppress(ValueError):  # this system keeps none there
                self._faces.append(_Face(_read(self._unread.pop(0))))
                yield self._faces[-1]


class _Face:
    """One font, opened at the sizes that are asked for; None is Pillow's own."""

    def __init__(self, content: bytes | None) -> None:
        self._content = content
        self._sizes: dict[int, _Font] = {}
        self._has: dict[str, bool] = dict.fromkeys(_SHAPELESS, True)
        self._compared = _open(content, _COMPARED_PIXELS, ImageFont.Layout.BASIC)  # a letter alone, a mark too
        self._box = _mask(self._compared, _NO_LETTER)

    def at(self, size: int) -> _Font:
        if size not in self._sizes:
            self._sizes[size] = _open(self._content, size)
        return self._sizes[size]

    def lacked(self, text: str) -> list[str]:
        """Returns the letters that would be drawn as the font draws what is no letter."""
        return [letter for letter in dict.fromkeys(text) if not self._holds(letter)]

    def _holds(self, letter: str) -> bool:
        if letter not in self._has:
            self._has[letter] = _mask(self._compared, letter) not in (None, self._box)
        return self._has[letter]


def fonts_here() -> list[str]:
    """Returns where fonts of many letters may lie on this machine; nothing is opened or imported."""
    matplotlib = find_spec("matplotlib")
    brought = [] if matplotlib is None or matplotlib.origin is None else [Path(matplotlib.origin).parent / _BROUGHT]
    return [*_WELL_KNOWN, *map(str, brought)]


def legible(line: str) -> str:
    r"""Returns text as a picture can show it on one line: what has no shape stands as its escape.

    >>> legible("two\nlines \x1b[31m and caf\u00e9")
    'two lines \\x1b[31m and café'
    """
    return "".join(
        c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode("ascii")
        for c in " ".join(line.split())
    )


def _open(content: bytes | None, size: int, layout: ImageFont.Layout | None = None) -> _Font:
    return (
        ImageFont.load_default(size) if content is None else ImageFont.truetype(BytesIO(content), size, 0, "", layout)
    )


def _mask(font: _Font, letter: str) -> tuple[tuple[int, int], bytes] | None:
    """Returns how a letter looks; None where the font is damaged there."""
    try:
        drawn = font.getmask(letter)
    except OSError:
        return None
    return drawn.size, bytes(drawn)


def _read(path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a font that can be drawn with.

    Raises:
        ValueError: the file cannot be read, or is no such font.
    """
    try:
        with open_regular_file(path) as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{os.fspath(path)}: expected a font, received no readable file: {reason(error)}") from error
    try:
        if len(content) <= _LARGEST:
            ImageFont.truetype(BytesIO(content), _COMPARED_PIXELS).getmask(string.printable.strip() + _NO_LETTER)
            return content
        received = f"over {_LARGEST} bytes"
    except (OSError, ValueError) as error:
        received = f"a file of {len(content)} bytes that FreeType refuses: {error}"
    raise ValueError(f"{os.fspath(path)}: expected a font with outlines (.ttf, .otf, .ttc), received {received}")
