"""Seeded images for parity where there are no real ones: noise, smooth shapes, gradients, single colours."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.inputs import Batch, Inputs, join
from edgecnn_runtime.manifest import ImageInput, Manifest
from edgecnn_runtime.proposals import windows_over
from edgecnn_runtime.questions import TextInput

_Pixels = npt.NDArray[np.uint8]
_Draw = Callable[[np.random.Generator, int, int, int], npt.NDArray[np.float64]]

MOST, FEWEST = 32, 8  # images
_PIXELS = MOST * 256 * 256  # of all, where that is more than the fewest: larger images take longer, and prove more each
_SEED = 20170412
_QUESTIONS = 2  # an image: a file that keeps what it saw of a picture answers the second without looking
_WINDOWS = 12  # of an image: each is as much work as a picture of a classifier, and 300 prove no more
_UNKNOWN_WORD = "unheardof"  # in a vocabulary that had it, it would be a word like the others
_PICTURE = (48, 64)  # (height, width) of a picture that is yet to be prepared
_FREE_SIDES = (256, 201, 131)  # pixels in turn, where the graph takes any: most are no multiple of anything


def synthetic_images(spec: ImageInput, *, count: int | None = None, batch_size: int = 8) -> Iterator[_Pixels]:
    """Yields the same images every time, as uint8 (N, H, W, C) with N up to `batch_size`.

    Where height or width is free, each batch has another size, which need not be a multiple of the input's.

    Args:
        spec: the input they are for.
        count: how many in all; None for 32, or for as many as have two million pixels, but for 8 at least.
        batch_size: how many at a time.
    """
    generator = np.random.default_rng(_SEED)
    height, width = (side or max(_FREE_SIDES) for side in (spec.height, spec.width))
    if count is None:
        whole = _PIXELS // (height * width) // len(_DRAWN) * len(_DRAWN)  # as many of each kind
        count = min(MOST, max(FEWEST, whole))
    for first in range(0, count, batch_size):
        numbers, turn = range(first, min(first + batch_size, count)), first // batch_size
        height, width = (
            _side(side, turn + axis, spec.multiple_of) for axis, side in enumerate((spec.height, spec.width))
        )
        yield np.stack([_image(number, generator, height, width, spec.channels) for number in numbers])


def synthetic_pictures(count: int) -> list[_Pixels]:
    """Returns the same pictures every time, (48, 64, 3) uint8: smooth shapes, which encode to a few kilobytes."""
    generator = np.random.default_rng(_SEED)
    drawn = [_blobs(generator, *_PICTURE, 3) for _ in range(count)]
    return [np.rint(np.clip(picture, 0, 255)).astype(np.uint8) for picture in drawn]


def synthetic_questions(spec: TextInput, count: int) -> list[str]:
    """Returns the same questions every time: words of the vocabulary and now and then another one, 1 to all it takes.

    Args:
        spec: the input they are for.
        count: how many; the first has as many words as the input takes.
    """
    generator, known = np.random.default_rng(_SEED), [*(spec.vocabulary or ()), _UNKNOWN_WORD]
    lengths = [spec.length, *generator.integers(1, spec.length + 1, count)][:count]
    return [" ".join(known[index] for index in generator.integers(len(known), size=length)) for length in lengths]


def synthetic_proposals(image_size: tuple[int, int]) -> list[list[float]]:
    """Returns a few windows over a picture: all of it, its halves, and some smaller ones.

    Args:
        image_size: (height, width) in pixels.
    """
    found: list[list[float]] = windows_over(image_size)[:_WINDOWS].tolist()
    return found


def synthetic_batches(manifest: Manifest, spec: ImageInput | None = None) -> Iterator[Batch]:
    """Yields `synthetic_images` as a network takes them; where it takes questions, two rows an image.

    Where it takes regions, those are of `synthetic_proposals`.

    Args:
        manifest: of the model.
        spec: of the images; None takes the manifest's.
    """
    inputs, text, done = Inputs(manifest), manifest.text_input, 0
    questions = [] if text is None else synthetic_questions(text, _QUESTIONS * MOST)
    for images in synthetic_images(spec or manifest.image_input):
        prepared = []
        for image in images:
            regions = None if manifest.proposals_input is None else synthetic_proposals(image.shape[:2])
            prepared += inputs.of_questions(image, questions[done : done + _QUESTIONS] or None, proposals=regions)
            done += _QUESTIONS
        yield Batch(join([one.feeds for one in prepared]), [one.placement for one in prepared])


def large_pictures(count: int, side: int, channels: int) -> Iterator[_Pixels]:
    """Yields the same pictures every time, (side, side, channels) uint8: smooth shapes, noise, one after the other."""
    generator = np.random.default_rng(_SEED)
    for number in range(count):
        yield _image(number, generator, side, side, channels)


def _image(number: int, generator: np.random.Generator, height: int, width: int, channels: int) -> _Pixels:
    drawn = _DRAWN[number % len(_DRAWN)](generator, height, width, channels)
    return np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)  # (H, W, C)


def _noise(generator: np.random.Generator, height: int, width: int, channels: int) -> npt.NDArray[np.float64]:
    return generator.uniform(0, 255, (height, width, channels))


def _blobs(generator: np.random.Generator, height: int, width: int, channels: int) -> npt.NDArray[np.float64]:
    """A few waves of random direction and length: edges and areas, as photos have."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [
        np.sin(frequency[0] * rows + frequency[1] * columns + phase)
        for frequency, phase in zip(generator.normal(0, 12, (6, 2)), generator.uniform(0, 6.3, 6), strict=True)
    ]
    mixed: npt.NDArray[np.float64] = np.stack(waves, axis=-1) @ generator.normal(0, 60, (6, channels))  # (H, W, C)
    return 128 + mixed


def _gradient(generator: np.random.Generator, height: int, width: int, channels: int) -> npt.NDArray[np.float64]:
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slopes = generator.uniform(-127, 127, (2, channels))
    mixed: npt.NDArray[np.float64] = (
        rows[..., np.newaxis] * slopes[0] + columns[..., np.newaxis] * slopes[1]
    )  # (H, W, C)
    return 128 + mixed


def _constant(generator: np.random.Generator, height: int, width: int, channels: int) -> npt.NDArray[np.float64]:
    return np.broadcast_to(generator.choice([0.0, 64.0, 128.0, 192.0, 255.0], channels), (height, width, channels))


_DRAWN: tuple[_Draw, ...] = (_noise, _blobs, _gradient, _constant)


def _side(side: int | None, turn: int, multiple_of: int | None) -> int:
    return side or max(multiple_of or 1, _FREE_SIDES[turn % len(_FREE_SIDES)])
