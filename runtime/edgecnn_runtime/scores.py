"""Scores: the softmax or sigmoid of logits, and the best classes."""

from typing import Any

import numpy as np
import numpy.typing as npt

_NEGLIGIBLE = 1000.0  # exp(-1000) is 0 in float32; the bound keeps -3e38 - 3e38 from overflowing


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns class probabilities; the largest logit is subtracted first, so that nothing overflows.

    Args:
        logits: (N, classes) float32 or float16, finite.

    Returns:
        (N, classes) float32, each row sums to 1.

    Example:
        >>> softmax(np.array([[0.0, 0.0], [1000.0, -1000.0]])).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    exponentials = logits.astype(np.float32)  # a copy, which the steps below overwrite
    top = np.maximum.reduce(exponentials, axis=1, keepdims=True)  # (N, 1)
    np.maximum(exponentials, top - _NEGLIGIBLE, out=exponentials)
    exponentials -= top
    np.exp(exponentials, out=exponentials)
    exponentials /= np.add.reduce(exponentials, axis=1, keepdims=True)
    return exponentials


def sigmoid(logits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns 1 / (1 + exp(-logit)) for each number; exp is taken of none above 0, so that nothing overflows.

    Args:
        logits: any shape, float32 or float16, finite.

    Returns:
        The same shape, float32, 0 to 1; small ones are as exact, relative to themselves, as large ones.

    Example:
        >>> sigmoid(np.array([0.0, 1000.0, -1000.0])).tolist()
        [0.5, 1.0, 0.0]
    """
    scores = logits.astype(np.float32)  # a copy, which the steps below overwrite
    small = np.exp(-np.abs(scores))
    np.minimum(scores, 0, out=scores)
    np.exp(scores, out=scores)
    scores /= small + np.float32(1)
    return scores


def two_classes(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns the scores of both classes that one unit tells apart.

    Args:
        scores: (N, 1) float32, of the second class.

    Returns:
        (N, 2) float32, each row sums to 1.
    """
    return np.concatenate([np.float32(1) - scores, scores], axis=1)


def top_k(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.intp]:
    """Returns the class ids of the k best scores, best first; of equal scores the lower class id comes first.

    Args:
        scores: (classes,) float32.
        k: 1 or more; at most all classes are returned.

    Raises:
        ValueError: k is below 1.

    Example:
        >>> top_k(np.array([0.25, 0.5, 0.25], dtype=np.float32), 2).tolist()
        [1, 0]
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, received {k}")
    return np.argsort(-scores, kind="stable")[:k]
