"""What a training run is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from edgecnn.errors import UsageError

Optimizer = Literal["sgd", "rmsprop", "adam"]

# Keras' own defaults; sgd runs with momentum 0.9
DEFAULT_LEARNING_RATES: Mapping[Optimizer, float] = MappingProxyType({"sgd": 0.01, "rmsprop": 0.001, "adam": 0.001})
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The options of one training run; two runs of one config over the same data end with the same weights.

    Attributes:
        model: a catalogue name.
        data: what `load_dataset` takes.
        epochs: how often the train part is seen, at least 1.
        batch_size: images a step, at least 1.
        optimizer: "sgd" (momentum 0.9), "rmsprop" or "adam".
        learning_rate: above 0; None takes the optimizer's default.
        image_size: (height, width) in pixels; None takes the catalogue's.
        width: multiplier on filters and units, above 0.
        validation: the part of the train part that is held out and scored after each epoch, in (0, 1); None for none.
        early_stopping: ends training when the validation loss has not improved for so many epochs, at least 1; needs
            `validation`. The last weights are kept, not the best. None for never.
        seed: of weights, order, dropout and the held-out part, 0 to 2**32 - 1.

    Raises:
        UsageError: an option is out of its range, or early stopping is asked for without validation.
    """

    model: str
    data: str
    epochs: int = 10
    batch_size: int = 64
    optimizer: Optimizer = "adam"
    learning_rate: float | None = None
    image_size: tuple[int, int] | None = None
    width: float = 1.0
    validation: float | None = None
    early_stopping: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _check(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        _check(self.optimizer in get_args(Optimizer), "optimizer", f"one of {get_args(Optimizer)}", self.optimizer)
        _check(0 < self.rate < float("inf"), "learning_rate", "a number above 0", self.learning_rate)
        _check(0 < self.width < float("inf"), "width", "a number above 0", self.width)
        _check(self.validation is None or 0 < self.validation < 1, "validation", "between 0 and 1", self.validation)
        _check(0 <= self.seed <= MAX_SEED, "seed", f"0 to {MAX_SEED}", self.seed)
        if self.early_stopping is not None:
            _check(self.early_stopping >= 1, "early_stopping", "at least 1", self.early_stopping)
            if self.validation is None:
                raise UsageError(
                    "early_stopping: expected a validation part to watch, received none. Give --validation too, "
                    "for example 0.1"
                )

    @property
    def rate(self) -> float:
        """The learning rate in effect."""
        if self.learning_rate is not None:
            return self.learning_rate
        return DEFAULT_LEARNING_RATES.get(self.optimizer, 0.001)


def _check(holds: bool, option: str, expected: str, received: object) -> None:
    if not holds:
        raise UsageError(f"{option}: expected {expected}, received {received}")
