"""What is trained, with what each of its outputs learns: all by the outputs' names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import keras
import tensorflow as tf

Arrays = Mapping[str, tf.Tensor]
Size = Any  # height and width: a tuple, or a tensor (2,) of int32
Encode = Callable[[Arrays, Size], Mapping[str, Any]]


def is_averaged(model: keras.Model) -> bool:
    """Says whether the optimizer of a compiled model keeps a moving average of the weights."""
    return bool(model.optimizer.use_ema)


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Gives a compiled model the moving averages of its weights meanwhile, where its optimizer keeps such."""
    if not is_averaged(model):
        yield
        return
    own = [variable.numpy() for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


@dataclass(frozen=True, slots=True, eq=False)
class Trainee:
    """A model with a loss for each of its outputs.

    Attributes:
        model: has the manifest's outputs, and perhaps others that only training has, on layers that they share.
        losses: one an output.
        loss_weights: likewise.
        metrics: of some outputs; those of the manifest's outputs are shown and kept in the history. No two have the
            same name in one output, nor in two unless they are `summed`.
        encode: what each output is to be, of the truth's arrays by name and the input's (height, width) in pixels; runs
            in a tf.data pipeline, behind the augmentation.
        watched: the name of the metric that is shown beside the loss, of one of the manifest's outputs.
        sizes: (height, width) in pixels that the input is brought to in turn while it learns, one every few batches;
            None for the manifest's alone. The model takes them all.
        window: (height, width) in pixels that is cut out of each image, at a place of its own, while it learns; None
            for whole images. The model takes both.
        summed: whether metrics of one name, of several outputs, are shares of one number, which is their sum.
        shown_outputs: names of the outputs whose losses and metrics are shown; None for the manifest's. A model whose
            answers are not what it learns by has others.

    Raises:
        ValueError: the names do not fit the model's outputs, or each other.
    """

    model: keras.Model
    losses: Mapping[str, Any]
    loss_weights: Mapping[str, float]
    metrics: Mapping[str, Sequence[keras.metrics.Metric]]
    encode: Encode
    watched: str
    sizes: Sequence[tuple[int, int]] | None = None
    window: tuple[int, int] | None = None
    summed: bool = False
    shown_outputs: Sequence[str] | None = None

    def __post_init__(self) -> None:
        outputs, shown = set(self.model.output_names), self._names()
        if set(self.losses) != outputs or set(self.loss_weights) != outputs or not set(self.metrics) <= outputs:
            raise ValueError(
                f"trainee: expected a loss and a weight for each of the outputs {sorted(outputs)}, and metrics of "
                f"these, received {sorted(self.losses)}, {sorted(self.loss_weights)} and {sorted(self.metrics)}"
            )
        if len(set(shown)) < len(shown) or self.watched not in shown:
            raise ValueError(f"trainee: expected metrics of different names, one of them {self.watched!r}: {shown}")

    def compile(self, optimizer: Any) -> None:
        """Gives the model its optimizer, losses and metrics."""
        names = self.model.output_names
        if len(names) == 1:  # Keras knows no names then, and a weight would only scale the rate
            self.model.compile(
                optimizer=optimizer, loss=self.losses[names[0]], metrics=list(self.metrics.get(names[0], ()))
            )
            return
        self.model.compile(
            optimizer=optimizer,
            loss=dict(self.losses),
            loss_weights=dict(self.loss_weights),
            metrics={name: list(metrics) for name, metrics in self.metrics.items()},
        )

    def targets(self, arrays: Arrays, image_size: Size) -> Any:
        """Returns what the outputs are to be, as Keras takes it: by name, but of a lone output the tensor itself."""
        encoded = self.encode(arrays, image_size)
        names = self.model.output_names
        return encoded[names[0]] if len(names) == 1 else {name: encoded[name] for name in names}

    def shown(self, logs: Mapping[str, float], outputs: Sequence[str]) -> dict[str, float]:
        """Returns "loss" and the metrics of some outputs, the watched one first.

        Args:
            logs: as Keras gives them: metrics are called after their output where there are several, and "loss" adds up
                the losses of all.
            outputs: those of the manifest. The loss is theirs alone, each by its weight, unless others are shown.
        """
        outputs = self.shown_outputs or outputs
        several = len(self.model.output_names) > 1
        values: dict[str, float] = {}
        for output in outputs:
            for metric in self.metrics.get(output, ()):
                share = logs[f"{output}_{metric.name}" if several else metric.name]
                values[metric.name] = values.get(metric.name, 0.0) + share
        loss = logs["loss"]
        if set(outputs) != set(self.model.output_names):
            loss = sum(self.loss_weights[output] * logs[f"{output}_loss"] for output in outputs)
        return {"loss": loss, self.watched: values.pop(self.watched), **values}

    def _names(self) -> list[str]:
        """Returns the metrics' names: once where several outputs may have one, as often as they occur otherwise."""
        names = [[metric.name for metric in of_output] for of_output in self.metrics.values()]
        if self.summed and all(len(set(of_output)) == len(of_output) for of_output in names):
            return list(dict.fromkeys(chain.from_iterable(names)))
        return list(chain.from_iterable(names))
