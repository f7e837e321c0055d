"""How training shows itself on stderr: bars on a terminal, one line a stage and an epoch elsewhere."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.progress import Progress

from edgecnn.cli.progress import make_bars
from edgecnn.cli.streams import say
from edgecnn.training.history import EpochMetrics
from edgecnn.training.progress import Progress as TrainingProgress
from edgecnn.training.progress import Stage

_STAGES: Mapping[Stage, str] = {
    "data": "reading the data",
    "cache": "preparing the images",
    "model": "building the model",
    "fit": "training",
    "finish": "writing the run folder",
}


@contextmanager
def training_progress() -> Iterator[TrainingProgress]:
    """Gives `train` what it reports to: bars where stderr is a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    with make_bars() as bars:
        yield _Bars(bars)


class _Lines:
    """One line a stage and one an epoch."""

    def on_stage(self, stage: Stage, /) -> None:
        say(f"edgecnn: {_STAGES[stage]}")

    def on_batch(self, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        del done, total, metrics

    def on_epoch(self, metrics: EpochMetrics, epochs: int, /) -> None:
        say(f"edgecnn: {format_epoch(metrics, epochs)}")


class _Bars:
    """One bar for what runs now; finished epochs stand above it."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None)

    def on_stage(self, stage: Stage, /) -> None:
        self._bars.remove_task(self._task)
        self._task = self._bars.add_task(_STAGES[stage], total=None)

    def on_batch(self, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        shown = "".join(f"  {name} {value:.4f}" for name, value in metrics.items())
        description = f"{_STAGES['fit' if metrics else 'cache']}{shown}"
        self._bars.update(self._task, description=description, completed=done, total=total)

    def on_epoch(self, metrics: EpochMetrics, epochs: int, /) -> None:
        self._bars.console.print(f"edgecnn: {format_epoch(metrics, epochs)}", highlight=False, markup=False)


def format_epoch(metrics: EpochMetrics, epochs: int) -> str:
    """Returns what an epoch came to, on one line.

    >>> format_epoch(EpochMetrics(2, 0.25, {"accuracy": 0.9}, 0.5, {"accuracy": 0.8}), 5)
    'epoch 2 of 5: loss 0.2500, accuracy 0.9000, held out: 0.5000, 0.8000'
    """
    learned = {"loss": metrics.loss, **metrics.metrics}
    shown = ", ".join(f"{name} {value:.4f}" for name, value in learned.items())
    held_out = () if metrics.val_loss is None else (metrics.val_loss, *metrics.val_metrics.values())
    validation = f", held out: {', '.join(f'{value:.4f}' for value in held_out)}" if held_out else ""
    return f"epoch {metrics.epoch} of {epochs}: {shown}{validation}"
