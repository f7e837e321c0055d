"""Raw answers: the numbers of each output as the graph gives them, of a plain file or of one of edgecnn's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import ImageError, SessionError
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.inputs import Prepared
from edgecnn_runtime.model import Feeds
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.results import Failure
from edgecnn_runtime.sources import Source, expand
from edgecnn_runtime.tasks.task import check_finite

MOST_VALUES = 10_000  # of an output that JSON holds whole


class RawModel(Protocol):
    """What makes an image ready and gives raw outputs: a PlainModel, or a `PredictorOutputs`."""

    @property
    def provider(self) -> str:
        """The execution provider that runs the graph."""
        ...

    def prepare(self, image: ImageSource) -> Prepared:
        """Returns what the graph takes of one image."""
        ...

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs by name."""
        ...


class PredictorOutputs:
    """The raw outputs of one of edgecnn's files, whose manifest says how an image becomes its pixels.

    Args:
        predictor: of a model that takes an image alone.

    Raises:
        ValueError: it takes something beside.
    """

    def __init__(self, predictor: Predictor) -> None:
        inputs = predictor.manifest.inputs
        if len(inputs) != 1:
            raise ValueError(
                f"expected a model that takes an image alone, received one with {inputs[1].kind} beside it"
            )
        self._predictor = predictor

    @property
    def provider(self) -> str:
        """The execution provider that runs the graph."""
        return self._predictor.provider

    def prepare(self, image: ImageSource) -> Prepared:
        """Returns what the graph takes of one image; raises as `Predictor.predict` does."""
        return self._predictor.inputs(image)

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs by name; raises as `Predictor.run` does."""
        return self._predictor.run(feeds)


@dataclass(frozen=True, slots=True, eq=False)
class RawAnswer:
    """The raw outputs of one image.

    Attributes:
        source: the path or name of the image; None for an image out of memory.
        shape: (height, width) of the displayed image, in pixels.
        outputs: by name, in the graph's order; finite.
        provider: the execution provider that ran.
        preprocess_ms: from the source to what the graph takes.
        inference_ms: the graph.
        frames: how many the image's file holds; the first was answered.
    """

    source: str | None
    shape: tuple[int, int]
    outputs: Mapping[str, npt.NDArray[Any]]
    provider: str
    preprocess_ms: float
    inference_ms: float
    frames: int = 1

    def to_dict(self, limit: int) -> dict[str, Any]:
        """Returns the JSON object: each output whole where it has up to 10,000 numbers, and else in summary.

        Args:
            limit: how many of the largest numbers of a vector are named.
        """
        return {
            "source": self.source,
            "shape": list(self.shape),
            **({} if self.frames == 1 else {"frames": self.frames}),
            "provider": self.provider,
            "speed_ms": {"preprocess": self.preprocess_ms, "inference": self.inference_ms},
            "outputs": [_output_object(name, values, limit) for name, values in self.outputs.items()],
        }

    def lines(self, limit: int) -> list[str]:
        """Returns a line an output: its name, dtype and shape, and the largest numbers of a vector, or the spread.

        Args:
            limit: as for `to_dict`.
        """
        return [
            f"{name} {values.dtype} {_shape(values)}: {_told(values, limit)}" for name, values in self.outputs.items()
        ]


def answer_raw(
    model: RawModel, sources: ImageSource | Iterable[ImageSource | Source | Failure]
) -> Iterator[RawAnswer | Failure]:
    """Yields the raw outputs of each image, or why there are none; no bad image ends it.

    Args:
        model: a PlainModel, or a `PredictorOutputs`.
        sources: as for `Predictor.stream`.
    """
    for source in expand(sources):
        yield source if isinstance(source, Failure) else _answer(model, source)


def top(values: npt.NDArray[Any], limit: int) -> list[tuple[int, float]] | None:
    """Returns index and value of the largest numbers of a vector, largest first, of equal ones the first.

    Args:
        values: any output; a vector has one axis that is longer than 1, or none.
        limit: how many at most.

    Returns:
        None where it is no vector.

    Example:
        >>> top(np.array([[1, 7, 3]]), 2)
        [(1, 7.0), (2, 3.0)]
    """
    if values.size == 0 or sum(side > 1 for side in values.shape) > 1:
        return None
    flat = values.reshape(-1)
    order = np.argsort(-flat.astype(np.float64), kind="stable")[:limit]
    return [(int(index), float(flat[index])) for index in order]


def _answer(model: RawModel, source: Source) -> RawAnswer | Failure:
    try:
        start = perf_counter()
        ready = model.prepare(source.image)
        prepared = perf_counter()
        outputs = model.run(ready.feeds)
        end = perf_counter()
        for name, values in outputs.items():
            check_finite(name, values)
    except (ImageError, SessionError) as error:
        return Failure.of(source.name, error)
    except MemoryError:
        return Failure.for_memory(source.name)
    placement = ready.placement
    times = ((prepared - start) * 1000, (end - prepared) * 1000)
    return RawAnswer(source.name, placement.image_size, outputs, model.provider, *times, placement.frames)


def _output_object(name: str, values: npt.NDArray[Any], limit: int) -> dict[str, Any]:
    is_truncated, largest = values.size > MOST_VALUES, top(values, limit)
    return {
        "name": name,
        "dtype": str(values.dtype),
        "shape": list(values.shape),
        **_spread(values),
        **({} if largest is None else {"top": [{"index": index, "value": value} for index, value in largest]}),
        "truncated": is_truncated,
        "values": None if is_truncated else values.tolist(),
    }


def _told(values: npt.NDArray[Any], limit: int) -> str:
    largest = top(values, limit)
    if largest is not None:
        return ", ".join(f"{index} {value:.6g}" for index, value in largest)
    return ", ".join(f"{name} {value:.6g}" for name, value in _spread(values).items()) or "empty"


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    """Returns least, mean and largest number; nothing of an output without numbers."""
    if values.size == 0:
        return {}
    return {"min": float(values.min()), "mean": float(values.mean(dtype=np.float64)), "max": float(values.max())}


def _shape(values: npt.NDArray[Any]) -> str:
    return f"({', '.join(map(str, values.shape))})"
