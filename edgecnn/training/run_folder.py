"""The run folder: what stands in it, how it is read back, and how training keeps it whole at every moment.

::

    RUN_DIR/
        config.json     the options, the data's fingerprint, versions, and whether the run is finished
        manifest.json   the model's manifest, written before the first weight
        history.csv     one row an epoch
        skipped.csv     pictures that could not be decoded, where there were some and --skip-bad left them out
        curves.png      the learning curves      } at the end
        worst.png       the held-out images that the best weights answer worst, and what else the task draws of that
                        part: confusion.png, or precision_recall.png, ap.png and f1.png, or kinds.png
        model.keras     the last weights         }
        best.keras      those after the epoch that the held-out part was scored best after, where one is held out
        training.keras  the same with what only training has, for models that have such a thing
        tensorboard/    event logs, where they were asked for
        unfinished/     only while the run is not finished
            cache/          the data as the network takes it
            epoch-0003/     the last checkpoint: model.keras with the optimizer's state, best.keras, history.csv
        .edgecnn-lock   only while a process trains in the folder, or where it was killed

Whatever is half-written stands in `unfinished/`, and takes its name by one rename. `config.json` is the last word: a
run is finished when it says so.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.atomic import make_folder, replacing, write_text, writing
from edgecnn.data.bad_pictures import BadPicture, bad_pictures_csv, bad_pictures_from_csv
from edgecnn.errors import RunFolderError
from edgecnn.outputs import RUN_CONFIG, RUN_MANIFEST, is_adopted
from edgecnn.tasks.table import TASKS, WORST
from edgecnn.training.history import Better, History, best_epoch, history_from_csv, history_to_csv
from edgecnn.training.record import RunRecord
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.lock import Lock, LockedError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.whole_files import LOCK_NAME, publish, sweep, workplace

CONFIG, MANIFEST = RUN_CONFIG, RUN_MANIFEST
MODEL, HISTORY, CURVES = "model.keras", "history.csv", "curves.png"
TRAINING_MODEL, SKIPPED, BEST = "training.keras", "skipped.csv", "best.keras"
UNFINISHED, TENSORBOARD = "unfinished", "tensorboard"
PICTURES = tuple(dict.fromkeys((*(name for row in TASKS.values() for name in row.picture_names), WORST)))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A finished run.

    Attributes:
        path: the folder.
        manifest: of the model.
        record: the options, the data and the versions.
        history: one entry an epoch.
    """

    path: Path
    manifest: Manifest
    record: RunRecord
    history: History

    @property
    def model_path(self) -> Path:
        """The Keras model with the last weights."""
        return self.path / MODEL

    @property
    def best_path(self) -> Path:
        """The Keras model with those of the best epoch; missing where `best_epoch` is None."""
        return self.path / BEST

    @property
    def best_epoch(self) -> int | None:
        """The epoch of `best.keras`; None where there is no such file, or nothing is held out to choose it by."""
        return best_epoch(self.history, TASKS[self.manifest.task].better) if self.best_path.is_file() else None

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Reads a run folder.

        Raises:
            RunFolderError: not a run folder, damaged, or not finished; says whether resuming would finish it.
        """
        path = Path(path)
        record = read_record(path)
        if not record.finished:
            saved = latest_checkpoint(path)
            done = (
                f"after epoch {saved.epoch} of {record.config.epochs}" if saved else "before its first epoch was done"
            )
            raise RunFolderError(f"{path}: training was interrupted {done}. Finish it with edgecnn train … --resume")
        if not (path / MODEL).is_file():
            raise RunFolderError(f"{path}: {MODEL} is missing from a finished run. Train again with --overwrite")
        return cls(path, read_manifest(path), record, read_history(path / HISTORY))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after an epoch.

    Attributes:
        path: its folder.
        epoch: how many epochs are in it.
    """

    path: Path
    epoch: int

    @property
    def model_path(self) -> Path:
        """The Keras model with the optimizer's state."""
        return self.path / MODEL

    @property
    def taken_path(self) -> Path:
        """The Keras model that is taken by default once the run is finished: the best, where there is one."""
        best = self.path / BEST
        return best if best.is_file() else self.model_path

    @property
    def history_path(self) -> Path:
        """The learning curve up to this epoch."""
        return self.path / HISTORY


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps every other training out of the folder meanwhile, and removes what a killed one left half-written there.

    The folder and those above it are made where they are missing, and those that were made are removed again where
    nothing was left in them.

    Raises:
        RunFolderError: another process trains in the folder; it is named.
        WriteError: the folder cannot be written.
    """
    missing = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]  # noqa: PTH110
    try:
        make_folder(path)
        with writing(path / LOCK_NAME):
            lock = _take_lock(path)
        try:
            for folder in (path / UNFINISHED, path / UNFINISHED / "cache"):
                sweep(folder)
            yield
        finally:
            lock.release()
    finally:
        with suppress(OSError):  # not there, or not empty: others work in the folders above
            for folder in missing:
                folder.rmdir()


def _take_lock(path: Path) -> Lock:
    try:
        return Lock.take(path / LOCK_NAME)
    except LockedError as error:
        raise RunFolderError(
            f"{path}: expected a folder that nobody trains in, received one in the hands of "
            f"{error.holder or 'another process'}. Wait for its end, end it, or name another folder with -o"
        ) from error


def is_run_folder(path: str | Path) -> bool:
    """Says whether training ever began in this folder."""
    return (Path(path) / CONFIG).is_file()


def read_record(path: Path) -> RunRecord:
    """Reads `config.json`.

    Raises:
        RunFolderError: missing or damaged.
    """
    if not os.path.isdir(path):  # noqa: PTH112  (Path raises on a long name)
        raise RunFolderError(
            f"{path}: expected a run folder, received {'a file' if os.path.exists(path) else 'nothing'}"  # noqa: PTH110
        )
    if is_adopted(path):
        raise RunFolderError(f"{path}: expected a run of edgecnn train, received a model that was adopted")
    return RunRecord.from_json(_text(path / CONFIG), what=str(path / CONFIG))


def read_manifest(path: Path) -> Manifest:
    """Reads `manifest.json`.

    Raises:
        RunFolderError: missing or damaged.
    """
    try:
        return Manifest.from_json(_text(path / MANIFEST))
    except ManifestError as error:
        raise RunFolderError(f"{path / MANIFEST} is damaged: {error}") from error


def read_history(path: Path) -> History:
    """Reads a `history.csv`.

    Raises:
        RunFolderError: missing or damaged.
    """
    return history_from_csv(_text(path), what=str(path))


def write_record(path: Path, record: RunRecord) -> None:
    """Replaces `config.json`.

    Raises:
        WriteError: it cannot be written.
    """
    write_text(path / CONFIG, record.to_json(), temporary_folder=path / UNFINISHED)


def latest_checkpoint(path: Path) -> Checkpoint | None:
    """Returns the last whole checkpoint of a run that is not finished, or None."""
    found = [
        Checkpoint(folder, int(folder.name[len("epoch-") :]))
        for folder in (path / UNFINISHED).glob("epoch-*")
        if folder.name[len("epoch-") :].isdecimal()
    ]
    return max(found, key=lambda checkpoint: checkpoint.epoch, default=None)


def save_checkpoint(
    path: Path, history: History, save_model: Callable[[Path], None], *, better: Better = "higher"
) -> None:
    """Makes the checkpoint after an epoch and removes the one before it; killed at any moment, one of them is whole.

    The best epoch's model goes along from checkpoint to checkpoint, so that it always fits the history beside it. Where
    it is gone, as in a run that began before there was such a file, there is none until an epoch is the best of all.

    Args:
        path: the run folder.
        history: one entry an epoch; the last one is this epoch's.
        save_model: writes the model to the path it is given, and perhaps `training.keras` beside it.
        better: as for `best_epoch`.

    Raises:
        WriteError: the disk is full; the earlier checkpoint is intact.
    """
    unfinished = path / UNFINISHED
    folder = unfinished / f"epoch-{len(history):04d}"
    make_folder(unfinished)
    earlier = latest_checkpoint(path)
    best = (earlier.path if earlier else path) / BEST
    with writing(folder / MODEL), workplace(unfinished) as place:
        made = place / folder.name
        made.mkdir()
        save_model(made / MODEL)
        if best_epoch(history, better) == len(history):
            _link(made / MODEL, made / BEST)
        elif best.exists():
            _link(best, made / BEST)
        (made / HISTORY).write_text(history_to_csv(history), encoding="utf-8")
        publish(made, folder)
    for older in unfinished.glob("epoch-*"):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)
    write_text(path / HISTORY, history_to_csv(history), temporary_folder=unfinished)


def read_skipped(path: Path) -> tuple[BadPicture, ...]:
    """Returns the pictures that a run left out.

    Raises:
        RunFolderError: `skipped.csv` is damaged.
    """
    if not (path / SKIPPED).exists():
        return ()
    skipped = bad_pictures_from_csv(path / SKIPPED)
    if skipped is None:
        raise RunFolderError(f"{path / SKIPPED} is damaged. Train again with --overwrite")
    return skipped


def begin(path: Path, record: RunRecord, manifest: Manifest, skipped: Sequence[BadPicture] = ()) -> None:
    """Makes a folder that holds a run at its beginning; what an earlier run left there goes.

    Args:
        path: holds the folder `unfinished`.
        record: of the new run.
        manifest: of the new run.
        skipped: pictures that it leaves out.

    Raises:
        WriteError: the folder cannot be written.
    """
    for older in (path / UNFINISHED).glob("epoch-*"):  # before the new record, which they do not belong to
        shutil.rmtree(older)
    write_record(path, record)
    write_text(path / MANIFEST, manifest.to_json() + "\n", temporary_folder=path / UNFINISHED)
    for name in (MODEL, BEST, TRAINING_MODEL, HISTORY, CURVES, SKIPPED, *PICTURES):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / TENSORBOARD, ignore_errors=True)
    if skipped:
        write_text(path / SKIPPED, bad_pictures_csv(skipped), temporary_folder=path / UNFINISHED)


def reopen(path: Path, record: RunRecord, history: History, *, better: Better = "higher") -> None:
    """Makes a finished run one that is not, with its models as the checkpoint, so that it can go on.

    Args:
        path: the run folder.
        record: of the run as it goes on.
        history: one entry an epoch so far.
        better: as for `best_epoch`.

    Raises:
        WriteError: the folder cannot be written.
    """
    remove_unfinished(path)
    make_folder(path / UNFINISHED)
    save_checkpoint(path, history, lambda copy: _link_models(path, copy.parent), better=better)
    write_record(path, record)


def finish(path: Path, record: RunRecord) -> None:
    """Puts the last checkpoint's files into place, says in `config.json` that the run is finished, and cleans up.

    Raises:
        RunFolderError: there is no checkpoint.
        WriteError: the folder cannot be written.
    """
    checkpoint = latest_checkpoint(path)
    if checkpoint is None:
        raise RunFolderError(f"{path}: expected a checkpoint in {UNFINISHED}/, received none")
    for name in (HISTORY, TRAINING_MODEL, BEST, MODEL):
        if (checkpoint.path / name).exists():
            with replacing(path / name, temporary_folder=path / UNFINISHED) as temporary:
                _link(checkpoint.path / name, temporary)
    write_record(path, replace(record, finished=True))
    remove_unfinished(path)


def remove_unfinished(path: Path) -> None:
    """Removes what only a run in progress needs."""
    shutil.rmtree(path / UNFINISHED, ignore_errors=True)


def _link_models(source: Path, target: Path) -> None:
    for name in (MODEL, TRAINING_MODEL):
        if name == MODEL or (source / name).exists():
            _link(source / name, target / name)


def _link(source: Path, target: Path) -> None:
    """Gives a file a second name, or copies it where the file system knows none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunFolderError(f"{path.parent}: {path.name} is missing, so this is not a whole run folder") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}") from error
