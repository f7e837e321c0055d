"""Showing rare classes more often, up to the largest one."""

import numpy as np
import numpy.typing as npt


def repeats(class_ids: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Chooses which images to show once more, or more often, so that every class is shown as often as the largest.

    Of a class every image is repeated as often as any other, or once more; which ones, is drawn.

    Args:
        class_ids: (N,) of the images.
        random: draws.

    Returns:
        (M,) positions in `class_ids`, class by class.

    Example:
        >>> class_ids = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
        >>> chosen = repeats(class_ids, np.random.default_rng(0))
        >>> class_ids[chosen].tolist(), sorted(np.bincount(chosen)[5:7].tolist())
        ([1, 1, 1], [1, 2])
    """
    classes, counts = np.unique(class_ids, return_counts=True)
    chosen = []
    for class_id, count in zip(classes, counts, strict=True):
        members = np.flatnonzero(class_ids == class_id)
        rounds, rest = divmod(int(counts.max() - count), len(members))
        chosen += [np.tile(members, rounds), random.permutation(members)[:rest]]
    return np.concatenate(chosen)
