"""What an epoch shows the network: which images in which order, and how they are changed on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.data.augment import Augmentation, color_axes
from edgecnn.data.balance import repeats
from edgecnn.training.config import TrainConfig

# For the repeats of rare classes where the user names none: what leaves any class what it is, as a mirror does not.
_BALANCE_AUGMENTATION = ("shift", "contrast", "brightness")
_MOST_MEASURED = 1000  # images, for the axes of their colours


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The train part as the network takes it.

    Attributes:
        pixels: (N, height, width, channels) uint8, perhaps mapped from the disk.
        class_ids: (N,) int64.
        learned: positions to learn from.
        held_out: positions to validate with; empty for none.
        augmentation: what changes images that are learned from; None for nothing.
        val: pixels and class ids of a part of its own that `held_out` counts in; None where it counts in this one.
    """

    pixels: npt.NDArray[np.uint8]
    class_ids: npt.NDArray[np.int64]
    learned: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    augmentation: Augmentation | None = None
    val: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Images in the order in which they are shown.

    Attributes:
        positions: (M,) int64, in the train part.
        changed: (M,) bool, which of them are augmented.
    """

    positions: npt.NDArray[np.int64]
    changed: npt.NDArray[np.bool_]


def new_augmentation(
    config: TrainConfig, pixels: npt.NDArray[np.uint8], learned: npt.NDArray[np.int64]
) -> Augmentation | None:
    """Returns what changes the images while they are learned, made to measure for them; None for nothing."""
    names = config.augment or (_BALANCE_AUGMENTATION if config.balance else ())
    if not names:
        return None
    measured = learned[np.unique(np.linspace(0, len(learned) - 1, _MOST_MEASURED).astype(np.int64))]
    return Augmentation(names, color_axes(pixels[measured]))


def draw(data: TrainingData, config: TrainConfig, random: np.random.Generator) -> Draws:
    """Shuffles the images to learn from; with `config.balance`, rare classes stand there repeatedly.

    `config.augment` changes all of them; where it names nothing, only the repeats are changed.
    """
    repeated = repeats(data.class_ids[data.learned], random) if config.balance else np.arange(0)
    positions = np.concatenate([data.learned, data.learned[repeated]])
    changed = (np.arange(len(positions)) >= len(data.learned)) | bool(config.augment)
    order = random.permutation(len(positions))
    return Draws(positions[order], changed[order])


def training_batches(
    data: TrainingData, draws: Draws, batch_size: int, *, outputs: int, random: np.random.Generator
) -> tf.data.Dataset:
    """Returns batches to learn from.

    Args:
        data: the images.
        draws: which of them, in which order.
        batch_size: images a batch; the last one may have fewer.
        outputs: of the model, each of which is given the class ids.
        random: seeds the augmentation, once; what a batch becomes does not depend on when it is asked for.

    Returns:
        Pairs of pixels, uint8 (N, height, width, channels), and class ids, int64 (N,), or a tuple of them.
    """
    batches = _batches(data, draws.positions, draws.changed, batch_size=batch_size)
    augment = None if data.augmentation is None else data.augmentation.seeded(random)

    def prepare(step: Any, batch: Any) -> Any:
        pixels, class_ids, changed = batch
        if augment is not None:
            pixels = tf.where(changed[:, tf.newaxis, tf.newaxis, tf.newaxis], augment(pixels, step), pixels)
        return pixels, class_ids if outputs == 1 else (class_ids,) * outputs

    return batches.enumerate().map(prepare).prefetch(tf.data.AUTOTUNE)


def validation_batches(data: TrainingData, batch_size: int, *, outputs: int) -> tf.data.Dataset:
    """Returns batches of the images held out, as they are, in their order; as `training_batches` otherwise."""
    pixels, class_ids = data.val or (data.pixels, data.class_ids)
    plain = TrainingData(pixels, class_ids, data.held_out, data.held_out)
    draws = Draws(data.held_out, np.zeros(len(data.held_out), np.bool_))
    return training_batches(plain, draws, batch_size, outputs=outputs, random=np.random.default_rng(0))


def _batches(
    data: TrainingData, positions: npt.NDArray[np.int64], changed: npt.NDArray[np.bool_], *, batch_size: int
) -> tf.data.Dataset:
    def generate() -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
        for start in range(0, len(positions), batch_size):
            chosen = positions[start : start + batch_size]
            yield data.pixels[chosen], data.class_ids[chosen], changed[start : start + batch_size]

    signature = (
        tf.TensorSpec((None, *data.pixels.shape[1:]), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None,), tf.bool),
    )
    count = tf.data.experimental.assert_cardinality(-(-len(positions) // batch_size))
    return tf.data.Dataset.from_generator(generate, output_signature=signature).apply(count)
