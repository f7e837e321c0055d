"""Matplotlib's pictures: text in them is never markup and never breaks the layout, and files appear whole."""

import logging
import re
import warnings
from pathlib import Path
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from edgecnn.atomic import replacing
from edgecnn_runtime.fonts import legible

LONGEST_NAME = 30  # letters of a name in a picture
_NO_GLYPH = re.compile(r"Glyph (\d+) .* missing from")
_LOGGER = logging.getLogger(__name__)


def make_figure(size: tuple[float, float], *, layout: Literal["constrained"] | None = None) -> Figure:
    """Returns an empty figure that needs no display.

    Args:
        size: width and height in inches.
        layout: what places the axes; None where they are placed by hand.
    """
    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def plain(name: str) -> str:
    r"""Returns a name as a picture shows it: on one line, controls as escapes, the middle of a long one left out.

    >>> plain("a\x1b\nb"), len(plain("x" * 99))
    ('a\\x1b b', 30)
    """
    shown = legible(name)
    half = (LONGEST_NAME - 3) // 2
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 3 - half]}...{shown[-half:]}"


def save_figure(
    figure: Figure,
    path: Path,
    *,
    dpi: int = 100,
    metadata: dict[str, str | None] | None = None,
    temporary_folder: Path | None = None,
) -> None:
    """Writes a figure as a PNG; letters that matplotlib's fonts lack are boxes, and are named in one warning.

    Args:
        figure: its texts are taken as they are, without mathematics between dollars.
        path: of the file to make or to replace.
        dpi: pixels an inch.
        metadata: of the PNG.
        temporary_folder: as for `edgecnn.atomic.replacing`.

    Raises:
        WriteError: the file cannot be written.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with replacing(path, temporary_folder=temporary_folder) as temporary, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        figure.savefig(temporary, format="png", dpi=dpi, metadata=metadata)
    lacked: dict[str, None] = {}
    for warning in seen:
        if found := _NO_GLYPH.match(str(warning.message)):
            lacked[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if lacked:
        _LOGGER.warning(
            "%s: expected fonts with every letter of the names, received none for %s, which are drawn as boxes. Name "
            "one that has them in a matplotlibrc, as in font.family: DejaVu Sans, Noto Sans CJK JP",
            path,
            ", ".join(lacked),
        )
