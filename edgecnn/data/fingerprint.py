"""A name for the content of a data set, the same on every machine and under every path."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.data.samples import Samples
from edgecnn.errors import DatasetError

_ORDER = ("train", "test", "val", "all")  # val is behind test, so that data without val keep the names they had


def fingerprint(parts: Sequence[Samples], digests: Sequence[Sequence[bytes]]) -> str:
    """Returns the hex SHA-256 over names of classes, labels and images, in their order.

    Pixels count as they are, encoded files by their bytes; no path and no file name takes part.

    Args:
        parts: of the data set, in any order.
        digests: of each part, what `image_digests` gives.

    Example:
        >>> from edgecnn.data.targets import ClassIds
        >>> pixels, ids = np.zeros((2, 1, 1), np.uint8), ClassIds(np.array([0, 1]))
        >>> part, other = (Samples(array, ids, ("a", "b"), "train") for array in (pixels, pixels + 1))
        >>> fingerprint([part], [image_digests(part)]) == fingerprint([other], [image_digests(other)])
        False
    """
    digest = hashlib.sha256()
    for samples, images in sorted(zip(parts, digests, strict=True), key=lambda pair: _ORDER.index(pair[0].part)):
        sources = samples.sources
        shape = sources.shape if isinstance(sources, np.ndarray) else [len(samples)]
        digest.update(json.dumps([samples.labels, shape]).encode())
        digest.update(b"".join(map(samples.targets.digest, range(len(samples)))))
        if isinstance(sources, np.ndarray):
            digest.update(np.ascontiguousarray(sources).data)
        else:
            digest.update(b"".join(images))
    return digest.hexdigest()


def image_digests(samples: Samples) -> list[bytes]:
    """Returns the SHA-256 of each image: of its pixels, or of the bytes it is encoded in.

    Raises:
        DatasetError: a file cannot be read.
    """
    return [_digest(source) for source in samples.sources]


def _digest(source: Path | bytes | npt.NDArray[Any]) -> bytes:
    if not isinstance(source, Path):
        return hashlib.sha256(source if isinstance(source, bytes) else source.tobytes()).digest()
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DatasetError(f"{source}: cannot be read: {error.strerror or error}") from error
