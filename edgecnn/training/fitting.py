"""The part of training that Keras does: compiling, and one epoch at a time.

Everything random in an epoch follows from (seed, epoch), so that a run which was interrupted and resumed goes the same
way as one that was not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.errors import KerasFileError, RunFolderError, TrainingError
from edgecnn.models.build import build_model
from edgecnn.models.loading import load_keras
from edgecnn.training.config import TrainConfig
from edgecnn.training.history import EpochMetrics

OnBatch = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The train part as the network takes it.

    Attributes:
        pixels: (N, height, width, channels) uint8, perhaps mapped from the disk.
        class_ids: (N,) int64.
        learned: positions to learn from.
        held_out: positions to validate with; empty for none.
    """

    pixels: npt.NDArray[np.uint8]
    class_ids: npt.NDArray[np.int64]
    learned: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]


def new_model(config: TrainConfig, num_classes: int) -> keras.Model:
    """Builds a classifier with seeded weights, an optimizer, the loss and a metric."""
    model = build_model(
        config.model,
        image_size=config.image_size,
        num_classes=num_classes,
        width=config.width,
        seed=config.seed,
    )
    optimizers: Mapping[str, Callable[[float], Any]] = {
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "rmsprop": keras.optimizers.RMSprop,
        "adam": keras.optimizers.Adam,
    }
    model.compile(
        optimizer=optimizers[config.optimizer](config.rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def saved_model(path: Path) -> keras.Model:
    """Loads a checkpoint, with its optimizer's state.

    Raises:
        RunFolderError: damaged.
    """
    try:
        model = load_keras(path, compiled=True)
    except KerasFileError as error:
        raise RunFolderError(f"the checkpoint is damaged: {error} Train again with --overwrite") from error
    if not model.compiled:
        raise RunFolderError(f"{path}: expected a model with its optimizer. Train again with --overwrite")
    return model


def run_epoch(
    model: keras.Model, data: TrainingData, config: TrainConfig, epoch: int, *, on_batch: OnBatch
) -> EpochMetrics:
    """Learns from every image once, in an order of its own, then scores the held-out part.

    Args:
        model: compiled; its weights and optimizer change.
        data: what to learn from.
        config: batch size and seed.
        epoch: from 1.
        on_batch: called with (batches done, batches in all, means so far).

    Raises:
        TrainingError: the loss is no number any more.
    """
    random = np.random.default_rng([config.seed, epoch])
    order = random.permutation(data.learned)
    _seed_dropout(model, random)
    batches = _batches(data, order, config.batch_size)
    total = -(-len(order) // config.batch_size)

    def tell(batch: int, logs: Mapping[str, float]) -> None:
        on_batch(batch + 1, total, logs)

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=tell)
    fitted = model.fit(batches, shuffle=False, verbose=0, callbacks=[callback])
    logs = {name: values[-1] for name, values in fitted.history.items()}
    if data.held_out.size:
        scores = model.evaluate(_batches(data, data.held_out, config.batch_size), verbose=0, return_dict=True)
        logs |= {f"val_{name}": value for name, value in scores.items()}
    if not all(np.isfinite(value) for value in logs.values()):
        raise TrainingError(
            f"training diverged in epoch {epoch}: expected a finite loss, received {logs['loss']}. Lower the learning "
            f"rate, which is {config.rate}."
        )
    return EpochMetrics(epoch, **{name: float(value) for name, value in logs.items()})


def _batches(data: TrainingData, order: npt.NDArray[np.int64], batch_size: int) -> tf.data.Dataset:
    def generate() -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield data.pixels[chosen], data.class_ids[chosen]

    signature = (
        tf.TensorSpec((None, *data.pixels.shape[1:]), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
    )
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    count = tf.data.experimental.assert_cardinality(-(-len(order) // batch_size))
    return batches.apply(count).prefetch(tf.data.AUTOTUNE)


def _seed_dropout(model: keras.Model, random: np.random.Generator) -> None:
    for variable in model.non_trainable_variables:
        if variable.name == "seed_generator_state":
            variable.assign([int(random.integers(2**31)), 0])
