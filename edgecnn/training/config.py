"""What a training run is asked to do."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from edgecnn.augmentations import AUGMENTATION_NAMES, AUGMENTATIONS_TOLD
from edgecnn.errors import UsageError

Optimizer = Literal["sgd", "rmsprop", "adam"]
Schedule = Literal["constant", "exponential", "cosine", "plateau"]
Strategy = Literal["none", "mirrored"]

# Keras' own defaults; sgd runs with momentum 0.9
DEFAULT_LEARNING_RATES: Mapping[Optimizer, float] = MappingProxyType({"sgd": 0.01, "rmsprop": 0.001, "adam": 0.001})
DEFAULT_VALIDATION = 0.1
MAX_SEED = 2**32 - 1
TASK_OPTIONS = ("class_weight", "multi_scale", "window")  # which some tasks have; their rows say which


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The options of one training run; two runs of one config over the same data end with the same weights.

    Attributes:
        model: a catalogue name.
        data: what `load_dataset` takes.
        epochs: how often the train part is seen, at least 1.
        batch_size: images a step, at least 1.
        optimizer: "sgd" (momentum 0.9), "rmsprop" or "adam".
        learning_rate: above 0; None takes the optimizer's default, and a tenth of it with `unfreeze_from`.
        schedule: how the rate goes on from there; see `edgecnn.training.schedules`. "plateau" needs a part to validate
            with.
        warm_up: over so many batches at the beginning the rate grows evenly from 0 to the schedule's, 0 or more.
        ema: the decay of a moving average of the weights, a step, in (0, 1): the average is what is validated and
            saved, and the weights themselves are what goes on learning. None for no average.
        augment: names of `edgecnn.augmentations` that the model's task takes, in the order in which they are applied,
            each once.
        balance: show rare classes as often as the largest, by repeating their images. `augment` changes all images;
            where it names nothing the repeats are shifted, and changed in contrast and brightness.
        weights: "none" for seeded ones, "imagenet", or a .weights.h5, .keras, or Darknet's .weights or .conv.N file; a
            head of other classes is left.
        freeze: "backbone" keeps all layers before the head from training; needs `weights`. Or None.
        unfreeze_from: the first layer that trains, counted in the backbone; needs `weights`. None trains all.
        strategy: "mirrored" trains on every GPU, or on the CPU where there is none.
        num_classes: must be the data's; None takes the data's.
        image_size: (height, width) in pixels; None takes the catalogue's.
        width: multiplier on filters and units, above 0.
        validation: the part of the train part that is held out and scored after each epoch, in (0, 1); 0 holds nothing
            out of it. None takes a tenth where the data have no val part of their own, which is validated with
            otherwise; where the images are too few for that, nothing. A run that goes on does as it did before.
        early_stopping: ends training when the validation loss has not improved for so many epochs, at least 1; needs a
            part to validate with. None for never.
        class_weight: of a localizer, the weight of its class's loss, 0 to 1; the rest is the box's. None takes 0.8.
        multi_scale: of a detector, the least and the largest longer side of its input in pixels while it learns: every
            ten batches another one is drawn, of those that its coarsest grid divides. None keeps the input's size.
        window: of a segmenter, (height, width) in pixels of a part of each image, at a place of its own each time, that
            is learned from; what is held out is scored whole. None learns from whole images.
        seed: of weights, order, dropout and the held-out part, 0 to 2**32 - 1.

    Raises:
        UsageError: an option is out of its range, or one is missing that another needs.
    """

    model: str
    data: str
    epochs: int = 10
    batch_size: int = 64
    optimizer: Optimizer = "adam"
    learning_rate: float | None = None
    schedule: Schedule = "constant"
    warm_up: int = 0
    ema: float | None = None
    augment: tuple[str, ...] = ()
    balance: bool = False
    weights: str = "none"
    freeze: Literal["backbone"] | None = None
    unfreeze_from: int | None = None
    strategy: Strategy = "none"
    num_classes: int | None = None
    image_size: tuple[int, int] | None = None
    width: float = 1.0
    validation: float | None = None
    early_stopping: int | None = None
    class_weight: float | None = None
    multi_scale: tuple[int, int] | None = None
    window: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _check(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        _check(self.optimizer in get_args(Optimizer), "optimizer", f"one of {get_args(Optimizer)}", self.optimizer)
        _check(0 < self.rate < float("inf"), "learning_rate", "a number above 0", self.learning_rate)
        _check(0 < self.width < float("inf"), "width", "a number above 0", self.width)
        _check(
            self.validation is None or 0 <= self.validation < 1, "validation", "0, or between 0 and 1", self.validation
        )
        _check(0 <= self.seed <= MAX_SEED, "seed", f"0 to {MAX_SEED}", self.seed)
        _check(self.schedule in get_args(Schedule), "schedule", f"one of {get_args(Schedule)}", self.schedule)
        _check(self.warm_up >= 0, "warm_up", "0 batches or more", self.warm_up)
        _check(self.ema is None or 0 < self.ema < 1, "ema", "between 0 and 1", self.ema)
        _check_names(self.augment)
        _check(self.strategy in get_args(Strategy), "strategy", f"one of {get_args(Strategy)}", self.strategy)
        _check(self.num_classes is None or self.num_classes >= 1, "classes", "at least 1", self.num_classes)
        _check(self.class_weight is None or 0 <= self.class_weight <= 1, "class_weight", "0 to 1", self.class_weight)
        sides = self.multi_scale
        _check(sides is None or 0 < sides[0] <= sides[1], "multi_scale", "two sides, the smaller one first", sides)
        _check(self.window is None or min(self.window) >= 1, "window", "a height and a width of 1 or more", self.window)
        self._check_transfer()
        if self.early_stopping is not None:
            _check(self.early_stopping >= 1, "early_stopping", "at least 1", self.early_stopping)

    def _check_transfer(self) -> None:
        _check(self.freeze in (None, "backbone"), "freeze", "backbone", self.freeze)
        _check(self.unfreeze_from is None or self.unfreeze_from >= 0, "unfreeze_from", "0 or more", self.unfreeze_from)
        if self.freeze is not None and self.unfreeze_from is not None:
            raise UsageError("expected --freeze or --unfreeze-from, received both: what it does not reach stays frozen")
        if self.transfers and self.weights == "none":
            option = "freeze" if self.unfreeze_from is None else "unfreeze_from"
            raise UsageError(f"{option}: expected weights to keep, received none. Give --weights imagenet or a file")

    def check_task(self, known: Collection[str], options: Collection[str], *, task: str) -> None:
        """Checks the augmentations and the options that some tasks have against those of one task.

        Args:
            known: the names of its augmentations.
            options: of `TASK_OPTIONS`, those that it has.
            task: names it in the message.

        Raises:
            UsageError: one is for another task.
        """
        idle = [name for name in TASK_OPTIONS if name not in options and getattr(self, name) is not None]
        if idle:
            raise UsageError(f"{idle[0]}: it cannot take effect on a model for {task}. Leave it out")
        unknown = [name for name in self.augment if name not in known]
        if unknown:
            raise UsageError(
                f"augment: expected names of {', '.join(known)}, which {task} takes, received {unknown[0]!r}"
            )

    def check_validation(self, val_images: int) -> None:
        """Checks the options that need a validation part, once the data are known.

        Args:
            val_images: of the data's own val part; 0 where there is none.

        Raises:
            UsageError: there is no such part to watch, or one is asked for beside the data's own.
        """
        if val_images and self.validation:
            raise UsageError(
                f"validation {self.validation}: expected no fraction to hold out, because the data have a val part of "
                f"{val_images} images, which is used. Leave --validation out"
            )
        if self.watcher is not None and not val_images and self.validation == 0:
            raise UsageError(
                f"{self.watcher}: expected a validation part to watch, received none, since nothing is held out. Give "
                "--validation, for example 0.1"
            )

    @property
    def watcher(self) -> str | None:
        """The option that needs a part to validate with, for people; None where none does."""
        if self.early_stopping is not None:
            return "early_stopping"
        return "schedule plateau" if self.schedule == "plateau" else None

    @property
    def rate(self) -> float:
        """The learning rate in effect, before the schedule."""
        if self.learning_rate is not None:
            return self.learning_rate
        default = DEFAULT_LEARNING_RATES.get(self.optimizer, 0.001)
        return default if self.unfreeze_from is None else default / 10

    @property
    def transfers(self) -> bool:
        """Whether a backbone is kept, all of it or its first layers."""
        return self.freeze is not None or self.unfreeze_from is not None


def _check(holds: bool, option: str, expected: str, received: object) -> None:
    if not holds:
        raise UsageError(f"{option}: expected {expected}, received {received}")


def _check_names(augment: tuple[str, ...]) -> None:
    for name in augment:
        _check(name in AUGMENTATION_NAMES, "augment", f"names of {AUGMENTATIONS_TOLD}", repr(name))
    _check(len(set(augment)) == len(augment), "augment", "each name once", ",".join(augment))
