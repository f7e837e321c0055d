"""How training shows itself on stderr: bars on a terminal, one line a stage and an epoch elsewhere."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from edgecnn.cli.progress import make_bars
from edgecnn.cli.streams import say
from edgecnn.training.history import EpochMetrics
from edgecnn.training.progress import Progress as TrainingProgress
from edgecnn.training.progress import Stage

Clock = Callable[[], float]

_STAGES: Mapping[Stage, str] = {
    "data": "reading the data",
    "cache": "preparing the images",
    "model": "building the model",
    "fit": "training",
    "finish": "writing the run folder",
}
_BAR_WIDTH = 10  # characters: the numbers beside it tell more


@contextmanager
def training_progress() -> Iterator[TrainingProgress]:
    """Gives `train` what it reports to: bars where stderr is a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    text = TextColumn("{task.description}", table_column=Column(no_wrap=False))  # on narrow terminals, several lines
    pace = TextColumn("{task.fields[pace]}")
    with make_bars(text, BarColumn(_BAR_WIDTH), MofNCompleteColumn(), pace) as bars:
        yield _Bars(bars)


class Pace:
    """How fast images go through epochs of one length, and how long all of them will still take.

    Args:
        clock: gives seconds since whenever.
    """

    def __init__(self, clock: Clock = perf_counter) -> None:
        self._clock, self._whole = clock, 0.0  # seconds of the epoch before
        self.begin(1, 1)

    def begin(self, epoch: int, epochs: int) -> None:
        """An epoch begins, from 1 on."""
        self._start, self._to_come = self._clock(), epochs - epoch
        self._first: tuple[int, float] | None = None  # images, and when

    def end(self) -> float:
        """Returns the seconds that the epoch took, with all that was done after its last image."""
        self._whole = self._clock() - self._start
        return self._whole

    def tell(self, done: int, total: int) -> str:
        """Returns the images a second and the time left, as far as can be said.

        What is done at the first call is not counted: before it, the graph is built. An epoch takes as long as the one
        before it, which was validated and saved too; the first as its images so far let expect.

        Args:
            done: images of the epoch so far.
            total: images of the epoch.

        >>> now = iter([0.0, 0.0, 9.0, 12.0])  # made, an epoch begins, a batch is done, and three more
        >>> pace = Pace(lambda: next(now))
        >>> pace.begin(8, 10)
        >>> pace.tell(25, 400), pace.tell(100, 400)
        ('', '25 images/s  0:44 left')
        """
        now = self._clock()
        self._first = self._first or (done, now)
        images, seconds = done - self._first[0], now - self._first[1]
        rate = images / seconds if seconds > 0 else 0.0
        whole = self._whole or (total / rate if rate else 0.0)
        left = format_seconds(whole * (self._to_come + 1 - done / total))
        words = (f"{rate:.{0 if rate >= 10 else 1}f} images/s" if rate else "", f"{left} left" if whole else "")
        return "  ".join(word for word in words if word)


class _Lines:
    """One line a stage and one an epoch."""

    def __init__(self, clock: Clock = perf_counter) -> None:
        self._pace = Pace(clock)

    def on_stage(self, stage: Stage, /) -> None:
        say(f"edgecnn: {_STAGES[stage]}")

    def on_batch(self, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        del done, total, metrics

    def on_epoch_begin(self, epoch: int, epochs: int, /) -> None:
        self._pace.begin(epoch, epochs)

    def on_epoch(self, metrics: EpochMetrics, epochs: int, /) -> None:
        say(f"edgecnn: {format_epoch(metrics, epochs)}, {format_seconds(self._pace.end())}")


class _Bars:
    """One bar for what runs now; finished epochs stand above it."""

    def __init__(self, bars: Progress, clock: Clock = perf_counter) -> None:
        self._bars, self._pace = bars, Pace(clock)
        self._task = bars.add_task("", total=None, pace="")
        self._doing = ""

    def on_stage(self, stage: Stage, /) -> None:
        self._pace.begin(1, 1)
        self._show(_STAGES[stage])

    def on_batch(self, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        shown = "".join(f"  {name} {value:.4f}" for name, value in metrics.items())
        pace = self._pace.tell(done, total)
        self._bars.update(self._task, description=f"{self._doing}{shown}", completed=done, total=total, pace=pace)

    def on_epoch_begin(self, epoch: int, epochs: int, /) -> None:
        self._pace.begin(epoch, epochs)
        self._show(f"epoch {epoch} of {epochs}")

    def on_epoch(self, metrics: EpochMetrics, epochs: int, /) -> None:
        line = f"edgecnn: {format_epoch(metrics, epochs)}, {format_seconds(self._pace.end())}"
        self._bars.console.print(line, highlight=False, markup=False)

    def _show(self, doing: str) -> None:
        self._bars.remove_task(self._task)
        self._task, self._doing = self._bars.add_task(doing, total=None, pace=""), doing


def format_epoch(metrics: EpochMetrics, epochs: int) -> str:
    """Returns what an epoch came to, on one line.

    >>> format_epoch(EpochMetrics(2, 0.25, {"accuracy": 0.9}, 0.5, {"accuracy": 0.8}), 5)
    'epoch 2 of 5: loss 0.2500, accuracy 0.9000, held out: loss 0.5000, accuracy 0.8000'
    """
    learned = _told({"loss": metrics.loss, **metrics.metrics})
    held_out = (
        () if metrics.val_loss is None else ("held out: " + _told({"loss": metrics.val_loss, **metrics.val_metrics}),)
    )
    return f"epoch {metrics.epoch} of {epochs}: {', '.join((learned, *held_out))}"


def format_seconds(seconds: float) -> str:
    """Returns a time as clocks show it.

    >>> format_seconds(9.4), format_seconds(3723)
    ('0:09', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _told(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())
