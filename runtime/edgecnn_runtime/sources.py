"""What a user names as SOURCE, expanded to images one by one: files, directories, globs, lists, stdin."""

import io
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.image_files import IMAGE_SUFFIXES, MAX_PIXELS, UNREAD_SUFFIXES, is_image
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.regular_file import lost_directory, open_regular_file, reason
from edgecnn_runtime.results import Failure

# What systems and network storage keep beside pictures: thumbnails, waste, snapshots. In lower case.
SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@recycle", "@__thumb", "@recently-snapshot", "#recycle", "#snapshot", "__macosx", "$recycle.bin"),
        *("recycler", "lost+found", "system volume information", "network trash folder", "temporary items"),
    }
)
_HIDDEN, _NO_SUFFIX, _NO_FILE = "hidden or of the system", "without suffix", "broken links, FIFOs or devices"

# What an image of the most pixels takes where nothing is compressed: four channels of 16 bits, and a byte a row.
MOST_IMAGE_BYTES = 9 * MAX_PIXELS
MOST_LIST_BYTES = 64 << 20  # of a list that must be held, for there is no second look at it: half a million paths
_HEAD_BYTES, _PIECE_BYTES = 64, 1 << 20

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
    sources: Sequence[str], *, stdin: bytes | Failure | None = None, left_out: Counter[str] | None = None
) -> Iterator[Source | Failure]:
    """Yields the images that the sources name, in a stable order; nothing is opened but directories and lists.

    - a file: itself, whatever its name;
    - a directory: the images in it and below it, sorted by path; recognised by suffix (`IMAGE_SUFFIXES` and
      `UNREAD_SUFFIXES`, in any case). Links are followed, and no directory is read twice. Hidden folders and those of
      systems (.git, @eaDir, __MACOSX, ...) are not entered. What is left out is counted;
    - a glob, where no file has that very name: its matches, sorted, each like a file or a directory; "**" goes deep,
      and goes through no directory twice;
    - "@list.txt": the paths in it, one a line, relative to the working directory as all paths are, each a file or a
      directory. UTF-8, or UTF-16 with its byte order mark; names that are no UTF-8 too. Where a file is called
      "@list.txt" itself, as a shell's glob may find, it is the source if it is a picture, or if there is no "list.txt".
      "./@list.txt" is always the file, "@./list.txt" always the list;
    - "@-": the same, read from stdin line by line;
    - "-": the bytes of one image on stdin.

    Args:
        sources: in the order in which they are to be answered.
        stdin: what `read_stdin` gave; None: it is read when "-" or "@-" comes.
        left_out: gets one count for each file or folder that is left out, by its suffix, or by what it is. As it is
            read it grows, and it is whole when the iterator has ended. None: the log says it.

    Yields:
        A Source for an image, a Failure for a source without one: an empty directory, a glob without a match, a list
        that cannot be read, stdin that is closed. A missing file is a Source: opening it says so.
    """
    from edgecnn_runtime.path_patterns import has_magic  # an answer to an array needs none of it

    counts = Counter[str]() if left_out is None else left_out
    for source in sources:
        if source == "-":
            content = read_stdin() if stdin is None else stdin
            yield content if isinstance(content, Failure) else Source("-", content)
        elif _is_directory(source):
            yield from _directory(source, counts)
        elif source.startswith("@") and (source == "@-" or _names_list(source)):
            yield from _listed(source, counts, stdin)
        elif has_magic(source) and not os.path.lexists(source):
            yield from _matches(source, counts)
        else:
            yield Source(source, source)


def read_stdin(source: str = "-") -> bytes | Failure:
    """Returns what standard input holds, for a source that must be held: an image, or a list that is read twice.

    Of what does not begin like an image only the beginning is read, and that is refused as a file of it would be.

    Args:
        source: "-", or "@-" for a list.

    Returns:
        A Failure where it is closed, cannot be read, or holds more than an image or a list may.
    """
    most, what = (MOST_LIST_BYTES, "a list") if source == "@-" else (MOST_IMAGE_BYTES, "an image")
    try:
        stream, content = _stdin(), io.BytesIO()
        content.write(stream.read(_HEAD_BYTES))
        if source == "-" and not is_image(content.getvalue()):
            return content.getvalue()
        while piece := stream.read(_PIECE_BYTES):
            content.write(piece)
            if content.tell() > most:
                return _failure(
                    source,
                    f"expected {what} of at most {most // 1_000_000} MB on standard input, received more. Save it to a "
                    "file and name that.",
                )
        return content.getvalue()
    except OSError as error:
        return _failure(source, f"expected {what} on standard input: {reason(error)}")
    except MemoryError:
        return Failure(source, "memory", f"{source}: there is not enough memory to hold what standard input gives.")


def describe(left_out: Counter[str]) -> str:
    """Returns the counts in words, the most frequent first.

    >>> describe(Counter({".txt": 2, ".xmp": 12}))
    '12 .xmp, 2 .txt'
    """
    return ", ".join(f"{count} {what}" for what, count in sorted(left_out.items(), key=lambda each: (-each[1], each)))


def _stdin() -> BinaryIO:
    """Returns the bytes of standard input.

    Raises:
        OSError: it is closed, or is no stream of bytes, as in a notebook.
    """
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise OSError("received none: it is closed")
    return stream  # type: ignore[no-any-return]


def _names_list(source: str) -> bool:
    """Says whether "@name" is the list "name" and not a file that is called so; a pattern may be neither."""
    from edgecnn_runtime.path_patterns import has_magic  # as above

    if os.path.lexists(source):
        return os.path.lexists(source[1:]) and not _is_picture(source)
    return os.path.lexists(source[1:]) or not has_magic(source)


