"""What an epoch shows the network: which images in which order, and how they are changed on the way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.data.augment_masks import random_crop
from edgecnn.data.balance import repeats
from edgecnn.tasks.table import TaskRow, load
from edgecnn.training.augmenting import Seeded
from edgecnn.training.config import TrainConfig
from edgecnn.training.trainee import Arrays, Size

# For the repeats of rare classes where the user names none: what leaves any class what it is, as a mirror does not.
_BALANCE_AUGMENTATION = ("shift", "contrast", "brightness")
_BATCHES_A_SIZE = 10  # as darknet does
_MOST_MEASURED = 1000  # images, for the axes of their colours

Targets = Callable[[Arrays, Size], Any]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPixels:
    """A part as the network takes it.

    Attributes:
        pixels: (N, height, width, channels) uint8, perhaps mapped from the disk.
        arrays: the truth by name, N rows each; boxes are in pixels of the input.
    """

    pixels: npt.NDArray[np.uint8]
    arrays: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What is learned from, and what is validated with.

    Attributes:
        train: the train part.
        classes: (N,) int64 of it: the class that each image is balanced by.
        learned: positions in it to learn from.
        held_out: positions to validate with; empty for none.
        augmentation: what changes images that are learned from; None for nothing.
        val: a part of its own that `held_out` counts in; None where it counts in the train part.
    """

    train: LabelledPixels
    classes: npt.NDArray[np.int64]
    learned: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    augmentation: Seeded | None = None
    val: LabelledPixels | None = None


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
    config: TrainConfig, row: TaskRow, pixels: npt.NDArray[np.uint8], learned: npt.NDArray[np.int64]
) -> Seeded | None:
    """Returns what changes the images while they are learned, made to measure for them; None for nothing.

    Args:
        config: names the augmentations.
        row: of the task, which says what else changes with the pixels.
        pixels: of the train part.
        learned: positions to learn from.
    """
    allowed = load(row.augmentations)
    names = config.augment or tuple(name for name in _BALANCE_AUGMENTATION if config.balance and name in allowed)
    if not names:
        return None
    measured = learned[np.unique(np.linspace(0, len(learned) - 1, _MOST_MEASURED).astype(np.int64))]
    augmentation: Seeded = load(row.augment)(names, pixels[measured])
    return augmentation


def draw(data: TrainingData, config: TrainConfig, random: np.random.Generator) -> Draws:
    """Shuffles the images to learn from; with `config.balance`, rare classes stand there repeatedly.

    `config.augment` changes all of them; where it names nothing, only the repeats are changed.
    """
    repeated = repeats(data.classes[data.learned], random) if config.balance else np.arange(0)
    positions = np.concatenate([data.learned, data.learned[repeated]])
    changed = (np.arange(len(positions)) >= len(data.learned)) | bool(config.augment)
    order = random.permutation(len(positions))
    return Draws(positions[order], changed[order])


