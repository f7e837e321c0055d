"""The learning curve: one row an epoch, in `history.csv`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgecnn.csv_text import from_csv, to_csv
from edgecnn.errors import RunFolderError


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """What one epoch came to.

    Attributes:
        epoch: from 1.
        loss: mean over the train part while it was learned.
        metrics: likewise by name, the one to watch first: of a classifier "accuracy", 0 to 1.
        val_loss: mean over the held-out part after the epoch; None where nothing is held out.
        val_metrics: likewise, of the same names and perhaps of others, which come first: what only the held-out part is
            scored by is the one to watch there. Empty where nothing is held out.
    """

    epoch: int
    loss: float
    metrics: Mapping[str, float]
    val_loss: float | None = None
    val_metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def watched(self) -> str:
        """The name of the metric that stands beside the loss."""
        return next(iter(self.metrics))

    @property
    def val_watched(self) -> str:
        """The name of the metric that the held-out part is judged by; of the other one where nothing is held out."""
        return next(iter(self.val_metrics or self.metrics))

    @property
    def names(self) -> list[str]:
        """Of all metrics, those that only the held-out part has before the others."""
        return [name for name in self.val_metrics if name not in self.metrics] + list(self.metrics)

    def series(self) -> dict[str, float | None]:
        """Returns loss and metrics by name, then those of the held-out part, which are called "val_" and the name.

        What a part is not scored by is None there.
        """
        train = {"loss": self.loss, **{name: self.metrics.get(name) for name in self.names}}
        held_out = {"loss": self.val_loss, **{name: self.val_metrics.get(name) for name in self.names}}
        return train | {f"val_{name}": value for name, value in held_out.items()}


History = tuple[EpochMetrics, ...]
Better = Literal["higher", "lower"]
_COLUMNS = "the columns epoch,loss,METRICS,val_loss,val_METRICS"


def history_to_csv(history: Sequence[EpochMetrics]) -> str:
    """Returns the rows as CSV with a header; numbers keep all their digits, so that reading gives the same floats.

    The columns are epoch, loss, the metrics by name, and the latter two again with "val_" before their names. What only
    the held-out part is scored by has a column among the others, whose cells are empty.

    Args:
        history: one entry an epoch, at least one, all with the same metrics.

    Example:
        >>> print(history_to_csv([EpochMetrics(1, 0.5, {"accuracy": 0.75})]).replace(chr(13), ""), end="")
        epoch,loss,accuracy,val_loss,val_accuracy
        1,0.5,0.75,,
    """
    rows = [{"epoch": row.epoch, **row.series()} for row in history]
    return to_csv([list(rows[0]), *(list(row.values()) for row in rows)])


def history_from_csv(text: str, *, what: str = "history.csv") -> History:
    """Reads what `history_to_csv` wrote.

    Args:
        text: the CSV.
        what: names it in messages.

    Raises:
        RunFolderError: other columns, a cell that is no number, or epochs that do not count up from 1.

    Example:
        >>> history_from_csv(history_to_csv([EpochMetrics(1, 0.5, {"accuracy": 0.75})]))
        (EpochMetrics(epoch=1, loss=0.5, metrics={'accuracy': 0.75}, val_loss=None, val_metrics={}),)
    """
    try:
        header, *rows = from_csv(text) or [[]]
    except ValueError as error:
        raise RunFolderError(f"{what}: expected {_COLUMNS}, received {error}") from error
    names = header[2 : 1 + len(header) // 2]
    if not names or header != ["epoch", "loss", *names, "val_loss", *(f"val_{name}" for name in names)]:
        raise RunFolderError(f"{what}: expected {_COLUMNS}, received {','.join(header)}")
    try:
        learned = [name for index, name in enumerate(names, 2) if any(row[index : index + 1] != [""] for row in rows)]
        history = tuple(_metrics(names, learned or names, *row) for row in rows)
    except (ValueError, TypeError) as error:
        raise RunFolderError(f"{what}: expected a number in every cell, received {error}") from error
    if [row.epoch for row in history] != list(range(1, len(history) + 1)):
        raise RunFolderError(f"{what}: expected the epochs 1 to {len(history)}, received {[r.epoch for r in history]}")
    return history


def _metrics(names: Sequence[str], learned: Collection[str], epoch: str, *cells: str) -> EpochMetrics:
    half = 1 + len(names)
    shown = dict(zip(names, cells[1:half], strict=True))
    train = {name: float(shown[name]) for name in learned}
    if not any(cells[half:]) and len(cells) == 2 * half:
        return EpochMetrics(int(epoch), float(cells[0]), train)
    val_loss, *val_metrics = map(float, cells[half:])
    return EpochMetrics(int(epoch), float(cells[0]), train, val_loss, dict(zip(names, val_metrics, strict=True)))


def stops_early(history: Sequence[EpochMetrics], patience: int | None) -> bool:
    """Says whether the validation loss has not improved for `patience` epochs; never where `patience` is None.

    Example:
        >>> losses = [0.5, 0.4, 0.6, 0.5]
        >>> rows = [EpochMetrics(i + 1, 0.0, {}, loss) for i, loss in enumerate(losses)]
        >>> stops_early(rows, 2), stops_early(rows, 3)
        (True, False)
    """
    losses = [float("inf") if row.val_loss is None else row.val_loss for row in history]
    if patience is None or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= patience


def best_epoch(history: Sequence[EpochMetrics], better: Better = "higher") -> int | None:
    """Returns the epoch that the held-out part was scored best after; None where nothing is held out.

    Judged by the metric that is watched there. Of epochs that it does not tell apart, as on a small part or where all
    is right, the one of the lower loss on that part is the best, and of equal ones the first.

    Args:
        history: one entry an epoch.
        better: which values of the metric are.

    Example:
        >>> scores = [(0.9, 0.5), (0.7, 0.75), (0.4, 0.75), (0.4, 0.75), (0.3, 0.25)]
        >>> rows = [EpochMetrics(i + 1, 0.0, {}, loss, {"ap50": ap50}) for i, (loss, ap50) in enumerate(scores)]
        >>> best_epoch(rows), best_epoch(rows, "lower"), best_epoch([])
        (3, 5, None)
    """
    sign = 1 if better == "lower" else -1
    held_out = [row for row in history if row.val_loss is not None and row.val_metrics]
    best = min(held_out, key=lambda row: (sign * row.val_metrics[row.val_watched], row.val_loss), default=None)
    return None if best is None else best.epoch