def _is_picture(path: str) -> bool:
    """Says whether a file is a picture and no text; "BM", which begins a BMP, may begin a list too."""
    try:
        with open_regular_file(path) as stream:
            head = stream.read(_HEAD_BYTES)
            return is_image(head) and b"\0" in head
    except OSError:
        return False


def _listed(source: str, left_out: Counter[str], stdin: bytes | Failure | None) -> Iterator[Source | Failure]:
    from edgecnn_runtime.path_lists import read_paths  # few answers need it

    if source == "@-" and isinstance(stdin, Failure):
        yield stdin
        return
    if source != "@-" and _is_picture(source[1:]):
        yield _failure(source, "expected a list of paths, received a picture. Name it without the @.")
        return
    beside = "" if source == "@-" else os.path.dirname(source[1:])  # noqa: PTH120  (keeps the form of the path)
    number = 0
    try:
        with _open_list(source, stdin) as stream:
            for number, path in read_paths(stream):
                if _is_directory(path):
                    yield from _directory(path, left_out)
                elif beside and not os.path.lexists(path) and os.path.lexists(os.path.join(beside, path)):  # noqa: PTH118
                    yield _failure(
                        path,
                        f"expected a path from the working directory on line {number} of {source[1:]}, received one "
                        f"from the list's own folder. Run edgecnn in {beside}, or list {os.path.join(beside, path)}.",  # noqa: PTH118
                    )
                else:
                    yield _file(path)
    except OSError as error:
        hint = "" if source == "@-" else _hint_at_file(source)
        yield _failure(source, f"expected a readable list of paths: {reason(error)}{hint}")
        return
    except ValueError as error:
        yield _failure(source, str(error))
        return
    if number == 0:
        yield _failure(source, "expected a list of paths, one a line, received none")


def _open_list(source: str, stdin: bytes | Failure | None) -> "nullcontext[BinaryIO] | BinaryIO":
    if source != "@-":
        return open_regular_file(source[1:])
    return nullcontext(io.BytesIO(stdin) if isinstance(stdin, bytes) else _stdin())


def _hint_at_file(source: str) -> str:
    """Returns what helps where "name" is no file, so that a list was hardly meant; or is a FIFO."""
    if os.path.lexists(source[1:]):
        return ". Give it on standard input, as the source @-." if not _is_file(source[1:]) else ""
    return f". A file whose name begins with @ is named ./{source}."


def _file(path: str) -> Source:
    """Returns a file; what is called "-" gets a name that is not standard input's."""
    path = os.path.join(os.curdir, path) if path == "-" else path  # noqa: PTH118
    return Source(path, path)


def _matches(source: str, left_out: Counter[str]) -> Iterator[Source | Failure]:
    from edgecnn_runtime.path_patterns import matches  # few answers need it

    found = matches(source)
    named = {part.lower() for part in Path(source).parts}
    kept = [match for match in found if not (SYSTEM_FOLDERS - named).intersection(_lower_folders(match))]
    left_out.update([_HIDDEN] * (len(found) - len(kept)))
    if not kept:
        from edgecnn_runtime.not_taken import why_not_taken  # only needed here

        received = why_not_taken(source) or f"received no match{lost_directory(source)}"
        yield _failure(source, f"expected a file, a directory or a pattern that matches one, {received}")
    for match in kept:
        if not _is_directory(match):
            yield _file(match)
        elif "**" not in source:
            yield from _directory(match, left_out)


def _lower_folders(path: str) -> list[str]:
    parts = Path(path).parts
    return [part.lower() for part in (parts if _is_directory(path) else parts[:-1])]


def _directory(directory: str, left_out: Counter[str]) -> Iterator[Source | Failure]:
    images, others = 0, Counter[str]()
    for found in _walk(directory, others):
        images += 1
        yield found
    left_out.update(others)
    if images == 0:
        yield _failure(
            directory, f"expected a directory with images ({', '.join(IMAGE_SUFFIXES)}), {_received(directory, others)}"
        )
    _LOGGER.info("%s: %d images, left out: %s", directory, images, describe(others) or "nothing")


def _received(directory: str, others: Counter[str]) -> str:
    from edgecnn_runtime.not_taken import VIDEO_SUFFIXES, frames_cure  # only needed here

    if not others:
        return f"received an empty one{lost_directory(directory)}"
    cure = f". {frames_cure()}" if any(suffix in VIDEO_SUFFIXES for suffix in others) else ""
    return f"received {others.total()} others: {describe(others)}{cure}"


def _walk(directory: str, others: Counter[str]) -> Iterator[Source | Failure]:
    """Yields the images below a directory, and a Failure for a directory that cannot be read; counts the others."""
    visited = set[tuple[int, int]]()
    folders: list[Iterator[os.DirEntry[str]]] = []  # those that lead to where we are, each with what is still to come

    def enter(folder: str) -> Iterator[Failure]:
        try:
            status = os.stat(folder)  # noqa: PTH116  (Path takes twice the time)
            if (status.st_dev, status.st_ino) in visited:
                return
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as found:
                folders.append(iter(sorted(found, key=lambda entry: entry.name)))
        except OSError as error:
            yield _failure(folder, f"expected a readable directory: {reason(error)}")

    yield from enter(directory)
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
        elif entry.name.startswith(".") or entry.name.lower() in SYSTEM_FOLDERS:
            others[_HIDDEN] += 1
        elif entry.is_dir(follow_symlinks=False) or _is_directory(entry.path):
            yield from enter(entry.path)
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
