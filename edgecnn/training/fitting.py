"""One epoch of training, the part that Keras does.

Everything random in an epoch follows from (seed, epoch), so that a run which was interrupted and resumed goes the same
way as one that was not.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgecnn.errors import TrainingError
from edgecnn.training.config import TrainConfig
from edgecnn.training.feeding import TrainingData, draw, training_batches, validation_batches
from edgecnn.training.history import EpochMetrics
from edgecnn.training.trainee import Trainee, averaged, is_averaged

OnBatch = Callable[[int, int, Mapping[str, float]], None]
Judge = Callable[[], Mapping[str, float]]


def run_epoch(
    trainee: Trainee,
    data: TrainingData,
    config: TrainConfig,
    epoch: int,
    *,
    outputs: Sequence[str],
    inputs: Sequence[str] = (),
    on_batch: OnBatch,
    judge: Judge | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> EpochMetrics:
    """Learns from every image once, or more often to balance, in an order of its own; then scores the held-out part.

    Args:
        trainee: compiled; the weights and the optimizer of its model change.
        data: what to learn from.
        config: batch size, seed, and what is done to the images.
        epoch: from 1.
        outputs: those of the manifest, by name.
        inputs: names of the arrays that the model takes beside the pixels.
        on_batch: called with (images done, images in all, means so far).
        judge: scores the model as it is by what the held-out part is watched by besides, the metric to watch first.
        callbacks: are told of the batches that are learned and scored.

    Returns:
        Loss and metrics of those outputs.

    Raises:
        TrainingError: the loss is no number any more.
    """
    model, random = trainee.model, np.random.default_rng([config.seed, epoch])
    draws = draw(data, config, random)
    _seed_dropout(model, random)

    batches = training_batches(
        data,
        draws,
        config.batch_size,
        targets=trainee.targets,
        random=random,
        inputs=inputs,
        sizes=trainee.sizes,
        window=trainee.window,
    )
    total = len(draws.positions)

    def tell(batch: int, logs: Mapping[str, float]) -> None:
        on_batch(min((batch + 1) * config.batch_size, total), total, trainee.shown(logs, outputs))

    told = keras.callbacks.LambdaCallback(on_train_batch_end=tell)
    ours = [told, _warm_up(model, config.warm_up), _keep_weights(model)]
    fitted = model.fit(batches, shuffle=False, verbose=0, callbacks=[*ours, *callbacks])
    logs = {name: float(values[-1]) for name, values in fitted.history.items()}
    learned, held_out = trainee.shown(logs, outputs), {}
    if data.held_out.size:
        validation = validation_batches(data, config.batch_size, targets=trainee.targets, inputs=inputs)
        with averaged(model):
            scores = model.evaluate(validation, verbose=0, return_dict=True, callbacks=list(callbacks))
        held_out = {name: float(value) for name, value in trainee.shown(scores, outputs).items()}
    if not all(np.isfinite(value) for value in (*logs.values(), *held_out.values())):
        raise TrainingError(
            f"training diverged in epoch {epoch}: expected a finite loss, received {logs['loss']}. Lower the learning "
            f"rate, which is {config.rate}."
        )
    judged: Mapping[str, float] = {}
    if judge is not None:
        with averaged(model):
            judged = judge()
    return EpochMetrics(epoch, learned.pop("loss"), learned, held_out.pop("loss", None), {**judged, **held_out})


def _warm_up(model: keras.Model, batches: int) -> keras.callbacks.Callback:
    """Lets the rate grow evenly from 0 to that of the epoch, over the first batches of the run."""
    optimizer, rate = model.optimizer, _number(model.optimizer.learning_rate)

    def begin(batch: int, logs: Any) -> None:
        del batch, logs
        if (step := _number(optimizer.iterations) + 1) <= batches:
            optimizer.learning_rate = rate * step / batches

    return keras.callbacks.LambdaCallback(on_train_batch_begin=begin)


def _number(variable: keras.Variable) -> float:
    """Returns a scalar; of a mirrored variable the one that all devices have."""
    return float(keras.ops.convert_to_numpy(variable))


def _keep_weights(model: keras.Model) -> keras.callbacks.Callback:
    """Keeps Keras from giving the model its averages when `fit` ends, for the next epoch goes on with the weights."""
    optimizer, averages = model.optimizer, is_averaged(model)

    def average(allowed: bool) -> None:
        optimizer.use_ema = allowed

    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_, **__: average(False), on_train_end=lambda *_, **__: average(averages)
    )


def _seed_dropout(model: keras.Model, random: np.random.Generator) -> None:
    for variable in model.non_trainable_variables:
        if variable.name == "seed_generator_state":
            variable.assign([int(random.integers(2**31)), 0])
