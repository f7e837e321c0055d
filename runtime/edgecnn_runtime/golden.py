"""Golden samples: tiny encoded images that travel in a file, and what the file made of them where it was proven.

An answer is held at the stages that it passes: the network's pixels, the raw outputs, the decoded result. Pixels and
raw outputs are held as digests, because whole ones would not fit.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import ManifestError

Precision = Literal["float32", "float16", "int8"]
MAX_SAMPLES = 4
MAX_BYTES = 65536  # of all samples of a file, as JSON
_LARGEST_NUMBER = 1 + 1e-6  # a softmax in float32 may round above 1
_DIGITS = 8  # of a float in JSON; float32 holds 7


@dataclass(frozen=True, slots=True)
class Digest:
    """A few numbers of an array; a change of any element moves at least one of them.

    Attributes:
        name: of the input or output.
        shape: of the array.
        largest: max |element|, which differences are relative to.
        mean: of the elements: a shift of all.
        rms: the root of their mean square: a change of their spread.
        signed: their sum with a fixed pseudorandom sign each, divided by the root of their number: a change of one
            element, or of their order.

    Raises:
        ManifestError: `largest` is negative; what is allowed is a part of it.
    """

    name: str
    shape: tuple[int, ...]
    largest: float
    mean: float
    rms: float
    signed: float

    def __post_init__(self) -> None:
        if self.largest < 0:
            raise ManifestError(f"golden sample: expected a largest value of 0 or more, received {self.largest}")


@dataclass(frozen=True, slots=True)
class Held:
    """A result as a golden sample holds it, whatever its task.

    Attributes:
        words: what must be the same, by what it is of, for example "class 3": "'cat'".
        numbers: what may differ a little, each 0 to 1 (box edges are parts of the image's height or width), by what it
            is, for example "score of class 3".
        told: the whole in a few words, for people.

    Raises:
        ManifestError: there are no numbers, or one is not from 0 to 1.
    """

    words: Mapping[str, str]
    numbers: Mapping[str, float]
    told: str

    def __post_init__(self) -> None:
        if not self.numbers or not all(0 <= number <= _LARGEST_NUMBER for number in self.numbers.values()):
            raise ManifestError(f"golden sample: expected numbers from 0 to 1, received {dict(self.numbers)}")


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of one image, step by step.

    Attributes:
        image_size: (height, width) of the displayed image, in pixels.
        inputs: one an input of the graph, in the manifest's order; of pixels in gray levels.
        outputs: one a raw output, in the manifest's order.
        result: as it is held: of a sample the best answers, on a device all of them.
    """

    image_size: tuple[int, ...]
    inputs: tuple[Digest, ...]
    outputs: tuple[Digest, ...]
    result: Held


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an answer on another machine may be from the one that is held.

    Attributes:
        pixels: of each number of the pixels' digest, in gray levels.
        outputs: of each number of a raw output's digest, as a part of that output's largest value.
        results: of each number of the result, 0 to 1.

    Raises:
        ManifestError: one is negative, NaN or infinite.
    """

    pixels: float
    outputs: float
    results: float

    def __post_init__(self) -> None:
        numbers = (self.pixels, self.outputs, self.results)
        if not all(0 <= number < math.inf for number in numbers):
            raise ManifestError(f"golden sample: expected tolerances of 0 or more, received {numbers}")

    def capped(self, limit: "Tolerance") -> "Tolerance":
        """Returns the stricter of the two, number by number."""
        return Tolerance(
            min(self.pixels, limit.pixels), min(self.outputs, limit.outputs), min(self.results, limit.results)
        )


# The most that a file may allow itself; one that allows less is held to that.
# Where the same kernels compute. Measured on ten graphs, 1 to 4 threads: bit for bit alike, but for 3e-7 on three
# in googlenet. At int8, 165 of 200 flips of a weight's sign bit are found within this, 4 within the other.
ALIKE = Tolerance(pixels=2.0, outputs=1e-4, results=1e-4)
# Where others compute. Pixels: Pillow's integer arithmetic is the same everywhere; another JPEG decoder moves the mean
# by up to 1. Outputs, measured on mnist_convnet, resnet34, xception and googlenet, 16 pictures each:
# float32: 4e-7 with unfused kernels. A machine may be as far from the file's answer as the file may be from its source.
# float16: 2e-5 on a CPU, which computes in float32; rounding every tensor costs 7e-4, and a GPU adds such up.
# int8: 0.017 between integer kernels and float32 ones, one step of the last tensor. Kernels that saturate (x86 without
#   VNNI, emulated on 30 digits) are off by 0.087 at least, so the limit lies between.
ELSEWHERE: Mapping[Precision, Tolerance] = {
    "float32": ALIKE,
    "float16": Tolerance(pixels=2.0, outputs=5e-3, results=1e-2),
    "int8": Tolerance(pixels=2.0, outputs=0.05, results=0.1),
}


@dataclass(frozen=True, slots=True)
class GoldenSample:
    """An image, the answer it must give, and how exactly.

    Attributes:
        name: what messages call it; ends as the encoding does, for example "turned.jpg".
        image: base64 of the encoded image.
        question: that is asked of it; None for a model that takes none.
        proposals: boxes of the picture that are looked at, xyxy in its pixels; None for a model that takes none.
        trace: of the file's answer on the machine where it was proven.
        alike: how exactly, where the same kernels compute: on a CPU of that family, by that version of ONNX Runtime.
        elsewhere: how exactly on any other machine, for the file's precision.
    """

    name: str
    image: str
    question: str | None
    proposals: tuple[tuple[float, ...], ...] | None
    trace: Trace
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
        name: of the input or output.
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
