"""The learning curves as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgecnn.figures import make_figure, save_figure
from edgecnn.training.history import EpochMetrics


def draw_curves(history: Sequence[EpochMetrics], path: Path, *, temporary_folder: Path | None = None) -> None:
    """Draws the loss and the watched metrics over the epochs, each of the parts that have it.

    Args:
        history: one entry an epoch, at least one.
        path: of the PNG to write.
        temporary_folder: as for `edgecnn.atomic.replacing`.

    Raises:
        WriteError: the file cannot be written.
    """
    names = tuple(dict.fromkeys(("loss", history[0].watched, history[0].val_watched)))
    figure = make_figure((4.5 * len(names), 3.5), layout="constrained")
    axes = figure.subplots(1, len(names))
    for axis, name in zip(axes, names, strict=True):
        _draw(axis, history, name)
    save_figure(figure, path, temporary_folder=temporary_folder)


def _draw(axis: Axes, history: Sequence[EpochMetrics], name: str) -> None:
    epochs = [row.epoch for row in history]
    for label, column in (("train", name), ("validation", f"val_{name}")):
        values = [value for row in history if (value := row.series()[column]) is not None]
        if len(values) == len(history):
            axis.plot(epochs, values, marker="o", label=label)
    axis.set_xlabel("epoch")
    axis.set_ylabel(name)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(visible=True, alpha=0.3)
    axis.legend()
