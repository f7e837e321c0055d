"""What answers arrays with arrays, an ONNX file or a Keras model alike, and how any number of rows goes through it."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.decoders import KeptPicture
from edgecnn_runtime.manifest import Manifest

Feeds = Mapping[str, npt.NDArray[Any]]


class Model(Protocol):
    """What evaluation and parity hold: a Session, or an adapter round a Keras model."""

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs by name for the inputs by name."""
        ...


def read_by(model: Model, manifest: Manifest) -> Model:
    """Returns a model as it answers by a manifest's decoder.

    Where its graph itself decodes, the thresholds are inputs of it. Where it keeps what it saw of a picture, the next
    question about the same picture runs without the picture's part; may be called from several threads.

    Args:
        model: whose raw outputs the decoder reads.
        manifest: of the model, or one with other thresholds.
    """
    kept = manifest.decoder.keeps()
    if kept is not None:
        return _OncePerPicture(model, manifest.image_input.name, kept)
    settings = {name: np.array(values, np.float32) for name, values in manifest.decoder.settings().items()}
    return _Set(model, settings) if settings else model


class _Set:
    """A model some inputs of which are always the same."""

    def __init__(self, model: Model, settings: Feeds) -> None:
        self._model, self._settings = model, settings

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        return self._model.run({**feeds, **self._settings})


class _OncePerPicture:
    """A model that is told what it made of a picture, where it is asked of the same one again.

    The last picture alone is remembered, by its pixels, whatever it was read from.
    """

    def __init__(self, model: Model, image: str, kept: KeptPicture) -> None:
        self._model, self._image, self._output = model, image, kept.output
        self._unknown = (np.zeros(1, np.float32), np.zeros(kept.size, np.float32))
        self._last: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None  # pixels, and what they came to

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        pixels, last = feeds.get(self._image), self._last  # another thread may remember another one meanwhile
        if pixels is None:
            return self._model.run(feeds)  # which says what is missing
        is_known = last is not None and np.array_equal(last[0], pixels)
        known, picture = (np.ones(1, np.float32), last[1]) if last is not None and is_known else self._unknown
        outputs = self._model.run({**feeds, KeptPicture.KNOWN: known, KeptPicture.PICTURE: picture})
        if not is_known:
            self._last = (pixels.copy(), outputs[self._output][0].astype(np.float32))
        return outputs


def run_all(model: Model, feeds: Feeds, batch: int | None) -> dict[str, npt.NDArray[Any]]:
    """Returns the raw outputs of any number of rows, from a model that takes a fixed number at a time.

    Args:
        model: is run as often as it takes.
        feeds: one array an input, N rows each, N at least 1.
        batch: how many rows a run takes; None for any number. A run that is not full is filled up with its last row,
            whose answers are dropped.
    """
    if batch is None or batch == len(next(iter(feeds.values()))):
        return model.run(feeds)
    parts = [{name: values[:count] for name, values in model.run(full).items()} for full, count in runs(feeds, batch)]
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def runs(feeds: Feeds, batch: int) -> Iterator[tuple[dict[str, npt.NDArray[Any]], int]]:
    """Yields what the runs of a fixed batch take, and how many rows of each are no filling.

    Args:
        feeds: one array an input, N rows each.
        batch: rows a run.

    Example:
        >>> [(full["x"].tolist(), count) for full, count in runs({"x": np.array([1, 2, 3])}, 2)]
        [([1, 2], 2), ([3, 3], 1)]
    """
    for first in range(0, len(next(iter(feeds.values()))), batch):
        part = {name: values[first : first + batch] for name, values in feeds.items()}
        count = len(next(iter(part.values())))
        yield {name: _filled(values, batch) for name, values in part.items()}, count


def _filled(values: npt.NDArray[Any], batch: int) -> npt.NDArray[Any]:
    missing = batch - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values