def training_batches(
    data: TrainingData,
    draws: Draws,
    batch_size: int,
    *,
    targets: Targets,
    random: np.random.Generator,
    inputs: Sequence[str] = (),
    sizes: Sequence[tuple[int, int]] | None = None,
    window: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """Returns batches to learn from.

    Args:
        data: the images.
        draws: which of them, in which order.
        batch_size: images a batch; the last one may have fewer.
        targets: of a batch's arrays and the images' (height, width), what the network's outputs are to be; takes them
            as they are when the images are augmented.
        random: seeds the augmentation, once; what a batch becomes does not depend on when it is asked for.
        inputs: names of the arrays that the network takes beside the pixels.
        sizes: (height, width) to bring images and boxes to, another one every ten batches; None leaves them.
        window: (height, width) to cut out of images and masks, before anything else; None leaves them whole.

    Returns:
        Pairs of pixels, uint8 (N, height, width, channels), or of these and the arrays of `inputs`, and targets.
    """
    batches = _batches(data.train, draws, batch_size=batch_size)
    augment = None if data.augmentation is None else data.augmentation(random)
    resize = None if sizes is None else _resize(sizes, len(batches), random)
    seed = None if window is None else int(random.integers(2**31))

    def prepare(step: Any, batch: Any) -> Any:
        pixels, arrays, changed = batch
        if window is not None:
            place = tf.stack([tf.constant(seed, tf.int64), step])
            pixels, masks = random_crop(pixels, arrays["masks"], window, place)
            arrays = {**arrays, "masks": masks}
        if augment is not None:
            new_pixels, new_arrays = augment(pixels, arrays, step)
            pixels = _where(changed, new_pixels, pixels)
            arrays = {name: _where(changed, new_arrays[name], old) for name, old in arrays.items()}
        size: Size = tuple(pixels.shape[1:3])
        if resize is not None:
            pixels, arrays, size = resize(pixels, arrays, step)
        taken = (pixels, *(arrays[name] for name in inputs)) if inputs else pixels
        return taken, targets(arrays, size)

    return batches.enumerate().map(prepare).prefetch(tf.data.AUTOTUNE)


def validation_batches(
    data: TrainingData, batch_size: int, *, targets: Targets, inputs: Sequence[str] = ()
) -> tf.data.Dataset:
    """Returns batches of the images held out, as they are, in their order; as `training_batches` otherwise."""
    draws = Draws(data.held_out, np.zeros(len(data.held_out), np.bool_))
    plain = TrainingData(data.val or data.train, data.classes, data.held_out, data.held_out)
    return training_batches(plain, draws, batch_size, targets=targets, random=np.random.default_rng(0), inputs=inputs)


def _batches(part: LabelledPixels, draws: Draws, *, batch_size: int) -> tf.data.Dataset:
    def generate() -> Iterator[tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[Any]], npt.NDArray[np.bool_]]]:
        for start in range(0, len(draws.positions), batch_size):
            chosen = draws.positions[start : start + batch_size]
            arrays = {name: values[chosen] for name, values in part.arrays.items()}
            yield part.pixels[chosen], arrays, draws.changed[start : start + batch_size]

    signature = (
        tf.TensorSpec((None, *part.pixels.shape[1:]), tf.uint8),
        {name: tf.TensorSpec((None, *values.shape[1:]), values.dtype) for name, values in part.arrays.items()},
        tf.TensorSpec((None,), tf.bool),
    )
    count = tf.data.experimental.assert_cardinality(-(-len(draws.positions) // batch_size))
    return tf.data.Dataset.from_generator(generate, output_signature=signature).apply(count)


def _resize(
    sizes: Sequence[tuple[int, int]], batches: int, random: np.random.Generator
) -> Callable[[tf.Tensor, Arrays, tf.Tensor], tuple[tf.Tensor, Arrays, tf.Tensor]]:
    """Returns what brings a batch and the array "boxes" to the size that the step draws."""
    drawn = tf.constant(random.choice(np.array(sizes, np.int32), -(-batches // _BATCHES_A_SIZE)))

    def resize(pixels: tf.Tensor, arrays: Arrays, step: tf.Tensor) -> tuple[tf.Tensor, Arrays, tf.Tensor]:
        size, old = drawn[step // _BATCHES_A_SIZE], tf.shape(pixels)[1:3]
        new = tf.image.resize(pixels, size, antialias=True)
        factor = tf.cast(size / old, tf.float32)[::-1]
        new = tf.cast(tf.round(tf.clip_by_value(new, 0, 255)), tf.uint8)
        return new, {**arrays, "boxes": arrays["boxes"] * tf.tile(factor, [2])}, size

    return resize


def _where(changed: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Returns the new rows that are to change among the old ones; both have as many places then as one of them had."""
    if new is old:
        return old
    if len(old.shape) > 1 and new.shape[1] != old.shape[1]:
        places = tf.maximum(tf.shape(new)[1], tf.shape(old)[1])
        new, old = (_widened(rows, places) for rows in (new, old))
    return tf.where(tf.reshape(changed, (-1,) + (1,) * (len(old.shape) - 1)), new, old)


def _widened(rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Returns rows with so many places along their second axis, the new ones 0."""
    return tf.pad(rows, [[0, 0], [0, places - tf.shape(rows)[1]], *[[0, 0]] * (len(rows.shape) - 2)])
