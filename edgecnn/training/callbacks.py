"""Keras callbacks of the user's, told of a run as Keras would tell them, though it is fitted epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from edgecnn.training.history import EpochMetrics


class RunCallbacks:
    """Tells callbacks of a whole run, whose epochs count from 0 as theirs do, also where it goes on.

    Args:
        callbacks: of the user's, in the order in which they are told.
        model: that is trained.
        epochs: that the run is to have.

    Attributes:
        factor: that callbacks have changed the learning rate by behind epochs, which the schedule knows nothing of.
        rate: the learning rate that the last epoch began with.
        stopped: whether one has set `model.stop_training`.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, *, epochs: int) -> None:
        self._model, self.factor, self.rate, self.stopped = model, 1.0, 0.0, False
        self._list = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs, verbose=0)

    @property
    def of_batches(self) -> list[keras.callbacks.Callback]:
        """What a call of `fit` or `evaluate` is to be given, so that the batches of it are told."""
        return [_Batches(self._list)] if self._list.callbacks else []

    def begin(self) -> None:
        """The run begins, or goes on."""
        self._model.stop_training = False
        self._list.on_train_begin()

    def begin_epoch(self, epoch: int, rate: float) -> None:
        """An epoch begins, from 1 on, with a learning rate that callbacks may change yet."""
        self._model.optimizer.learning_rate = rate * self.factor
        self._list.on_epoch_begin(epoch - 1)
        self.rate = self._rate()
        self.stopped = bool(self._model.stop_training)  # which `fit` forgets

    def end_epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is done and scored, and not kept yet."""
        before = self._rate()
        self._list.on_epoch_end(metrics.epoch - 1, _logs(metrics))
        self.stopped |= bool(self._model.stop_training)
        if (after := self._rate()) != before:
            self.factor *= after / before

    def end(self, metrics: EpochMetrics) -> None:
        """The run has ended; its last epoch is kept."""
        self._list.on_train_end(_logs(metrics))

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self._model.optimizer.learning_rate))


def _logs(metrics: EpochMetrics) -> dict[str, float]:
    return {name: value for name, value in metrics.series().items() if value is not None}


class _Batches(keras.callbacks.Callback):
    """Passes on what is told of batches, and of scoring; not of epochs and the training, which are a call's own."""

    def __init__(self, told: keras.callbacks.CallbackList) -> None:
        super().__init__()
        self._told = told

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Passes it on."""
        self._told.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Passes it on."""
        self._told.on_train_batch_end(batch, logs)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Passes it on."""
        self._told.on_test_begin(logs)

    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Passes it on."""
        self._told.on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Passes it on."""
        self._told.on_test_batch_end(batch, logs)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Passes it on."""
        self._told.on_test_end(logs)
