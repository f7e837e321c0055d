"""The picture of what `peers.py` measured: how many times faster than plain fp32 each way is, a panel a model."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

COLUMNS, THREADS = 2, 1
_OURS, _INT8 = "edgecnn", "int8"
# Blue against gray, and dark against light: told apart without colour too.
_COLORS = {(True, True): "#0a58a6", (True, False): "#86b6e2", (False, True): "#75757a", (False, False): "#c6c6ca"}
_INK, _FAINT = "#1b1b1f", "#5c5c63"
_HALO = [withStroke(linewidth=2.5, foreground="white")]  # a dark line on a dark bar
# Texts stay texts, so that the file is small and a test reads them; a set salt gives the same bytes every time.
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgecnn",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "text.parse_math": False,
}


def peers_picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns an SVG with a panel a model and a bar a way, at one thread.

    Args:
        rows: as `peers.py` writes them, of any models and ways.
    """
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["threads"] == THREADS:
            by_model.setdefault(row["model"], []).append(row)
    most = max(len(ways) for ways in by_model.values())
    lines = math.ceil(len(by_model) / COLUMNS)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 0.9 + lines * (0.5 + 0.24 * most)), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, wspace=0.02)
        figure.suptitle("times faster than plain tf2onnx + ONNX Runtime fp32, batch 1, 1 thread", fontsize=11)
        axes = list(figure.subplots(lines, COLUMNS, squeeze=False).flat)
        for axis in axes:
            axis.set_axis_off()
        for axis, (model, ways) in zip(axes, by_model.items(), strict=False):
            _draw(axis, model, ways, most)
        figure.supxlabel(
            "blue: edgecnn; dark: int8, light: float32; thin line: 10th to 90th percentile of the rounds\n"
            "a percentage: on how many test images the best class is Keras' own, where it is not on all",
            fontsize=8.5,
            color=_FAINT,
        )
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def shown(picture: str) -> list[str]:
    """Returns every text of an SVG, in its order: what the picture says, wherever it is drawn."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


def _draw(axis: Axes, model: str, ways: Sequence[Mapping[str, Any]], most: int) -> None:
    axis.set_axis_on()
    axis.set_title(model, loc="left", fontsize=10.5, fontweight="bold")
    for place, row in enumerate(ways):
        ratio, ours = row["ratio"], row["way"].startswith(_OURS)
        axis.barh(place, ratio["median"], height=0.72, color=_COLORS[ours, _INT8 in row["way"]])
        axis.plot((ratio["p10"], ratio["p90"]), (place, place), color=_INK, linewidth=1, path_effects=_HALO)
        axis.annotate(
            _label(row),
            (max(ratio["median"], ratio["p90"]), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if ours else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axis.axvline(1, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axis.set_yticks(range(len(ways)), [row["way"] for row in ways])
    for label, row in zip(axis.get_yticklabels(), ways, strict=True):
        label.set_fontweight("bold" if row["way"].startswith(_OURS) else "normal")
    axis.set_ylim(most - 0.4, -0.6)
    axis.set_xlim(0, 1.3 * max(row["ratio"]["p90"] for row in ways))
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0, labelcolor=_INK)
    axis.spines[["top", "right", "bottom"]].set_visible(False)


def _label(row: Mapping[str, Any]) -> str:
    ratio = row["ratio"]["median"]
    text = f"{ratio:.2f}" if ratio >= 0.095 else f"{ratio:.1g}"
    return text if row["agreement"] == 1 else f"{text}  ({row['agreement']:.1%})"
