"""TensorBoard's event logs of a run: `tensorboard/train` and `tensorboard/validation`, a point an epoch.

They are written from the history and never read: a run that goes on writes those of the epochs that are done anew, so
that whatever ended it before, no epoch is missing and none stands there twice.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from edgecnn.atomic import make_folder, writing
from edgecnn.errors import WriteError
from edgecnn.training.config import TrainConfig
from edgecnn.training.history import EpochMetrics, History
from edgecnn.training.schedules import learning_rate

_FILE = "events.out.tfevents.edgecnn"  # TensorBoard reads what has "tfevents" in its name
_VERSION = "brain.Event:2"  # of the format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util


class EventLog:
    """Writes the curves of a run, each epoch as soon as it is kept.

    Loss and metrics are called `epoch_loss` and so on, as Keras calls them, in each of the two parts; the learning rate
    is `epoch_learning_rate` of the first. Epochs count from 1, as in history.csv.

    Args:
        folder: is made, and what is in it is removed.
        config: of the run.
        history: the epochs that are done.

    Raises:
        WriteError: it cannot be written.
    """

    def __init__(self, folder: Path, config: TrainConfig, history: History) -> None:
        self._folder = folder
        with self._failing():
            if folder.exists():
                shutil.rmtree(folder)
        self._writers: dict[str, tf.io.TFRecordWriter] = {}
        for done, metrics in enumerate(history):
            self.add(metrics, learning_rate(config, history[:done]))

    def add(self, metrics: EpochMetrics, rate: float) -> None:
        """Adds an epoch.

        Args:
            metrics: of the epoch.
            rate: the learning rate that it began with.

        Raises:
            WriteError: it cannot be written.
        """
        self._write("train", metrics.epoch, {"loss": metrics.loss, **metrics.metrics, "learning_rate": rate})
        if metrics.val_loss is not None:
            self._write("validation", metrics.epoch, {"loss": metrics.val_loss, **metrics.val_metrics})

    def close(self) -> None:
        """Ends the files."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, part: str, epoch: int, values: Mapping[str, float]) -> None:
        with self._failing():
            if part not in self._writers:
                make_folder(self._folder / part)
                writer = self._writers[part] = tf.io.TFRecordWriter(str(self._folder / part / _FILE))
                writer.write(_event(0, file_version=_VERSION))
                # what a TensorBoard that is looking on has read before is void
                writer.write(_event(0, session_log=tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)))
            shown = [
                tf.compat.v1.Summary.Value(tag=f"epoch_{name}", simple_value=value) for name, value in values.items()
            ]
            self._writers[part].write(_event(epoch, summary=tf.compat.v1.Summary(value=shown)))
            self._writers[part].flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        with writing(self._folder):
            try:
                yield
            except tf.errors.OpError as error:
                raise WriteError(f"cannot write {self._folder}: {error.message}") from error


def _event(step: int, **content: object) -> bytes:
    event: bytes = tf.compat.v1.Event(wall_time=time.time(), step=step, **content).SerializeToString()
    return event
