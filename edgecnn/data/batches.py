"""Labelled batches, one after the other: nothing accumulates."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.bad_pictures import BadPicture, preprocess_or_not, refuse_bad_pictures
from edgecnn.data.samples import Samples
from edgecnn.data.targets import Targets
from edgecnn.proposing import with_regions
from edgecnn_runtime.inputs import preprocessor_of
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Feeds
from edgecnn_runtime.preprocessing import Placement, Preprocessor
from edgecnn_runtime.questions import Question, QuestionReader

_MOST_TOGETHER, _PIXELS_TOGETHER = 64, 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBatch:
    """A few images as the network takes them.

    Attributes:
        pixels: (N, height, width, channels) uint8.
        placements: N of them, where each image lies in its pixels.
        targets: what the N images are labelled with.
        positions: of the images in the part, (N,).
    """

    pixels: npt.NDArray[np.uint8]
    placements: tuple[Placement, ...]
    targets: Targets
    positions: npt.NDArray[np.int64]


def images_together(manifest: Manifest) -> int:
    """Returns how many images are prepared and answered at a time, where nobody says.

    That is 64, or as many as have a million pixels, since a network holds some hundred numbers for each of its input's;
    one where pictures keep their own size.

    Args:
        manifest: of the model.
    """
    image = manifest.image_input
    if image.height is None or image.width is None or manifest.decoder.cut_into() is not None:
        return 1
    return max(1, min(_MOST_TOGETHER, _PIXELS_TOGETHER // (image.height * image.width)))


def iter_placed_batches(
    samples: Samples,
    preprocessor: Preprocessor,
    batch_size: int,
    *,
    on_bad: Callable[[BadPicture], None] | None = None,
) -> Iterator[PlacedBatch]:
    """Gives the samples in their order, preprocessed as on the device.

    Args:
        samples: any part.
        preprocessor: of the model's image input.
        batch_size: images a batch, at least 1; the last batch may have fewer, and those with bad pictures. Where the
            input has no fixed size, a batch ends too where the next image is of another one.
        on_bad: is told of each picture that cannot be decoded, which is left out; None refuses the first one.

    Raises:
        DatasetError: an image cannot be decoded; the file is named.
        ValueError: the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, received {batch_size}")
    for start in range(0, len(samples), batch_size):
        indices = range(start, min(start + batch_size, len(samples)))
        good: dict[int, tuple[npt.NDArray[np.uint8], Placement]] = {}
        for index in indices:
            result = preprocess_or_not(samples, index, preprocessor)
            if not isinstance(result, BadPicture):
                good[index] = result
            elif on_bad is None:
                refuse_bad_pictures([result], of=len(samples))
            else:
                on_bad(result)
        for _, group in groupby(good.items(), key=lambda item: item[1][0].shape):
            chosen, found = zip(*group, strict=True)
            pixels, placements = zip(*found, strict=True)
            positions = np.array(chosen, np.int64)
            yield PlacedBatch(np.concatenate(pixels), placements, samples.targets.subset(positions), positions)


@dataclass(frozen=True, slots=True, eq=False)
class ReadyBatch:
    """Rows as a network takes them: an image each, or an image and a question about it.

    Attributes:
        feeds: one array an input, N rows each.
        placements: N of them.
        truths: of N images or questions, as the task's metric takes them.
        positions: of the images in the part, (N,).
        questions: N of them; None where none are asked.
    """

    feeds: Feeds
    placements: Sequence[Placement]
    truths: Any
    positions: npt.NDArray[np.int64]
    questions: Sequence[Question] | None = None


def iter_ready(
    samples: Samples,
    manifest: Manifest,
    batch_size: int,
    *,
    to_model: npt.NDArray[np.int64],
    most_questions: int | None = None,
    on_bad: Callable[[BadPicture], None] | None = None,
) -> Iterator[ReadyBatch]:
    """Gives the samples in their order as a network takes them, each with its questions where it answers such.

    Args:
        samples: any part.
        manifest: of the model.
        batch_size: rows a batch, at least 1, as for `iter_placed_batches`. An image has a row for each question.
        to_model: for each class id of the data, the model's.
        most_questions: about an image; None takes all.
        on_bad: as for `iter_placed_batches`.

    Raises:
        DatasetError: as for `iter_placed_batches`.
        ValueError: likewise.
    """
    image, text = manifest.image_input.name, manifest.text_input
    read = None if text is None else QuestionReader(text)
    for batch in iter_placed_batches(samples, preprocessor_of(manifest), batch_size, on_bad=on_bad):
        truths = batch.targets.truths(to_model)
        if text is None or read is None:
            yield ReadyBatch(with_regions(manifest, batch.pixels), batch.placements, truths, batch.positions)
            continue
        rows = [(index, asked) for index, about in enumerate(truths) for asked in about[:most_questions]]
        for start in range(0, len(rows), batch_size):
            indices, asked = zip(*rows[start : start + batch_size], strict=True)
            taken, ready = np.array(indices), [read(one.text) for one in asked]
            yield ReadyBatch(
                {image: batch.pixels[taken], text.name: np.concatenate([one.ids for one in ready])},
                [batch.placements[index] for index in indices],
                list(asked),
                batch.positions[taken],
                [one.question for one in ready],
            )


def iter_batches(
    samples: Samples, preprocessor: Preprocessor, batch_size: int
) -> Iterator[tuple[npt.NDArray[np.uint8], Targets]]:
    """Gives pixels and labels alone.

    Args:
        samples: as for `iter_placed_batches`.
        preprocessor: likewise.
        batch_size: likewise.

    Yields:
        Pixels uint8 (N, height, width, channels) and what the N images are labelled with.

    Raises:
        DatasetError: an image cannot be decoded; the file is named.
        ValueError: the batch size is below 1.
    """
    for batch in iter_placed_batches(samples, preprocessor, batch_size):
        yield batch.pixels, batch.targets
