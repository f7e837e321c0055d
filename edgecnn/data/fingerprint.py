"""A name for the content of a data set, the same on every machine and under every path."""

import hashlib
import json
from pathlib import Path

import numpy as np

from edgecnn.data.samples import Samples
from edgecnn.errors import DatasetError


def fingerprint(train: Samples, test: Samples) -> str:
    """Returns the hex SHA-256 over labels, class ids and images, in their order.

    Pixels count as they are, encoded files by their bytes; no path and no file name takes part.

    Raises:
        DatasetError: a file cannot be read.

    Example:
        >>> import numpy as np
        >>> pixels, ids = np.zeros((2, 1, 1), np.uint8), np.array([0, 1])
        >>> part = Samples(pixels, ids, ("a", "b"), "train")
        >>> fingerprint(part, part) == fingerprint(part, Samples(pixels + 1, ids, ("a", "b"), "test"))
        False
    """
    digest = hashlib.sha256()
    for samples in (train, test):
        shape = samples.sources.shape if isinstance(samples.sources, np.ndarray) else [len(samples)]
        digest.update(json.dumps([samples.labels, shape]).encode())
        digest.update(samples.class_ids.astype("<i8").tobytes())
        if isinstance(samples.sources, np.ndarray):
            digest.update(np.ascontiguousarray(samples.sources).data)
        else:
            for source in samples.sources:
                digest.update(_digest(source))
    return digest.hexdigest()


def _digest(path: Path | bytes) -> bytes:
    if isinstance(path, bytes):
        return hashlib.sha256(path).digest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
