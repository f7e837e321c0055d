"""The learning curve: one row an epoch, in `history.csv`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from edgecnn.csv_text import from_csv, to_csv
from edgecnn.errors import RunFolderError


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """What one epoch came to.

    Attributes:
        epoch: from 1.
        loss: mean cross-entropy over the train part while it was learned.
        accuracy: likewise, 0 to 1.
        val_loss: mean cross-entropy over the held-out part after the epoch; None where nothing is held out.
        val_accuracy: likewise, 0 to 1.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None


History = tuple[EpochMetrics, ...]
_COLUMNS = tuple(field.name for field in fields(EpochMetrics))


def history_to_csv(history: Sequence[EpochMetrics]) -> str:
    """Returns the rows as CSV with a header; numbers keep all their digits, so that reading gives the same floats."""
    return to_csv([_COLUMNS, *([getattr(row, name) for name in _COLUMNS] for row in history)])


def history_from_csv(text: str, *, what: str = "history.csv") -> History:
    """Reads what `history_to_csv` wrote.

    Args:
        text: the CSV.
        what: names it in messages.

    Raises:
        RunFolderError: other columns, a cell that is no number, or epochs that do not count up from 1.

    Example:
        >>> history_from_csv(history_to_csv([EpochMetrics(1, 0.5, 0.75)]))
        (EpochMetrics(epoch=1, loss=0.5, accuracy=0.75, val_loss=None, val_accuracy=None),)
    """
    try:
        header, *rows = from_csv(text) or [[]]
    except ValueError as error:
        raise RunFolderError(f"{what}: expected the columns {','.join(_COLUMNS)}, received {error}") from error
    if tuple(header) != _COLUMNS:
        raise RunFolderError(f"{what}: expected the columns {','.join(_COLUMNS)}, received {','.join(header)}")
    try:
        history = tuple(_metrics(*row) for row in rows)
    except (ValueError, TypeError) as error:
        raise RunFolderError(f"{what}: expected a number in every cell, received {error}") from error
    if [row.epoch for row in history] != list(range(1, len(history) + 1)):
        raise RunFolderError(f"{what}: expected the epochs 1 to {len(history)}, received {[r.epoch for r in history]}")
    return history


def _metrics(epoch: str, loss: str, accuracy: str, val_loss: str, val_accuracy: str) -> EpochMetrics:
    validation = (float(cell) if cell else None for cell in (val_loss, val_accuracy))
    return EpochMetrics(int(epoch), float(loss), float(accuracy), *validation)


def stops_early(history: Sequence[EpochMetrics], patience: int | None) -> bool:
    """Says whether the validation loss has not improved for `patience` epochs; never where `patience` is None.

    Example:
        >>> losses = [0.5, 0.4, 0.6, 0.5]
        >>> rows = [EpochMetrics(i + 1, 0.0, 0.0, loss, 0.0) for i, loss in enumerate(losses)]
        >>> stops_early(rows, 2), stops_early(rows, 3)
        (True, False)
    """
    losses = [float("inf") if row.val_loss is None else row.val_loss for row in history]
    if patience is None or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= patience
