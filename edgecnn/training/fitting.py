"""One epoch of training, the part that Keras does.

Everything random in an epoch follows from (seed, epoch), so that a run which was interrupted and resumed goes the same
way as one that was not.
"""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from edgecnn.errors import TrainingError
from edgecnn.training.config import TrainConfig
from edgecnn.training.feeding import TrainingData, draw, training_batches, validation_batches
from edgecnn.training.history import EpochMetrics

OnBatch = Callable[[int, int, Mapping[str, float]], None]


def run_epoch(
    model: keras.Model, data: TrainingData, config: TrainConfig, epoch: int, *, on_batch: OnBatch
) -> EpochMetrics:
    """Learns from every image once, or more often to balance, in an order of its own; then scores the held-out part.

    Args:
        model: compiled; its weights and optimizer change.
        data: what to learn from.
        config: batch size, seed, and what is done to the images.
        epoch: from 1.
        on_batch: called with (batches done, batches in all, means so far).

    Returns:
        Loss and accuracy of the first output, the one for inference.

    Raises:
        TrainingError: the loss is no number any more.
    """
    random = np.random.default_rng([config.seed, epoch])
    draws = draw(data, config, random)
    _seed_dropout(model, random)
    batches = training_batches(data, draws, config.batch_size, outputs=len(model.outputs), random=random)
    total = len(batches)

    def tell(batch: int, logs: Mapping[str, float]) -> None:
        on_batch(batch + 1, total, _of_first_output(model, logs))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=tell)
    fitted = model.fit(batches, shuffle=False, verbose=0, callbacks=[callback])
    logs = {name: float(values[-1]) for name, values in fitted.history.items()}
    metrics = _of_first_output(model, logs)
    if data.held_out.size:
        held_out = validation_batches(data, config.batch_size, outputs=len(model.outputs))
        scores = model.evaluate(held_out, verbose=0, return_dict=True)
        metrics |= {f"val_{name}": float(value) for name, value in _of_first_output(model, scores).items()}
    if not all(np.isfinite(value) for value in (*logs.values(), *metrics.values())):
        raise TrainingError(
            f"training diverged in epoch {epoch}: expected a finite loss, received {logs['loss']}. Lower the learning "
            f"rate, which is {config.rate}."
        )
    return EpochMetrics(epoch, **metrics)


def _of_first_output(model: keras.Model, logs: Mapping[str, float]) -> dict[str, float]:
    """Keras names them after the output where there are several, and adds all losses up in "loss"."""
    prefix = f"{model.output_names[0]}_" if len(model.outputs) > 1 else ""
    return {name: logs[f"{prefix}{name}"] for name in ("loss", "accuracy")}


def _seed_dropout(model: keras.Model, random: np.random.Generator) -> None:
    for variable in model.non_trainable_variables:
        if variable.name == "seed_generator_state":
            variable.assign([int(random.integers(2**31)), 0])
