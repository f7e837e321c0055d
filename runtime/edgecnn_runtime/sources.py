"""What a user names as SOURCE, expanded to images one by one: files, directories, globs, lists, stdin."""

import glob
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.regular_file import open_regular_file, reason
from edgecnn_runtime.results import Failure

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One image to answer.

    Attributes:
        name: what results call it: the path, or "-"; None for an image out of memory.
        image: the path, or the image itself.
    """

    name: str | None
    image: ImageSource


def expand(sources: ImageSource | Iterable[ImageSource]) -> Iterator[Source | Failure]:
    """Yields the images that the sources name, one by one.

    Args:
        sources: one or many; paths as `iter_sources` takes them, everything else is an image.
    """
    if isinstance(sources, str | os.PathLike | bytes | Image.Image | np.ndarray):
        sources = [sources]
    for source in sources:
        if isinstance(source, str | os.PathLike):
            yield from iter_sources([os.fspath(source)])
        else:
            yield Source(None, source)


def iter_sources(sources: Sequence[str]) -> Iterator[Source | Failure]:
    """Yields the images that the sources name, in a stable order; nothing is opened but directories and lists.

    - a file: itself, whatever its name;
    - a directory: the images in it and below it, sorted by path; recognised by suffix (`IMAGE_SUFFIXES`, in any case).
      Links are followed, and no directory is read twice. Other files, dotfiles, FIFOs and broken links are skipped and
      counted in the log;
    - a glob, where no file has that very name: its matches, sorted, each like a file or a directory; "**" goes deep;
    - "@list.txt": the paths in it, one a line, relative to the working directory ("./@name" for a file of that name);
    - "-": the bytes of one image on stdin.

    Args:
        sources: in the order in which they are to be answered.

    Yields:
        A Source for an image, a Failure for a source without one: an empty directory, a glob without a match, a list
        that cannot be read. A missing file is a Source: opening it says so.
    """
    for source in sources:
        if source == "-":
            yield Source("-", sys.stdin.buffer.read())
        elif source.startswith("@"):
            yield from _listed(source)
        elif _is_directory(source):
            yield from _directory(source)
        elif glob.has_magic(source) and not os.path.lexists(source):
            yield from _matches(source)
        else:
            yield Source(source, source)


def _listed(source: str) -> Iterator[Source | Failure]:
    try:
        with open_regular_file(source[1:]) as stream:
            lines = [os.fsdecode(line) for line in stream.read().splitlines() if line.strip()]
    except OSError as error:
        yield _failure(source, f"expected a readable list of paths: {reason(error)}")
        return
    if not lines:
        yield _failure(source, "expected a list of paths, one a line, received none")
    for line in lines:
        yield from _directory(line) if _is_directory(line) else [Source(line, line)]


def _matches(source: str) -> Iterator[Source | Failure]:
    matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
    if not matches:
        yield _failure(source, "expected a file, a directory or a pattern that matches one, received no match")
    for match in matches:
        if not _is_directory(match):
            yield Source(match, match)
        elif "**" not in source:
            yield from _directory(match)


def _directory(directory: str) -> Iterator[Source | Failure]:
    images = others = 0
    for found in _walk(directory, set()):
        if found is None:
            others += 1
            continue
        images += 1
        yield found
    if images == 0:
        formats = ", ".join(IMAGE_SUFFIXES)
        yield _failure(directory, f"expected a directory with images ({formats}), received {others} other files")
    _LOGGER.info("%s: %d images, %d others skipped", directory, images, others)


def _walk(directory: str, visited: set[tuple[int, int]]) -> Iterator[Source | Failure | None]:
    """Yields images below a directory, None for each other file, and a Failure for a directory that cannot be read."""
    try:
        status = Path(directory).stat()
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield _failure(directory, f"expected a readable directory: {reason(error)}")
        return
    identity = (status.st_dev, status.st_ino)
    if identity in visited:
        return
    visited.add(identity)
    for entry in entries:
        if entry.name.startswith("."):
            yield None
        elif _is_directory(entry.path):
            yield from _walk(entry.path, visited)
        elif _is_file(entry.path) and entry.name.lower().endswith(IMAGE_SUFFIXES):
            yield Source(entry.path, entry.path)
        else:
            yield None


def _is_directory(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (False where Path.is_dir raises: name too long, no permission)


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  (as above; a FIFO and a broken link are no files)


def _failure(source: str, problem: str) -> Failure:
    return Failure(source, ImageError.kind, f"{source}: {problem}")
