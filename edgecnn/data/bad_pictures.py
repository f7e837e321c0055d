"""Pictures that cannot be decoded: found all at once, said in one error, or left out and listed in a file."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecnn.csv_text import from_csv, to_csv
from edgecnn.data.samples import Samples
from edgecnn.errors import DatasetError
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.preprocessing import Placement, Preprocessor

_SHOWN = 3  # in the error; the log has them all
_LISTED = 1000
_COLUMNS = ("part", "number", "class", "picture", "reason")
_LOGGER = logging.getLogger(__name__)
Preprocessed = tuple[npt.NDArray[np.uint8], Placement]


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A picture that cannot be decoded.

    Attributes:
        part: of the data that it stands in.
        index: its position there.
        label: of its class; with commas where it shows several, empty where it shows none.
        name: its path, or its position in words.
        reason: why it cannot be decoded, without its name.
    """

    part: str
    index: int
    label: str
    name: str
    reason: str


def preprocess_or_not(samples: Samples, index: int, preprocessor: Preprocessor) -> Preprocessed | BadPicture:
    """Returns one sample's pixels, (1, height, width, channels) uint8, and placement; or what is wrong with it."""
    try:
        return preprocessor(samples.sources[index])
    except ImageError as error:
        name = samples.describe(index)
        label = ", ".join(samples.labels[class_id] for class_id in _classes_of(samples, index))
        return BadPicture(samples.part, index, label, name, str(error).removeprefix(f"{name}: "))


def find_bad_pictures(samples: Samples, preprocessor: Preprocessor) -> tuple[BadPicture, ...]:
    """Returns those that cannot be decoded, of samples that are read more often than once."""
    if isinstance(samples.sources, np.ndarray):
        return ()  # they are decoded, and were checked when they were read
    results = (preprocess_or_not(samples, index, preprocessor) for index in range(len(samples)))
    return tuple(result for result in results if isinstance(result, BadPicture))


def refuse_bad_pictures(bad: Sequence[BadPicture], *, of: int) -> None:
    """Raises one error about all of them; does nothing where there are none.

    Args:
        bad: in their order.
        of: how many pictures were looked at.

    Raises:
        DatasetError: there are some. The first ones are named with their reasons; the log names each, one a line.
    """
    if not bad:
        return
    if len(bad) == 1:
        raise DatasetError(f"{bad[0].name}: {bad[0].reason} (1 bad picture of {of}; go on without it with --skip-bad)")
    for picture in bad[:_LISTED]:
        _LOGGER.warning("%s: %s", picture.name, picture.reason)
    shown = "; ".join(f"{picture.name}: {picture.reason}" for picture in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    raise DatasetError(
        f"{len(bad)} of {of} pictures cannot be decoded, each named above: {shown}{more}. Mend or remove them, or go "
        "on without them with --skip-bad."
    )


def good_positions(samples: Samples, bad: Sequence[BadPicture]) -> npt.NDArray[np.int64]:
    """Returns the positions that are left, sorted.

    Raises:
        DatasetError: a class that had pictures has none any more.
    """
    good = np.setdiff1d(np.arange(len(samples)), [picture.index for picture in bad])
    counts = samples.targets.counts(len(samples.labels))
    lost = np.flatnonzero((counts > 0) & (samples.targets.subset(good).counts(len(samples.labels)) == 0))
    if lost.size:
        label = samples.labels[int(lost[0])]
        first = next(picture for picture in bad if lost[0] in _classes_of(samples, picture.index))
        raise DatasetError(
            f"class {label!r}: expected a picture in the {samples.part} part that can be decoded, received none. The "
            f"first one is {first.name}: {first.reason}"
        )
    return good


def _classes_of(samples: Samples, index: int) -> list[int]:
    counts = samples.targets.subset(np.array([index])).counts(len(samples.labels))
    return np.flatnonzero(counts).tolist()


def bad_pictures_csv(bad: Sequence[BadPicture]) -> str:
    """Returns a table of them, with a header."""
    return to_csv([_COLUMNS, *((one.part, one.index, one.label, one.name, one.reason) for one in bad)])


def bad_pictures_from_csv(path: Path) -> tuple[BadPicture, ...] | None:
    """Reads what `bad_pictures_csv` wrote; None where the file is missing or another one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:  # a CR in a name stays one
            header, *rows = from_csv(file.read())
        return tuple(BadPicture(part, int(index), *others) for part, index, *others in rows) if header else None
    except (OSError, ValueError, TypeError):
        return None
