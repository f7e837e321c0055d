"""How the learning rate goes over the epochs: it follows from the options and from what came before."""

import math
from collections.abc import Sequence

from edgecnn.training.config import TrainConfig
from edgecnn.training.history import EpochMetrics

_EXPONENTIAL_FACTOR = 0.9
_PLATEAU_FACTOR = 0.5
_PLATEAU_PATIENCE = 3


def learning_rate(config: TrainConfig, history: Sequence[EpochMetrics]) -> float:
    """Returns the rate of the next epoch, which it keeps from its first step to its last.

    "constant" stays at `config.rate`. "exponential" takes a tenth off each epoch. "cosine" falls along half a wave,
    from the full rate in the first epoch towards 0 after `config.epochs`. "plateau" halves the rate each time that the
    validation loss has not been better for 3 epochs.

    Args:
        config: the options.
        history: the epochs that are done.

    Example:
        >>> config = TrainConfig("mnist_convnet", "digits", epochs=2, learning_rate=0.1, schedule="cosine")
        >>> [round(learning_rate(config, [EpochMetrics(1, 0.5, {})] * done), 4) for done in (0, 1)]
        [0.1, 0.05]
    """
    done = len(history)
    if config.schedule == "exponential":
        return config.rate * _EXPONENTIAL_FACTOR**done
    if config.schedule == "cosine":
        return config.rate * (1 + math.cos(math.pi * done / config.epochs)) / 2
    if config.schedule == "plateau":
        return config.rate * _PLATEAU_FACTOR ** _plateaus(history)
    return config.rate


def _plateaus(history: Sequence[EpochMetrics]) -> int:
    """Counts the stretches of epochs without a better validation loss."""
    count, best, since = 0, math.inf, 0
    for row in history:
        loss = math.inf if row.val_loss is None else row.val_loss
        since = 0 if loss < best else since + 1
        best = min(best, loss)
        if since == _PLATEAU_PATIENCE:
            count, since = count + 1, 0
    return count
