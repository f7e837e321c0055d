"""The source of a file: what it must be able to say, and whether the manifest reads its numbers for what they are."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.decoders import Decoder, kinds_beside
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Model
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result

_SUM = 1e-4  # how far from 1 the sum of probabilities may be
_BEYOND = 1e-3  # how far beyond 0 or 1 a score may be, and a distance below 0, as a part of the largest


class Source(Model, Protocol):
    """A model that says, without the runtime's decoding, which results its outputs mean."""

    def results(
        self, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement], manifest: Manifest | None = None
    ) -> list[Result]:
        """Returns what the source itself means by N rows of raw outputs, one result an image.

        Args:
            outputs: as `run` returns them.
            placements: one an image, N of them.
            manifest: whose decoder they are read by; None for the source's own, from which it differs in what is kept
                alone.
        """
        ...


class Reading:
    """Looks at the numbers that the decoder reads, over all images.

    That finds what cannot be seen in a model's layers: one's own layer that takes a softmax by hand, say.

    Args:
        manifest: names the decoder and its output.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._decoder: Decoder = manifest.decoder
        self._images, self._rows, self._distributions = 0, 0, 0
        self._least, self._most = np.inf, -np.inf

    def update(self, values: npt.NDArray[Any]) -> None:
        """Adds a batch (N, units), or maps of such rows (N, height, width, units), finite.

        Raises:
            ManifestError: the decoder takes probabilities or distances, and these are none.
        """
        if not values.size:
            return
        self._images += len(values)
        sums = values.sum(axis=-1, dtype=np.float64)
        self._rows += sums.size
        self._distributions += int(((values.min(axis=-1) >= 0) & (np.abs(sums - 1) <= _SUM)).sum())
        self._least, self._most = min(self._least, float(values.min())), max(self._most, float(values.max()))
        reads, numbers = self._decoder.reads, f"received numbers from {self._least:.4g} to {self._most:.4g}"
        if reads == "scores" and (self._least < -_BEYOND or self._most > 1 + _BEYOND):
            raise self._contradiction(
                f"expected scores from 0 to 1, {numbers}", '"softmax" where one class is right, "sigmoid" else'
            )
        if reads == "distances" and self._least < -_BEYOND * max(self._most, 1.0):
            raise self._contradiction(f"expected distances of 0 or more, {numbers}", '"softmax"')

    def check(self) -> None:
        """Judges what can only be judged when all images were seen.

        Raises:
            ManifestError: every row is a distribution already, and the decoder takes a softmax of it.
        """
        softmax = self._decoder.reads == "logits" and self._decoder.takes == "softmax"
        if softmax and self._rows and self._distributions == self._rows:
            raise self._contradiction(
                f"expected raw outputs, received rows that are 0 or more and sum to 1 on all {self._images} images, "
                "which a softmax was taken of already",
                '"probabilities"',
            )

    def _contradiction(self, what: str, kind: str) -> ManifestError:
        known = any(f'"{other}"' in kind for other in kinds_beside(self._decoder))
        cure = (
            f'Write {kind} as the decoder\'s "kind" into manifest.json.'
            if known
            else "Let the model end there in a layer without activation."
        )
        return ManifestError(
            f"manifest: output {self._decoder.output!r} does not fit decoder {self._decoder.kind!r}: {what}. {cure}"
        )
