"""Feature maps as a picture: a grid of them, beside the image that they were made of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgecnn.figures import make_figure, plain, save_figure

if TYPE_CHECKING:
    from edgecnn.evaluation.feature_maps import FeatureMaps  # brings TensorFlow, which drawing does without

# In inches.
_WIDTH = 1.3  # of a map, and of the two lines above it
_GAP = 0.12
_TITLE = 0.32  # above each map: two lines
_HEADER = 0.45  # above all of them
_LEAST_WIDTH = 4.5  # so that the header has room
_LEAST_ASPECT, _MOST_ASPECT = 0.25, 2.0  # height by width of the place for a map


def draw_feature_maps(maps: FeatureMaps, path: str | Path, *, channels: int = 64) -> None:
    """Draws the pixels that the network was given, then the first maps of the layer, each scaled on its own.

    Above each map stand its channel and its smallest and largest activation, which are the darkest and the brightest
    colour; a map of one value is dark.

    Args:
        maps: of one layer and one image.
        path: of the PNG to write.
        channels: the most maps that are drawn, from channel 0 on.

    Raises:
        WriteError: the file cannot be written.
    """
    path = Path(path)
    height, width, count = maps.activations.shape
    drawn = min(count, channels)
    figure, cells = _grid(1 + drawn, aspect=height / width)
    shown = f"{drawn} of {count}" if drawn < count else str(count)
    title = f"{plain(maps.layer)}: {shown} channel{'s'[: count > 1]} of {height} x {width}"
    figure.suptitle(title, y=1 - 0.1 / figure.get_figheight(), va="top")
    _draw_pixels(cells[0], maps.pixels)
    for channel, axes in enumerate(cells[1:]):
        _draw_map(axes, maps.activations[:, :, channel], channel)
    save_figure(figure, path, dpi=120)


def _grid(cells: int, *, aspect: float) -> tuple[Figure, list[Axes]]:
    """Returns a figure of about the shape of a screen, and its places, as high by width as `aspect` says."""
    width, height = _WIDTH, _WIDTH * min(max(aspect, _LEAST_ASPECT), _MOST_ASPECT)
    step = (width + _GAP, height + _TITLE + _GAP)
    columns = min(cells, math.ceil(math.sqrt(cells * step[1] / step[0] * 4 / 3)))
    rows = math.ceil(cells / columns)
    size = (max(columns * step[0] + _GAP, _LEAST_WIDTH), rows * step[1] + _GAP + _HEADER)
    figure = make_figure(size)
    left = (size[0] - columns * step[0] + _GAP) / 2
    places = [
        (left + column * step[0], size[1] - _HEADER - (row + 1) * step[1] + _GAP)
        for row in range(rows)
        for column in range(columns)
    ]
    return figure, [
        figure.add_axes((x / size[0], y / size[1], width / size[0], height / size[1])) for x, y in places[:cells]
    ]


def _draw_pixels(axes: Axes, pixels: npt.NDArray[np.uint8]) -> None:
    gray = pixels.shape[-1] == 1
    axes.imshow(pixels[:, :, 0] if gray else pixels, cmap="gray", vmin=0, vmax=255)
    _label(axes, f"input\n{pixels.shape[0]} x {pixels.shape[1]}")


def _draw_map(axes: Axes, activations: npt.NDArray[np.float32], channel: int) -> None:
    axes.imshow(activations, cmap="viridis")
    _label(axes, f"{channel}\n{activations.min():.3g} to {activations.max():.3g}")


def _label(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=7, pad=3)
    axes.set_xticks([])
    axes.set_yticks([])
