"""Files that appear whole or not at all: written under another name, flushed to the disk, then renamed."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecnn.errors import WriteError


@contextmanager
def replacing(path: Path, *, temporary_folder: Path | None = None) -> Iterator[Path]:
    """Gives a temporary path to write to, which takes the name `path` when the block ends without an error.

    Args:
        path: the file to make or to replace; its folder exists.
        temporary_folder: where the temporary file stands, on the same file system; the folder of `path` by default.

    Raises:
        WriteError: the file cannot be written (disk full, read-only, a directory of that name).
    """
    temporary = (temporary_folder or path.parent) / f".{os.getpid()}-{path.name}"
    try:
        yield temporary
        flush_to_disk(temporary)
        temporary.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # the error that led here says more
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, temporary_folder: Path | None = None) -> None:
    """Writes UTF-8 text as one whole.

    Raises:
        WriteError: the file cannot be written.
    """
    with replacing(path, temporary_folder=temporary_folder) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; one that exists is fine.

    Raises:
        WriteError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def flush_to_disk(path: Path) -> None:
    """Returns when the file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(path: Path, error: OSError) -> WriteError:
    """Returns the one-line error for a file that could not be written."""
    return WriteError(f"cannot write {path}: {error.strerror or error}")
