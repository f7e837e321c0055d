"""Run lengths of masks, as COCO writes them.

A mask is gone through column by column, and its runs of 0 and 1 are counted in turn, those of 0 first. In the
compressed text each count but the first three is its difference from the one two before, in groups of five bits, the
lowest first, each of which is a letter: the sixth bit says that another follows, and the last group's fifth is the
sign.

Reference: rleToString and rleFrString in maskApi.c of https://github.com/cocodataset/cocoapi (BSD 2-clause)
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_BITS, _MORE, _SIGN, _LETTER = 5, 0x20, 0x10, 48
_WRITTEN = 1 << 16  # numbers at a time: those of noise are as many as its pixels
_LONGEST = 9  # letters of a number: any count of pixels is below 2**44


def rle(mask: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Returns the run lengths of a mask.

    Args:
        mask: (H, W) bool, or numbers of which all but 0 belong to it.

    Returns:
        (runs,) the lengths of the runs of 0 and 1 in turn; the first is 0 where the mask begins with 1.

    Example:
        >>> rle(np.array([[0, 1], [1, 1]])).tolist()
        [1, 3]
    """
    flat = (np.asarray(mask) != 0).T.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = [0, *([0] if flat.size and flat[0] else [])]
    return np.diff(np.concatenate([starts, changes, [flat.size]])).astype(np.int64)


def mask_of(counts: npt.NDArray[np.int64], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Returns the mask of run lengths; undoes `rle`.

    Args:
        counts: as `rle` gives them.
        size: (height, width) of the mask.

    Raises:
        ValueError: a count is negative, or their sum is not the number of pixels.
    """
    if (counts < 0).any() or counts.sum() != size[0] * size[1]:
        raise ValueError(
            f"run lengths: expected numbers of 0 or more whose sum is {size[0] * size[1]}, the pixels of {size[0]} x "
            f"{size[1]}, received {len(counts)} with the sum {counts.sum()}, the least {counts.min(initial=0)}"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size[::-1]).T


def compressed(counts: npt.NDArray[np.int64]) -> str:
    """Returns COCO's text of run lengths.

    Example:
        >>> compressed(np.array([5, 40, 3]))
        '5X13'
    """
    numbers = np.array(counts, np.int64)
    numbers[3:] -= counts[1:-2]
    return "".join(_letters(numbers[first : first + _WRITTEN]) for first in range(0, len(numbers), _WRITTEN))


def _letters(numbers: npt.NDArray[np.int64]) -> str:
    """Returns the letters of a few numbers."""
    rest = numbers.copy()
    letters = np.zeros((len(rest), _LONGEST), np.uint8)
    follows = np.ones(len(rest), bool)
    for place in range(_LONGEST):
        group = rest & (_MORE - 1)
        rest >>= _BITS
        written, follows = follows, follows & (rest != np.where(group & _SIGN, -1, 0))
        letters[:, place] = np.where(written, group + _MORE * follows + _LETTER, 0)
    return letters[letters > 0].tobytes().decode("ascii")


def counts_of(text: str) -> npt.NDArray[np.int64]:
    """Returns the run lengths of COCO's text; undoes `compressed`.

    Raises:
        ValueError: the text is none, or a count in it is negative.

    Example:
        >>> counts_of("5X13").tolist()
        [5, 40, 3]
    """
    groups = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - _LETTER
    last = (groups & _MORE) == 0
    ends = np.flatnonzero(last) + 1
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    if ((groups < 0) | (groups >= 2 * _MORE)).any() or (len(groups) and not last[-1]):
        raise ValueError(f"run lengths: expected COCO's compressed text, received {text[:40]!r}")
    lengths = ends - starts
    if lengths.max(initial=0) > _LONGEST:
        raise ValueError(f"run lengths: expected numbers of at most {_LONGEST} letters, received {text[:40]!r}")
    places = np.arange(len(groups)) - np.repeat(starts, lengths)
    parts = (groups & (_MORE - 1)) << (_BITS * places)
    counts = np.add.reduceat(parts, starts) if len(starts) else parts
    negative = (groups[ends - 1] & _SIGN) != 0
    counts -= np.where(negative, np.int64(1) << (_BITS * lengths), 0)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    if (counts < 0).any():
        raise ValueError(f"run lengths: expected numbers of 0 or more, received {counts.min()} from {text[:40]!r}")
    return counts
