"""Which images of the train part are held out: scored after each epoch, and never learned from."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecnn.data.samples import Samples
from edgecnn.data.split import stratified_split
from edgecnn.data.targets import NO_CLASS
from edgecnn.errors import UsageError
from edgecnn.training.config import DEFAULT_VALIDATION, TrainConfig

_FEWEST = 10  # training images that the default takes a tenth of

logger = logging.getLogger(__name__)  # cli/__init__.py shows its INFO too


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The train part in two.

    Attributes:
        fraction: that took effect; 0 where nothing is held out of the train part.
        learned: (N,) positions to learn from.
        held_out: (M,) positions to validate with; empty where the fraction is 0.
    """

    fraction: float
    learned: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]


def hold_out(samples: Samples, good: npt.NDArray[np.int64], config: TrainConfig, *, has_val: bool) -> HeldOut:
    """Divides the images that can be decoded: each class by the fraction that was asked for, or by the default.

    The default yields, with a warning, where the images are too few for it.

    Args:
        samples: the train part.
        good: positions in it.
        config: the fraction, the seed, and what needs a part to watch.
        has_val: whether the data have a val part of their own, beside which the default holds nothing out.

    Raises:
        UsageError: the fraction was asked for, or a part to watch is needed, and a class has too few images.
    """
    asked = config.validation
    fraction = DEFAULT_VALIDATION if asked is None and not has_val else (asked or 0.0)
    classes = samples.targets.classes()[good]
    misfit = _misfit(samples, classes, fewest=_FEWEST if asked is None else 0) if fraction else None
    if misfit is None and fraction:
        learned, held_out = stratified_split(classes, fraction, seed=config.seed)
        return HeldOut(fraction, good[learned], good[held_out])
    if misfit is not None and asked is not None:
        raise UsageError(f"validation {asked}: expected {misfit}. Leave --validation out, or add images")
    if misfit is not None and config.watcher is not None:
        raise UsageError(
            f"{config.watcher}: expected a validation part to watch, received none, since a tenth cannot be held out: "
            f"expected {misfit}. Add images, or data with a val part"
        )
    if misfit is not None:
        logger.warning(
            "nothing is held out, so that no epoch can be told to be the best: expected %s. Add images, or a val part "
            "to the data, or give --validation 0 if that is meant",
            misfit,
        )
    return HeldOut(0.0, good, np.arange(0))


def announce_held_out(name: str, found: HeldOut) -> None:
    """Says how much of the train part is held out; the command line always shows it.

    Args:
        name: of the data.
        found: nothing is said where it holds nothing out.
    """
    if found.held_out.size:
        logger.info(
            "validating with %g of each class of the train part of %s, by seed: %d images, and learning from %d",
            *(found.fraction, name, len(found.held_out), len(found.learned)),
        )


def _misfit(samples: Samples, classes: npt.NDArray[np.int64], *, fewest: int) -> str | None:
    """Returns what was expected and received where images cannot be divided; None where they can."""
    found, counts = np.unique(classes, return_counts=True)
    if counts.min() < 2:
        lonely = int(found[counts.argmin()])
        name = "no class" if lonely == NO_CLASS else repr(samples.labels[lonely])
        return f"at least 2 training images of each class, received {counts.min()} of {name}"
    return f"at least {fewest} training images, received {len(classes)}" if len(classes) < fewest else None
