"""Run folders that nobody named: runs/MODEL-1, runs/MODEL-2, and so on."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecnn.atomic import make_folder, writing
from edgecnn.errors import UsageError
from edgecnn.models.build import get_spec
from edgecnn.training.run_folder import UNFINISHED, is_run_folder, read_record

RUNS = Path("runs")


@contextmanager
def run_place(model: str, named: Path | None, *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Gives the folder that a training takes: the one that was named, or one in `runs`.

    Args:
        model: a catalogue name.
        named: by the user; None where nothing was.
        resume: the last run of the model there that is not finished, instead of a new folder.
        overwrite: needs a name.

    Raises:
        UnknownModelError: there is no such model.
        UsageError: there is no run to resume, or none that is named to be replaced.
        RunFolderError: the run to resume is damaged.
        WriteError: `runs` cannot be written.
    """
    get_spec(model)
    if named is not None:
        yield named
    elif overwrite:
        raise UsageError("--overwrite: expected the run folder to replace, received none. Name it with -o")
    elif resume:
        yield last_unfinished(model)
    else:
        with next_folder(model) as folder:
            yield folder


@contextmanager
def next_folder(model: str, runs: Path = RUNS) -> Iterator[Path]:
    """Makes the folder behind the last one of a model, which no other process gets; it goes where it stays empty.

    Args:
        model: whose name it has.
        runs: is made where it is missing, and goes too where it stays empty.

    Raises:
        WriteError: it cannot be made.
    """
    runs_existed = os.path.exists(runs)  # noqa: PTH110  (Path raises on a long name)
    try:
        folder = _make_next(model, runs)
        try:
            yield folder
        finally:
            with suppress(OSError):  # not empty: a run is in it
                folder.rmdir()
    finally:
        if not runs_existed:
            with suppress(OSError):
                runs.rmdir()


def last_unfinished(model: str, runs: Path = RUNS) -> Path:
    """Returns the folder of the highest number in which a training of the model began and did not end.

    Raises:
        UsageError: there is none.
        RunFolderError: one that is looked at before it is found is damaged.
    """
    for _, folder in sorted(_numbered(model, runs), reverse=True):
        if not is_run_folder(folder):
            if (folder / UNFINISHED).is_dir():  # killed before there was anything to keep
                return folder
            continue
        record = read_record(folder)
        if record.config.model == model and not record.finished:
            return folder
    raise UsageError(
        f"--resume: expected a run of {model} in {runs}/ that is not finished, received none. Leave --resume out, or "
        "name the run with -o, a finished one too"
    )


def _make_next(model: str, runs: Path) -> Path:
    number = 1 + max((number for number, _ in _numbered(model, runs)), default=0)
    while True:
        folder = runs / f"{model}-{number}"
        make_folder(runs)  # which another process removes where its own training ended before it began
        try:
            folder.mkdir()
        except FileExistsError:  # another process was faster
            number += 1
        except FileNotFoundError:
            continue
        except OSError:
            with writing(folder):
                raise
        else:
            return folder


def _numbered(model: str, runs: Path) -> list[tuple[int, Path]]:
    """Returns what has a name that could be taken, with its number; no matter what it is."""
    name = re.compile(rf"{re.escape(model)}-([0-9]+)")
    entries = list(runs.iterdir()) if os.path.isdir(runs) else []  # noqa: PTH112  (Path raises on a long name)
    return [(int(found[1]), entry) for entry in entries if (found := name.fullmatch(entry.name))]
