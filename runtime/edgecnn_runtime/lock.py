"""A file that one process at a time holds, and that says which: free again at once when that process dies."""

import contextlib
import errno
import json
import os
import platform
import stat
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

flock: Any = None
with contextlib.suppress(ImportError):  # Windows has none: there the holder's number decides
    from fcntl import LOCK_EX, LOCK_NB, flock

_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # of this file system
_ATTEMPTS = 100  # each is lost only to a process that ended in that moment
_GLANCES = 20
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.

    Attributes:
        pid: of the process.
        host: the machine's name.
        started: when it took the lock, in UTC.
        namespace: within which `pid` means something; "" where that is not known.
    """

    pid: int
    host: str
    started: str
    namespace: str

    @classmethod
    def here(cls) -> "Holder":
        """Returns this process, now."""
        return cls(os.getpid(), platform.node(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", _namespace())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"

    def is_dead(self) -> bool:
        """Says whether the process surely is gone; of one on another machine, or in another container, nobody knows."""
        if (self.host, self.namespace) != (platform.node(), _namespace()) or os.name == "nt":  # there kill() kills
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False


class LockedError(BlockingIOError):
    """A living process holds the lock.

    Attributes:
        holder: which; None where it has only just taken it.
    """

    def __init__(self, path: Path, holder: Holder | None) -> None:
        super().__init__(errno.EWOULDBLOCK, f"held by {holder or 'another process'}", os.fspath(path))
        self.holder = holder


class Lock:
    """A lock that this process holds until `release`, or until it dies.

    It is the system's lock on the open file, so a process in another container counts as well, and nothing needs to be
    cleaned up after a kill. Where the system or the file system has no such locks, the process that the file names
    decides; there two processes that start in the same moment may both pass.

    Attributes:
        left_by: the process whose kill left the file; None where it was removed in good order.
    """

    def __init__(self, path: Path, descriptor: int, left_by: Holder | None = None) -> None:
        self._path, self._descriptor = path, descriptor
        self.left_by = left_by

    @classmethod
    def take(cls, path: Path) -> "Lock":
        """Makes the file where it is missing and takes its lock.

        Raises:
            LockedError: a living process holds it.
            OSError: the file cannot be made or written, or is a link.
        """
        for _ in range(_ATTEMPTS):
            descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o666)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
                left_by = _read_holder(descriptor)
                if not _acquire(descriptor, left_by, unknown_is_free=True):
                    raise LockedError(path, _living_holder(descriptor))
                if _is_at(path, descriptor):  # else its last holder has removed it meanwhile
                    _write_holder(path, descriptor)
                    return cls(path, descriptor, left_by)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise LockedError(path, None)

    @classmethod
    def take_from_dead(cls, path: Path) -> "Lock | None":
        """Takes the lock of a file that a process left when it died; None where there is no such thing.

        A file that is empty counts, since a kill may come before its first byte: then `left_by` is None.
        """
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError:
            return None
        left_by = _read_holder(descriptor)
        if left_by is None and os.fstat(descriptor).st_size:
            free = False  # somebody else's file
        else:
            free = _acquire(descriptor, left_by, unknown_is_free=False)
        if free:
            return cls(path, descriptor, left_by)
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Removes the file, then gives the lock back."""
        if flock is not None:
            self._unlink()
        self.abandon()
        if flock is None:  # Windows removes no open file
            self._unlink()

    def abandon(self) -> None:
        """Gives the lock back and leaves the file."""
        os.close(self._descriptor)

    def _unlink(self) -> None:
        with contextlib.suppress(OSError):
            if flock is None or _is_at(self._path, self._descriptor):
                self._path.unlink()


def _acquire(descriptor: int, left_by: Holder | None, *, unknown_is_free: bool) -> bool:
    """Takes the system's lock; where there are none, says whether the process that the file names is dead."""
    if flock is not None:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        else:
            return True
    return unknown_is_free if left_by is None else left_by.is_dead()


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_holder(path: Path, descriptor: int) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps({"edgecnn": "lock", **asdict(Holder.here())}).encode())
    except OSError:  # the disk is full
        path.unlink(missing_ok=True)
        raise


def _living_holder(descriptor: int) -> Holder | None:
    """Reads who holds a lock that could not be had; who took it a moment ago has not written it yet."""
    for _ in range(_GLANCES):
        holder = _read_holder(descriptor)
        if holder is not None and not holder.is_dead():
            return holder
        time.sleep(0.01)
    return None


def _read_holder(descriptor: int) -> Holder | None:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        tree = json.loads(os.read(descriptor, _MOST_BYTES))
        if tree.pop("edgecnn") != "lock":
            return None
        holder = Holder(**tree)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):  # not, or not yet, ours
        return None
    return holder if isinstance(holder.pid, int) and holder.pid > 0 else None


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
