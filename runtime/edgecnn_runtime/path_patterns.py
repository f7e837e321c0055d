"""Patterns of paths, in the words of Python's `glob`, matched in bounded time whatever the links lead to."""

import fnmatch
import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

_DEEP = "**"  # any number of folders, none of them hidden


def has_magic(path: str) -> bool:
    """Says whether a path is a pattern: holds `*`, `?` or `[`."""
    return not {"*", "?", "["}.isdisjoint(path)


def matches(pattern: str) -> list[str]:
    """Returns the paths that match, sorted, each once.

    They are those of `glob.glob(pattern, recursive=True)`, but that "d/**" does not match d itself, and that "**" goes
    through no folder a second time under another name: of several names the one without links counts. `glob` follows
    links that lead to where they lie until the system refuses the path, and takes one level of Python's stack a folder.
    """
    base, parts = _split(pattern)
    first_deep = parts.index(_DEEP) if _DEEP in parts else len(parts)
    found = set[str]()
    seen = set[tuple[int, int, int]]()  # device, inode, and which part came next
    folders = deque([(base, _open_parts(0, parts))])  # to be read, and which parts may match there
    while folders:
        folder, following = folders.popleft()
        unseen = {at for at in following if at < first_deep} | _first_time(folder, following, first_deep, seen)
        below: dict[str, set[int]] = {}
        links = set[str]()
        for name, at, entry in _steps(folder, unseen, parts):
            path = os.path.join(folder, name)  # noqa: PTH118  (keeps the form of the pattern)
            if at == len(parts) - 1 and (entry is not None or os.path.lexists(path)):
                found.add(path)
            after = _open_parts(at if parts[at] == _DEEP else at + 1, parts)
            if after and _is_folder(path, entry):
                below.setdefault(path, set()).update(after)
                links.update([path] if entry is not None and entry.is_symlink() else [])
        folders.extendleft((path, after) for path, after in below.items() if path not in links)
        folders.extend((path, after) for path, after in below.items() if path in links)
    return sorted(found - {""})


def _split(pattern: str) -> tuple[str, list[str]]:
    """Returns what stands before the first part with magic, and the parts from there on."""
    base, parts = pattern, list[str]()
    while has_magic(base):
        above, part = os.path.split(base)
        if above == base:  # a drive of Windows that holds a "?"
            break
        base = above
        if not (part == _DEEP and parts[:1] == [_DEEP]):  # "**/**" is "**"
            parts.insert(0, part)
    return base, parts


def _open_parts(at: int, parts: Sequence[str]) -> set[int]:
    """Returns which parts may come next where part `at` may: "**" stands for no folder too."""
    return {each for each in ((at, at + 1) if parts[at : at + 1] == [_DEEP] else (at,)) if each < len(parts)}


def _first_time(folder: str, following: Collection[int], first_deep: int, seen: set[tuple[int, int, int]]) -> set[int]:
    """Returns those of the parts from the first "**" on with which this folder was not read yet, and notes them."""
    deep = {at for at in following if at >= first_deep}
    if not deep:
        return deep
    try:
        status = os.stat(folder or os.curdir)  # noqa: PTH116
    except (OSError, ValueError):
        return set()
    first = {at for at in deep if (status.st_dev, status.st_ino, at) not in seen}
    seen.update((status.st_dev, status.st_ino, at) for at in first)
    return first


def _steps(
    folder: str, following: Collection[int], parts: Sequence[str]
) -> Iterator[tuple[str, int, "os.DirEntry[str] | None"]]:
    """Yields each name in a folder that a part matches, with the part's index; no entry where there is no magic."""
    entries: Mapping[str, os.DirEntry[str]] | None = None
    for at in following:
        part = parts[at]
        if not has_magic(part):
            if part or os.path.isdir(folder or os.curdir):  # noqa: PTH112  ("" stands behind the last slash)
                yield part, at, None
            continue
        if entries is None:
            entries = _entries(folder)
        names = [name for name in entries if part.startswith(".") or not name.startswith(".")]
        for name in names if part == _DEEP else fnmatch.filter(names, part):
            yield name, at, entries[name]


def _entries(folder: str) -> dict[str, "os.DirEntry[str]"]:
    try:
        with os.scandir(folder or os.curdir) as entries:
            return {entry.name: entry for entry in entries}
    except (OSError, ValueError):  # no folder, or not ours to read: nothing matches in it
        return {}


def _is_folder(path: str, entry: "os.DirEntry[str] | None") -> bool:
    try:
        return os.path.isdir(path) if entry is None else entry.is_dir()  # noqa: PTH112
    except OSError:
        return False
