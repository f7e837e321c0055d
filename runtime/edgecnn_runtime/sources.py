"""What a user names as SOURCE, expanded to images one by one: files, directories, globs, lists, stdin."""

import glob
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.image_files import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.regular_file import open_regular_file, reason
from edgecnn_runtime.results import Failure

# What systems and network storage keep beside pictures: thumbnails, waste, snapshots. In lower case.
SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@recycle", "@__thumb", "@recently-snapshot", "#recycle", "#snapshot", "__macosx", "$recycle.bin"),
        *("recycler", "lost+found", "system volume information", "network trash folder", "temporary items"),
    }
)
_HIDDEN, _NO_SUFFIX, _NO_FILE = "hidden or of the system", "without suffix", "broken links, FIFOs or devices"

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


def expand(sources: ImageSource | Iterable[ImageSource | Source | Failure]) -> Iterator[Source | Failure]:
    """Yields the images that the sources name, one by one.

    Args:
        sources: one or many; paths as `iter_sources` takes them, what it yields, everything else is an image.
    """
    if isinstance(sources, str | os.PathLike | bytes | Image.Image | np.ndarray):
        sources = [sources]
    for source in sources:
        if isinstance(source, str | os.PathLike):
            yield from iter_sources([os.fspath(source)])
        elif isinstance(source, Source | Failure):
            yield source
        else:
            yield Source(None, source)


def iter_sources(
    sources: Sequence[str], *, stdin: bytes | None = None, left_out: Counter[str] | None = None
) -> Iterator[Source | Failure]:
    """Yields the images that the sources name, in a stable order; nothing is opened but directories and lists.

    - a file: itself, whatever its name;
    - a directory: the images in it and below it, sorted by path; recognised by suffix (`IMAGE_SUFFIXES` and
      `UNREAD_SUFFIXES`, in any case). Links are followed, and no directory is read twice. Hidden folders and those of
      systems (.git, @eaDir, __MACOSX, ...) are not entered. What is left out is counted;
    - a glob, where no file has that very name: its matches, sorted, each like a file or a directory; "**" goes deep;
    - "@list.txt": the paths in it, one a line, relative to the working directory ("./@name" for a file of that name);
    - "-": the bytes of one image on stdin.

    Args:
        sources: in the order in which they are to be answered.
        stdin: what was read of it; None: it is read when "-" comes.
        left_out: gets one count for each file or folder that is left out, by its suffix, or by what it is. As it is
            read it grows, and it is whole when the iterator has ended. None: the log says it.

    Yields:
        A Source for an image, a Failure for a source without one: an empty directory, a glob without a match, a list
        that cannot be read. A missing file is a Source: opening it says so.
    """
    counts = Counter[str]() if left_out is None else left_out
    for source in sources:
        if source == "-":
            yield Source("-", sys.stdin.buffer.read() if stdin is None else stdin)
        elif source.startswith("@") and not _is_directory(source):
            yield from _listed(source, counts)
        elif _is_directory(source):
            yield from _directory(source, counts)
        elif glob.has_magic(source) and not os.path.lexists(source):
            yield from _matches(source, counts)
        else:
            yield Source(source, source)


def describe(left_out: Counter[str]) -> str:
    """Returns the counts in words, the most frequent first.

    >>> describe(Counter({".txt": 2, ".xmp": 12}))
    '12 .xmp, 2 .txt'
    """
    return ", ".join(f"{count} {what}" for what, count in sorted(left_out.items(), key=lambda each: (-each[1], each)))


def _listed(source: str, left_out: Counter[str]) -> Iterator[Source | Failure]:
    try:
        with open_regular_file(source[1:]) as stream:
            lines = [os.fsdecode(line) for line in stream.read().splitlines() if line.strip()]
    except OSError as error:
        yield _failure(source, f"expected a readable list of paths: {reason(error)}")
        return
    if not lines:
        yield _failure(source, "expected a list of paths, one a line, received none")
    for line in lines:
        yield from _directory(line, left_out) if _is_directory(line) else [Source(line, line)]


def _matches(source: str, left_out: Counter[str]) -> Iterator[Source | Failure]:
    found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
    named = {part.lower() for part in Path(source).parts}
    matches = [match for match in found if not (SYSTEM_FOLDERS - named).intersection(_lower_folders(match))]
    left_out.update([_HIDDEN] * (len(found) - len(matches)))
    if not matches:
        yield _failure(source, "expected a file, a directory or a pattern that matches one, received no match")
    for match in matches:
        if not _is_directory(match):
            yield Source(match, match)
        elif "**" not in source:
            yield from _directory(match, left_out)


def _lower_folders(path: str) -> list[str]:
    parts = Path(path).parts
    return [part.lower() for part in (parts if _is_directory(path) else parts[:-1])]


def _directory(directory: str, left_out: Counter[str]) -> Iterator[Source | Failure]:
    images, others = 0, Counter[str]()
    for found in _walk(directory, set(), others):
        images += 1
        yield found
    left_out.update(others)
    if images == 0:
        received = f"{others.total()} others: {describe(others)}" if others else "an empty one"
        yield _failure(
            directory, f"expected a directory with images ({', '.join(IMAGE_SUFFIXES)}), received {received}"
        )
    _LOGGER.info("%s: %d images, left out: %s", directory, images, describe(others) or "nothing")


def _walk(directory: str, visited: set[tuple[int, int]], others: Counter[str]) -> Iterator[Source | Failure]:
    """Yields the images below a directory, and a Failure for a directory that cannot be read; counts the others."""
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
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FOLDERS:
            others[_HIDDEN] += 1
        elif _is_directory(entry.path):
            yield from _walk(entry.path, visited, others)
        elif not _is_file(entry.path):
            others[_NO_FILE] += 1
        elif entry.name.lower().endswith(IMAGE_SUFFIXES + UNREAD_SUFFIXES):
            yield Source(entry.path, entry.path)
        else:
            others[Path(entry.name).suffix.lower() or _NO_SUFFIX] += 1


def _is_directory(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (False where Path.is_dir raises: name too long, no permission)


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  (as above; a FIFO and a broken link are no files)


def _failure(source: str, problem: str) -> Failure:
    return Failure(source, ImageError.kind, f"{source}: {problem}")
