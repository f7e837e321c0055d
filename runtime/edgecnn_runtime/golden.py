"""Golden samples: tiny encoded images that travel in a file, and what the file made of them where it was proven.

An answer is held at the stages that it passes: the network's pixels, the raw outputs, the decoded result. Pixels and
raw outputs are held as digests, because whole ones would not fit.
"""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.results import Score

MAX_SAMPLES = 4
MAX_BYTES = 65536  # of all samples of a file, as JSON
_DIGITS = 8  # of a float in JSON; float32 holds 7


@dataclass(frozen=True, slots=True)
class Digest:
    """A few numbers of an array; a change of any element moves at least one of them.

    Attributes:
        name: of the output, or "pixels".
        shape: of the array.
        largest: max |element|, which differences are relative to.
        mean: of the elements: a shift of all.
        rms: the root of their mean square: a change of their spread.
        signed: their sum with a fixed pseudorandom sign each, divided by the root of their number: a change of one
            element, or of their order.
    """

    name: str
    shape: tuple[int, ...]
    largest: float
    mean: float
    rms: float
    signed: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one image.

    Attributes:
        image_size: (height, width) of the displayed image, in pixels.
        pixels: of the network's input, in gray levels.
        outputs: one a raw output, in the manifest's order.
        scores: the best classes, best first; a sample holds few of them.

    Raises:
        ManifestError: there are no scores.
    """

    image_size: tuple[int, ...]
    pixels: Digest
    outputs: tuple[Digest, ...]
    scores: tuple[Score, ...]

    def __post_init__(self) -> None:
        if not self.scores:
            raise ManifestError("golden sample: expected the scores of one class or more, received none")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an answer on another machine may be from the one that is held.

    Attributes:
        pixels: of each number of the pixels' digest, in gray levels.
        outputs: of each number of a raw output's digest, as a part of that output's largest value.
        scores: of each class's score, 0 to 1.
    """

    pixels: float
    outputs: float
    scores: float


@dataclass(frozen=True, slots=True)
class GoldenSample:
    """An image, the answer it must give, and how exactly.

    Attributes:
        name: what messages call it; ends as the encoding does, for example "turned.jpg".
        image: base64 of the encoded image.
        answer: that the file gave on the machine where it was proven.
        alike: how exactly, where the same kernels compute: on a CPU of that family, by that version of ONNX Runtime.
        elsewhere: how exactly on any other machine, for the file's precision.
    """

    name: str
    image: str
    answer: Answer
    alike: Tolerance
    elsewhere: Tolerance

    @property
    def image_bytes(self) -> bytes:
        """The encoded image.

        Raises:
            ManifestError: the text is not base64.
        """
        try:
            return base64.b64decode(self.image, validate=True)
        except ValueError as error:
            raise ManifestError(
                f"golden sample {self.name!r}: expected base64, received {self.image[:40]!r}"
            ) from error


def digest(name: str, array: npt.NDArray[Any]) -> Digest:
    """Returns the digest of an array.

    Args:
        name: of the output, or "pixels".
        array: numbers, at least one; a digest of NaN or infinity holds them too.

    Example:
        >>> digest("logits", np.array([[1.0, -3.0]])).largest
        3.0
    """
    values = array.reshape(-1).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity minus infinity is NaN, and NaN is what it is to hold
        numbers = (
            np.abs(values).max(),
            values.mean(),
            np.sqrt(np.square(values).mean()),
            (values * _signs(values.size)).sum() / np.sqrt(values.size),
        )
    return Digest(name, array.shape, *map(_rounded, numbers))


def _signs(count: int) -> npt.NDArray[np.float64]:
    """Returns 1.0 or -1.0 for each position, the same everywhere (NumPy's generators may change between versions).

    Reference: the 32-bit finalizer of MurmurHash3, https://github.com/aappleby/smhasher (public domain)
    """
    mixed = np.arange(1, count + 1, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    return np.where(mixed >> np.uint32(31), -1.0, 1.0).astype(np.float64)


def _rounded(value: Any) -> float:
    return float(f"{float(value):.{_DIGITS}g}")
