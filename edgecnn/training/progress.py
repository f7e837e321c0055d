"""What training tells while it runs; the command line draws it, a library user may."""

from collections.abc import Mapping
from typing import Literal, Protocol

from edgecnn.training.history import EpochMetrics

Stage = Literal["data", "cache", "model", "fit", "finish"]


class Progress(Protocol):
    """Receives news of a training run, in the thread that trains."""

    def on_stage(self, stage: Stage, /) -> None:
        """A stage begins."""
        ...

    def on_batch(self, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        """A step is done: images so far and in all.

        They are those of the data in the stage "cache", of the current epoch in "fit", and of the held-out part, which
        is answered for its pictures, in "finish". The metrics are means over the epoch so far; none but in "fit".
        """
        ...

    def on_epoch_begin(self, epoch: int, epochs: int, /) -> None:
        """An epoch begins, from 1 on, or where a run goes on from the first that is to be trained yet."""
        ...

    def on_epoch(self, metrics: EpochMetrics, epochs: int, /) -> None:
        """An epoch is done, and its checkpoint is on the disk."""
        ...


class Silent:
    """Tells nobody."""

    def on_stage(self, stage: Stage, /) -> None:
        """Does nothing."""

    def on_batch(self, done: int, total: int, metrics: Mapping[str, float], /) -> None:
        """Does nothing."""

    def on_epoch_begin(self, epoch: int, epochs: int, /) -> None:
        """Does nothing."""

    def on_epoch(self, metrics: EpochMetrics, epochs: int, /) -> None:
        """Does nothing."""
