"""The learning curves as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgecnn.figures import make_figure, save_figure
from edgecnn.training.history import EpochMetrics


def draw_curves(history: Sequence[EpochMetrics], path: Path, *, temporary_folder: Path | None = None) -> None:
    """Draws the loss and the watched metric over the epochs, of the train and the held-out part.

    Args:
        history: one entry an epoch, at least one.
        path: of the PNG to write.
        temporary_folder: as for `edgecnn.atomic.replacing`.

    Raises:
        WriteError: the file cannot be written.
    """
    figure = make_figure((9, 3.5), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, name in zip(axes, ("loss", history[0].watched), strict=True):
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
