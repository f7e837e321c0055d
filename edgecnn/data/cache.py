"""Every image of a part through the Preprocessor once, kept in one file: uint8 pixels, and where it lies in them."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from edgecnn.atomic import make_folder, replacing, write_text
from edgecnn.data.bad_pictures import (
    BadPicture,
    bad_pictures_csv,
    bad_pictures_from_csv,
    preprocess_or_not,
    refuse_bad_pictures,
)
from edgecnn.data.samples import Samples
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Placement, Preprocessor

_PLACE = 7  # numbers of a `Placement`

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class CachedPart:
    """A part as the network takes it.

    Attributes:
        pixels: (N, height, width, channels) uint8, read-only and mapped from the disk: only what is used takes memory.
            Those of bad pictures are black.
        placements: N, where each image lies in its pixels; those of bad pictures mean nothing.
        bad: the pictures that could not be decoded.
    """

    pixels: npt.NDArray[np.uint8]
    placements: Sequence[Placement]
    bad: tuple[BadPicture, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Placements(Sequence[Placement]):
    """Placements that are made when they are asked for, of (N, 7) numbers in the file."""

    places: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Placement: ...
    @overload
    def __getitem__(self, index: slice) -> "_Placements": ...
    def __getitem__(self, index: Any) -> "Placement | _Placements":
        if isinstance(index, slice):
            return _Placements(self.places[index])
        height, width, down, across, top, left, frames = self.places[index].tolist()
        return Placement((int(height), int(width)), (down, across), (top, left), int(frames))


def cached_pixels(
    parts: Sequence[Samples],
    image_input: ImageInput,
    folder: Path,
    *,
    fingerprint: str,
    skip_bad: bool = False,
    on_image: Callable[[int, int], None] | None = None,
) -> list[CachedPart]:
    """Returns the pixels of parts as the network takes them, each from a file that is made at the first call.

    The file's name is a hash of the data's fingerprint, the part and the input, so another input gives another file. It
    appears whole or not at all; two processes may make it at once, and end with the same content. A list of the bad
    pictures stands beside it where there are some.

    Args:
        parts: whole parts of the data set.
        image_input: fixes height, width and colour.
        folder: holds the files; made where it is missing.
        fingerprint: of the data set.
        skip_bad: whether pictures that cannot be decoded are left out, instead of refused.
        on_image: called now and then with (images done, images in all) while a file is made.

    Raises:
        DatasetError: pictures cannot be decoded; all of them were looked at, and the first ones are named.
        WriteError: the disk is full.
    """
    cached = [_cached_part(part, image_input, folder, fingerprint, on_image or _ignore) for part in parts]
    if not skip_bad:
        refuse_bad_pictures([one for part in cached for one in part.bad], of=sum(map(len, parts)))
    return cached


def _cached_part(
    samples: Samples, image_input: ImageInput, folder: Path, fingerprint: str, on_image: Callable[[int, int], None]
) -> CachedPart:
    record = _record(image_input)
    path = folder / f"{samples.part}-{_key(samples, image_input, fingerprint)}.npy"
    images, bad = _mapped(path), bad_pictures_from_csv(_list_of_bad(path)) or ()
    if images is None or images.dtype != record or images.shape != (len(samples),):
        make_folder(folder)
        bad = _write(path, samples, Preprocessor(image_input), record, on_image)
        images = np.load(path, mmap_mode="r")
        logger.info("cache: %d images of %s, %.1f MB", len(samples), record["pixels"].shape, images.nbytes / 1e6)
    return CachedPart(images["pixels"], _Placements(images["place"]), bad)


def _record(image_input: ImageInput) -> np.dtype[Any]:
    """Returns what the file holds of one image."""
    shape = (image_input.height or 0, image_input.width or 0, image_input.channels)
    return np.dtype([("place", "<f8", (_PLACE,)), ("pixels", "u1", shape)])


def _key(samples: Samples, image_input: ImageInput, fingerprint: str) -> str:
    parts = [fingerprint, samples.part, len(samples), asdict(image_input)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _mapped(path: Path) -> npt.NDArray[Any] | None:
    try:
        images: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    except Exception:  # noqa: BLE001  (missing, or damaged, of which NumPy says many things: it is made anew)
        return None
    return images


def _list_of_bad(path: Path) -> Path:
    return path.with_suffix(".bad.csv")


def _write(
    path: Path,
    samples: Samples,
    preprocessor: Preprocessor,
    record: np.dtype[Any],
    on_image: Callable[[int, int], None],
) -> tuple[BadPicture, ...]:
    # written, not mapped: a full disk is an OSError here, and the signal SIGBUS in a mapped file
    descr = np.lib.format.dtype_to_descr(record)
    header = {"descr": descr, "fortran_order": False, "shape": (len(samples),)}
    black = bytes(record.itemsize)
    bad: list[BadPicture] = []
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for index in range(len(samples)):
            result = preprocess_or_not(samples, index, preprocessor)
            if isinstance(result, BadPicture):
                bad.append(result)
                file.write(black)
            else:
                pixels, place = result
                sides = (*place.image_size, *place.scale, *place.offset, place.frames)
                file.write(np.array(sides, "<f8").tobytes())
                file.write(pixels.data)
            if index % 256 == 255 or index == len(samples) - 1:
                on_image(index + 1, len(samples))
        _list_of_bad(path).unlink(missing_ok=True)
        if bad:  # before the pixels get their name, which without the list would pass for good ones
            write_text(_list_of_bad(path), bad_pictures_csv(bad))
    return tuple(bad)


def _ignore(done: int, total: int) -> None:
    del done, total
