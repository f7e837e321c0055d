"""Opening a file without ever blocking: no FIFO, no device, no directory."""

import errno
import os
import stat
from typing import BinaryIO


def open_regular_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file for reading; the caller closes it.

    Args:
        path: of the file; symbolic links are followed.

    Raises:
        OSError: missing, unreadable, a directory, a FIFO, a socket or a device. A FIFO without a writer does not block.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory", os.fspath(path))
    raise OSError(errno.EINVAL, "it is not a regular file (FIFO, socket or device)", os.fspath(path))


def reason(error: OSError) -> str:
    """Returns the system's words for an error, without the path: "No such file or directory"."""
    lost = lost_directory(error.filename) if error.errno == errno.ENOENT else ""
    return f"{error.strerror or error}{lost}"


def lost_directory(path: str | None = None) -> str:
    """Returns what explains why nothing is found where a relative path leads, if the working directory was removed.

    Args:
        path: that was not found; None where it is not known.

    Returns:
        The explanation with what joins it to a sentence; "" where the directory stands, or the path is absolute.
    """
    if path is not None and os.path.isabs(path):  # noqa: PTH117  (bytes too)
        return ""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return "; the working directory was removed, so that relative paths lead nowhere"
    return ""
