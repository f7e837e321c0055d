"""Every image of a part through the Preprocessor once, kept as uint8 pixels in one file."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecnn.atomic import make_folder, replacing
from edgecnn.data.samples import Samples
from edgecnn.errors import DatasetError
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Placement, Preprocessor

logger = logging.getLogger(__name__)


def cached_pixels(
    samples: Samples,
    image_input: ImageInput,
    folder: Path,
    *,
    fingerprint: str,
    on_image: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.uint8]:
    """Returns a part's pixels as the network takes them, from a file that is made at the first call.

    The file's name is a hash of the data's fingerprint, the part and the input, so another input gives another file. It
    appears whole or not at all; two processes may make it at once, and end with the same content.

    Args:
        samples: a whole part of the data set.
        image_input: fixes height, width and colour.
        folder: holds the file; made where it is missing.
        fingerprint: of the data set.
        on_image: called now and then with (images done, images in all) while the file is made.

    Returns:
        (N, height, width, channels) uint8, read-only and mapped from the disk: only what is used takes memory.

    Raises:
        DatasetError: an image cannot be decoded; the file is named.
        WriteError: the disk is full.
    """
    shape = (len(samples), image_input.height, image_input.width, image_input.channels)
    path = folder / f"{samples.part}-{_key(samples, image_input, fingerprint)}.npy"
    pixels = _mapped(path)
    if pixels is None or pixels.shape != shape:
        make_folder(folder)
        _write(path, samples, Preprocessor(image_input), shape, on_image or _ignore)
        pixels = np.load(path, mmap_mode="r")
        logger.info("cache: %d images of %s, %.1f MB", len(samples), shape[1:], pixels.nbytes / 1e6)
    return pixels


def preprocess(samples: Samples, index: int, preprocessor: Preprocessor) -> tuple[npt.NDArray[np.uint8], Placement]:
    """Returns one sample's pixels, (1, height, width, channels) uint8, and where the image lies in them.

    Raises:
        DatasetError: the image cannot be decoded; the file is named.
    """
    try:
        return preprocessor(samples.sources[index])
    except ImageError as error:
        named = isinstance(samples.sources[index], Path)  # then the message begins with the path
        raise DatasetError(str(error) if named else f"{samples.describe(index)}: {error}") from error


def _key(samples: Samples, image_input: ImageInput, fingerprint: str) -> str:
    parts = [fingerprint, samples.part, len(samples), asdict(image_input)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _mapped(path: Path) -> npt.NDArray[np.uint8] | None:
    try:
        pixels: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except (OSError, ValueError):  # missing, or not ours: it is made anew
        return None
    return pixels


def _write(
    path: Path,
    samples: Samples,
    preprocessor: Preprocessor,
    shape: tuple[int | None, ...],
    on_image: Callable[[int, int], None],
) -> None:
    # written, not mapped: a full disk is an OSError here, and the signal SIGBUS in a mapped file
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for index in range(len(samples)):
            pixels, _ = preprocess(samples, index, preprocessor)
            file.write(pixels.data)
            if index % 256 == 255 or index == len(samples) - 1:
                on_image(index + 1, len(samples))


def _ignore(done: int, total: int) -> None:
    del done, total
