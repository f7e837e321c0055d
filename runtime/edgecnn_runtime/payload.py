"""The bytes of a graph between their check and their load, where nobody can change them."""

import errno
import hashlib
import io
import os
import sys
import weakref
from pathlib import Path
from typing import BinaryIO, NoReturn

if sys.platform == "linux":
    import fcntl

# Freed, it tells glibc how large a block may be that comes from the heap instead of pages of its own, and that decides
# what becomes of ONNX Runtime's: resnet34 int8 peaked at 100 to 103 MB (n = 16), with 64 KiB at 99 to 110, with 4 MiB
# at 116.
_BUFFER_BYTES = 512 << 10


class Payload:
    """All bytes before a file's metadata, out of everyone's reach from before they were hashed.

    On Linux they lie in a sealed memory file, which ONNX Runtime reads by its path: Python holds no second copy of the
    weights then. Where there are no such files they lie in `bytes`.

    Attributes:
        size_bytes: how many there are.
        sha256: their hex digest.
    """

    def __init__(self, source: bytes | int, size_bytes: int, sha256: str) -> None:
        """Takes the bytes, or the descriptor of the memory file that holds them; `hold_payload` makes it."""
        self._source = source if isinstance(source, bytes) else _path(source)
        self.size_bytes = size_bytes
        self.sha256 = sha256
        self._finalizer = None if isinstance(source, bytes) else weakref.finalize(self, os.close, source)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a payload cannot be pickled or copied: it may be a descriptor of this process")

    @property
    def source(self) -> bytes | str:
        """What ONNX Runtime loads: the path of the memory file, or the bytes.

        Raises:
            ValueError: the memory file is closed; its descriptor's number may be another file's by now.
        """
        if self._finalizer is not None and not self._finalizer.alive:
            raise ValueError("the payload is closed")
        return self._source

    def read(self) -> bytes:
        """Returns the bytes; raises as `source` does."""
        return self.source if isinstance(self.source, bytes) else Path(self.source).read_bytes()

    def open(self) -> BinaryIO:
        """Opens the bytes as a stream of their own; raises as `source` does."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else Path(self.source).open("rb")

    def close(self) -> None:
        """Frees the memory file; a session that was loaded needs it no more."""
        if self._finalizer is not None:
            self._finalizer()


def hold_payload(stream: BinaryIO, size_bytes: int) -> Payload:
    """Copies the first bytes of a stream and hashes what was copied.

    Args:
        stream: of a file.
        size_bytes: how many bytes; where the stream ends before, those that are there.

    Raises:
        OSError: the stream cannot be read.
    """
    try:
        return _in_memory_file(stream, size_bytes)
    except OSError:  # none here, or a limit on the size of files; where the stream is to blame, it is so again below
        stream.seek(0)
        content = stream.read(size_bytes)
        return Payload(content, len(content), hashlib.sha256(content).hexdigest())


def _in_memory_file(stream: BinaryIO, size_bytes: int) -> Payload:
    descriptor = _memory_file()
    try:
        os.close(os.open(_path(descriptor), os.O_RDONLY | os.O_CLOEXEC))  # ONNX Runtime comes by this way
        copied = _copy(stream, size_bytes, descriptor)
        _seal(descriptor)
        digest = _sha256(descriptor, copied)
    except BaseException:
        os.close(descriptor)
        raise
    return Payload(descriptor, copied, digest)


def _copy(stream: BinaryIO, size_bytes: int, descriptor: int) -> int:
    """Returns how many bytes were copied."""
    copied = 0
    stream.seek(0)
    content = bytearray(min(_BUFFER_BYTES, size_bytes))
    with memoryview(content) as buffer, os.fdopen(descriptor, "wb", closefd=False) as target:
        while count := stream.readinto(buffer[: size_bytes - copied]):  # type: ignore[attr-defined]
            target.write(buffer[:count])
            copied += count
    return copied


def _sha256(descriptor: int, size_bytes: int) -> str:
    """Returns the hex digest of what lies in a sealed memory file."""
    digest, position = hashlib.sha256(), 0
    content = bytearray(min(_BUFFER_BYTES, size_bytes))
    with memoryview(content) as buffer:
        while count := os.preadv(descriptor, [buffer], position) if size_bytes else 0:
            digest.update(buffer[:count])
            position += count
    return digest.hexdigest()


def _memory_file() -> int:
    if sys.platform == "linux" and hasattr(os, "memfd_create"):
        return os.memfd_create("edgecnn", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    raise OSError(errno.ENOSYS, "this system has no memory files")


def _seal(descriptor: int) -> None:
    """Ends all writing to a memory file, of this process and of others."""
    if sys.platform == "linux":
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
