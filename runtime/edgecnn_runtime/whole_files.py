"""Files that appear whole or not at all: made in a private folder beside their place, flushed, then renamed.

A killed process leaves its private folder, `.edgecnn-` and sixteen random digits. The folder's lock is free from that
moment on, and the next process of ours that begins to write there removes it. Nothing is removed that a living process
holds, or that does not carry our lock file.
"""

import contextlib
import functools
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecnn_runtime.lock import Lock, LockedError

LOCK_NAME = ".edgecnn-lock"
_PREFIX = ".edgecnn-"
_WORKPLACE = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}")
_ATTEMPTS = 100


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """Gives a new folder in `folder`, on the same disk, that is gone with all in it when the block ends.

    Nobody else may enter it and its name cannot be guessed, so whatever opens files in it by their names follows
    nobody's links. The first one of a process in a folder removes what dead processes left there.

    Raises:
        OSError: `folder` is missing, read-only, or the disk is full.
    """
    _sweep_once(os.path.realpath(folder))
    place, lock = _make(folder)
    try:
        yield place
    finally:
        _remove(place, lock)


def publish(temporary: Path, target: Path) -> None:
    """Flushes a file, or a folder of files, to the disk and gives it its name.

    A link of that name is replaced; what it leads to is not touched.

    Raises:
        OSError: disk full, or a directory or a file is in the way.
    """
    for path in (*(sorted(temporary.iterdir()) if temporary.is_dir() else ()), temporary):
        _flush(path)
    temporary.replace(target)
    with contextlib.suppress(OSError):  # Windows and some network file systems cannot flush a folder
        _flush(target.parent)


def sweep(folder: Path) -> None:
    """Removes the private folders that dead processes of this user left in `folder`; what cannot be removed stays."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if _WORKPLACE.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and _is_own(entry.stat(follow_symlinks=False)):
                    _sweep_one(Path(entry.path))


@functools.lru_cache(maxsize=256)
def _sweep_once(folder: str) -> None:
    sweep(Path(folder))


def _is_own(status: os.stat_result) -> bool:
    return os.name == "nt" or status.st_uid == os.geteuid()


def _sweep_one(place: Path) -> None:
    names = {entry.name for entry in place.iterdir()}
    if not names:  # killed before its lock was made, or after it was removed
        place.rmdir()
        return
    lock = Lock.take_from_dead(place / LOCK_NAME)
    if lock is not None and lock.left_by is None and names != {LOCK_NAME}:
        lock.abandon()  # an empty file of our lock's name in somebody's folder
    elif lock is not None:
        _remove(place, lock)


def _make(folder: Path) -> tuple[Path, Lock]:
    for _ in range(_ATTEMPTS):
        place = folder / f"{_PREFIX}{secrets.token_hex(8)}"
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:
            continue
        try:
            return place, Lock.take(place / LOCK_NAME)
        except (FileNotFoundError, LockedError):  # another process took it for litter in between
            continue
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
    raise FileExistsError(f"no free name for a temporary folder in {folder}")


def _remove(place: Path, lock: Lock) -> None:
    """Empties and removes a private folder; its lock file goes last, so that a kill meanwhile leaves it to be swept."""
    try:
        with contextlib.suppress(OSError):
            for entry in [*place.iterdir()]:
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.name != LOCK_NAME:
                    with contextlib.suppress(OSError):
                        entry.unlink()
    finally:
        with contextlib.suppress(OSError):
            lock.release()
            place.rmdir()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
