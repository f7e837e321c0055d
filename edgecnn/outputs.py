"""What a command may write, judged before it does anything: nothing that it reads, and nothing in a run folder.

A command names what it reads and what it will write; two functions judge. Files are compared by device and inode, so
links, hard links and names that differ in case alone are seen through.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import UsageError

RUN_CONFIG, RUN_MANIFEST = "config.json", "manifest.json"
_PICTURE = ".png"  # the only kind that is written

Identity = tuple[int, int]
Key = Identity | str


@dataclass(frozen=True, slots=True)
class Input:
    """What a command reads.

    Attributes:
        option: that names it.
        path: a file, or a folder of which any file may be read.
    """

    option: str
    path: Path


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a command will write.

    Attributes:
        option: that names it.
        path: of the file.
        is_ours: where the name was made up beside another one: says whether what stands there is ours to replace.
    """

    option: str
    path: Path
    is_ours: Callable[[Path], bool] | None = None


def check_outputs(outputs: Iterable[Output], inputs: Sequence[Input]) -> None:
    """Refuses to write over what is read, into a run folder, and over a stranger's file.

    Args:
        outputs: files.
        inputs: files and folders; those that do not exist are left to their readers.

    Raises:
        UsageError: names the output, what stands there, and the cure.
    """
    outputs = list(outputs)
    for output in outputs:
        _check_no_run_folder(output.option, output.path, _folders_of(output.path))
    _check_not_read(outputs, inputs)
    for output in outputs:
        if output.is_ours is not None and _identity(output.path) is not None and not output.is_ours(output.path):
            raise UsageError(
                f"{output.option}: {output.path} would be replaced, and edgecnn did not write it for this file. "
                f"Move it away, or name another file with {output.option}."
            )
        _check_no_sample(output, inputs)


def check_output_folder(option: str, folder: Path, inputs: Sequence[Input]) -> None:
    """Refuses a folder that is, holds or lies in what is read, or that lies in a run folder.

    Args:
        option: that names the folder.
        folder: to make, or to write into.
        inputs: files and folders; those that do not exist are left to their readers.

    Raises:
        UsageError: names both paths.
    """
    _check_no_run_folder(option, folder, Path(os.path.realpath(folder)).parents)
    here, above = _identity(folder), _identities_above(folder)
    for one in inputs:
        other = _identity(one.path)
        if other is None:
            continue
        holds = here is not None and here in _identities_above(one.path)
        if holds or other in above:
            raise UsageError(
                f"{option}: expected a folder apart from what is read, received {folder}, which "
                f"{'holds' if holds else 'is or lies in'} {one.path} of {one.option}. Name another folder."
            )
    if here is not None and folder.is_dir():
        _check_not_read([Output(option, entry) for entry in folder.iterdir() if entry.is_file()], inputs)


def check_free(folder: Path) -> None:
    """Refuses a place for a folder where there is a file, or a folder that is not empty.

    Raises:
        UsageError: names it.
    """
    if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):  # noqa: PTH110, PTH112, PTH208
        raise UsageError(f"-o: expected a folder that is missing or empty, received {folder}. Name another one.")


def holds_run(folder: Path) -> bool:
    """Says whether a folder holds a run of ours: it has both its files, and their JSON begins as ours does."""
    return all(_has_schema(folder / name) for name in (RUN_CONFIG, RUN_MANIFEST))


def is_adopted(run_dir: Path) -> bool:
    """Says whether a run folder is one of `edgecnn adopt`."""
    try:
        tree = json.loads((run_dir / RUN_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and "adopted" in tree


def recorded_data(run_dir: Path) -> str | None:
    """Returns what a run says of where its data lie; None where it is no run folder, or says nothing."""
    try:
        location = json.loads((run_dir / RUN_CONFIG).read_text(encoding="utf-8"))["data"]["location"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return location if isinstance(location, str) else None


def _check_not_read(outputs: Sequence[Output], inputs: Sequence[Input]) -> None:
    present = any(_identity(output.path) is not None for output in outputs)
    read = _read_files(inputs) if present else {_key(one.path): (one, one.path) for one in inputs}
    for output in outputs:
        if (key := _key(output.path)) in read:
            source, path = read[key]
            raise UsageError(
                f"{output.option}: expected another file than what is read, received {output.path}, which is {path} of "
                f"{source.option} and is never overwritten. Name another file."
            )


def _check_no_run_folder(option: str, path: Path, folders: Iterable[Path]) -> None:
    found = next((folder for folder in folders if holds_run(folder)), None)
    if found is not None:
        raise UsageError(
            f"{option}: expected a place outside run folders, received {path} in {found}, which holds what a training "
            "made. Name another place."
        )


def _check_no_sample(output: Output, inputs: Iterable[Input]) -> None:
    """Keeps a picture from becoming one of the data: it must not lie in a folder below them."""
    if output.path.suffix.lower() != _PICTURE:
        return
    folder = Path(os.path.realpath(output.path.parent))
    for one in inputs:
        if _is_folder(one.path) and _identity(one.path) in _identities_above(folder.parent):
            raise UsageError(
                f"{output.option}: {output.path} would become one of the pictures of {one.option} {one.path}. Name a "
                "place outside."
            )


def _folders_of(path: Path) -> list[Path]:
    """Returns the folders that a file lies in, and those that it leads into where it is a link."""
    homes = (Path(os.path.realpath(path.parent)), Path(os.path.realpath(path)).parent)
    return [folder for home in dict.fromkeys(homes) for folder in (home, *home.parents)]


def _identities_above(path: Path) -> set[Identity | None]:
    real = Path(os.path.realpath(path))
    return {_identity(folder) for folder in (real, *real.parents)} - {None}


def _read_files(inputs: Iterable[Input]) -> dict[Key, tuple[Input, Path]]:
    found: dict[Key, tuple[Input, Path]] = {}
    for one in inputs:
        for path in _files(one.path):
            found.setdefault(_key(path), (one, path))
    return found


def _key(path: Path) -> Key:
    """Returns what two paths of one file have in common, and of one place where nothing stands yet."""
    return _identity(path) or os.path.realpath(path)


def _files(path: Path) -> Iterator[Path]:
    """Yields a file, or a folder and all that is in it, behind links too, each folder once."""
    yield path
    seen: set[Identity | None] = {None}
    folders = [path] if _is_folder(path) else []
    while folders:  # os.walk takes a level of Python's stack a folder
        folder = folders.pop()
        if (identity := _identity(folder)) in seen:
            continue
        seen.add(identity)
        with contextlib.suppress(OSError), os.scandir(folder) as entries:  # what is closed to us nobody reads
            for entry in entries:
                below = Path(entry.path)
                if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and _is_folder(below)):
                    folders.append(below)
                yield below


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (False where Path.is_dir raises: a name that is too long)


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # missing, or a name that no file can have
        return None
    return status.st_dev, status.st_ino


def _has_schema(path: Path) -> bool:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and "schema_version" in tree
