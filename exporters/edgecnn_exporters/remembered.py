"""A model that is asked the same questions again answers from memory, as far as there is room."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_exporters.proof.source import Source

_MOST_BYTES = 2**26


class Remembered:
    """Answers one sequence of batches any number of times; `restart` stands before each.

    Args:
        model: is asked what is not remembered.
    """

    def __init__(self, model: Source) -> None:
        self._model = model
        self._answers: list[dict[str, npt.NDArray[Any]]] = []
        self._next, self._bytes = 0, 0

    def restart(self) -> None:
        """Begins the sequence again."""
        self._next = 0

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs by name for the next batch of the sequence."""
        number, self._next = self._next, self._next + 1
        if number < len(self._answers):
            return self._answers[number]
        outputs = self._model.run(feeds)
        size = sum(values.nbytes for values in outputs.values())
        if number == len(self._answers) and self._bytes + size <= _MOST_BYTES:
            self._answers.append(outputs)
            self._bytes += size
        return outputs

    def scores(self, outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Returns the class scores (N, classes) that the model itself gives for its raw outputs."""
        return self._model.scores(outputs)
