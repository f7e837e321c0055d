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
    return error.strerror or str(error)
