"""Training a documented model into a run folder, so that a kill at any moment loses at most one epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgecnn.atomic import make_folder
from edgecnn.data.cache import cached_pixels
from edgecnn.data.load import load_dataset
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.split import stratified_split
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.models.catalog import CATALOG
from edgecnn.reads_and_writes import check_training
from edgecnn.training import run_folder
from edgecnn.training.config import TrainConfig
from edgecnn.training.curves import draw_curves
from edgecnn.training.history import History, stops_early
from edgecnn.training.progress import Progress, Silent
from edgecnn.training.record import RunRecord, check_same_run, new_record
from edgecnn.training.schedules import learning_rate
from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.whole_files import LOCK_NAME

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training came to.

    Attributes:
        run_dir: holds model.keras, manifest.json, history.csv, curves.png and config.json.
        history: one entry an epoch, those before a resume among them.
        epochs_trained: how many of them this call trained; 0 where the run was finished already.
        stopped_early: whether early stopping ended it before the last epoch.
    """

    run_dir: Path
    history: History
    epochs_trained: int
    stopped_early: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Everything that is known before the first weight exists."""

    path: Path
    config: TrainConfig
    dataset: Dataset
    manifest: Manifest
    record: RunRecord
    learned: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]


def train(
    config: TrainConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Trains a model and leaves a run folder.

    Interrupted or killed, it leaves a folder that `resume` continues, to the same weights as an uninterrupted run. A
    finished run is left alone, or trained on where `config.epochs` was raised.

    Args:
        config: the options.
        run_dir: missing or empty, unless `resume` or `overwrite` is given.
        resume: continue what is there; the options must be those that it began with, or more epochs.
        overwrite: replace the run that is there; files that training does not write stay.
        progress: is told how it goes.

    Raises:
        UsageError: an option is out of range, contradicts the data, the model or the run that is resumed; the folder is
            not empty, or is, holds or lies in what is read.
        DatasetError: the data cannot be read.
        PretrainedWeightsError: the weights to begin with cannot be had, or are of another architecture.
        KerasFileError: they are in a .keras file that is damaged or unsafe.
        RunFolderError: the folder to resume is damaged, or another process trains in it.
        TrainingError: the loss is no number any more.
        WriteError: the disk is full.
    """
    path, progress = Path(run_dir), progress or Silent()
    _check_place(path, resume=resume, overwrite=overwrite)
    check_training(config.data, config.weights, path)
    with run_folder.locked(path):
        _check_content(path, resume=resume, overwrite=overwrite)
        return _train(config, path, resume=resume, progress=progress)


def _train(config: TrainConfig, path: Path, *, resume: bool, progress: Progress) -> TrainResult:
    progress.on_stage("data")
    run = _plan(config, path)
    before = _resume(run) if resume else ()
    if resume and _is_complete(before, config) and run_folder.read_record(run.path).finished:
        run_folder.remove_unfinished(run.path)
        logger.info("%s is finished already: %d epochs", run.path, len(before))
        return TrainResult(run.path, before, 0, stops_early(before, config.early_stopping))
    with _undone_on_error(run.path):
        progress.on_stage("cache")
        pixels = _cache(run, progress)
        progress.on_stage("model")
        model = _model(run, before)
    logger.info("model %s: %d parameters, after epoch %d", config.model, model.count_params(), len(before))
    _begin(run, before)
    progress.on_stage("fit")
    history = _fit(run, model, pixels, before, progress)
    progress.on_stage("finish")
    draw_curves(history, run.path / run_folder.CURVES, temporary_folder=run.path / run_folder.UNFINISHED)
    run_folder.finish(run.path, run.record)
    logger.info("finished: %d epochs, loss %.4f, in %s", len(history), history[-1].loss, run.path)
    return TrainResult(run.path, history, len(history) - len(before), stops_early(history, config.early_stopping))


def _check_place(run_dir: Path, *, resume: bool, overwrite: bool) -> None:
    """Checks what can be told without the folder's lock."""
    if resume and overwrite:
        raise UsageError("expected --resume or --overwrite, received both: one keeps the run, the other replaces it")
    if run_dir.exists() and not run_dir.is_dir():
        raise UsageError(f"{run_dir}: expected a folder for the run, received a file")
    if resume and not run_dir.exists():
        raise UsageError(f"{run_dir}: expected a run to resume, received no such folder. Leave --resume out")


def _check_content(run_dir: Path, *, resume: bool, overwrite: bool) -> None:
    """Checks what is in the folder, once no other training can change it."""
    names = {entry.name for entry in run_dir.iterdir()} - {LOCK_NAME}
    if resume and names - {run_folder.UNFINISHED} and not run_folder.is_run_folder(run_dir):
        raise RunFolderError(f"{run_dir}: expected a run to resume, received a folder without {run_folder.CONFIG}")
    if names and not resume and not overwrite:
        raise UsageError(
            f"{run_dir}: expected an empty folder, received one with {len(names)} entries. Continue the run in it with "
            "--resume, or replace it with --overwrite"
        )


def _plan(config: TrainConfig, run_dir: Path) -> _Run:
    spec = get_spec(config.model)
    if config.transfers and spec.backbone is None:
        known = ", ".join(row.name for row in CATALOG.values() if row.backbone is not None)
        raise UsageError(f"{spec.name} has no backbone: expected one of {known}")
    dataset = load_dataset(config.data)
    if config.num_classes not in (None, len(dataset.labels)):
        raise UsageError(
            f"classes: expected {len(dataset.labels)}, those of {config.data}, received {config.num_classes}. "
            "Leave --classes out"
        )
    manifest = build_manifest(spec, dataset.labels, image_size=config.image_size, width=config.width)
    return _Run(run_dir, config, dataset, manifest, new_record(config, dataset), *_hold_out(dataset.train, config))


def _hold_out(samples: Samples, config: TrainConfig) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if config.validation is None:
        return np.arange(len(samples)), np.arange(0)
    counts = np.bincount(samples.class_ids, minlength=len(samples.labels))
    if counts.min() < 2:
        raise UsageError(
            f"validation {config.validation}: expected at least 2 training images of each class, received "
            f"{counts.min()} of {samples.labels[int(counts.argmin())]!r}. Leave --validation out, or add images"
        )
    return stratified_split(samples.class_ids, config.validation, seed=config.seed)


def _resume(run: _Run) -> History:
    """Returns the epochs that need not be trained again; a finished run that is to go on is made an unfinished one."""
    if not run_folder.is_run_folder(run.path):  # killed before there was anything to keep
        return ()
    stored = run_folder.read_record(run.path)
    check_same_run(stored, run.record, where=str(run.path))
    manifest_path = run.path / run_folder.MANIFEST
    if manifest_path.exists() and run_folder.read_manifest(run.path) != run.manifest:
        raise RunFolderError(
            f"{manifest_path}: expected the manifest that this version of edgecnn gives {run.config.model}, received "
            "another one. Train again with --overwrite"
        )
    if stored.finished:
        history = run_folder.RunFolder.open(run.path).history
        if not _is_complete(history, run.config):
            run_folder.reopen(run.path, run.record, history)
        return history
    checkpoint = run_folder.latest_checkpoint(run.path)
    return run_folder.read_history(checkpoint.history_path) if checkpoint else ()


def _is_complete(history: History, config: TrainConfig) -> bool:
    return len(history) >= config.epochs or stops_early(history, config.early_stopping)


@contextmanager
def _undone_on_error(run_dir: Path) -> Iterator[None]:
    """Leaves the folder as it was where data, options or weights turn out to be wrong."""
    unfinished_existed = (run_dir / run_folder.UNFINISHED).exists()
    try:
        yield
    except EdgeCNNError:
        if not unfinished_existed:
            run_folder.remove_unfinished(run_dir)
        raise


def _cache(run: _Run, progress: Progress) -> npt.NDArray[np.uint8]:
    unfinished = run.path / run_folder.UNFINISHED
    make_folder(unfinished)
    return cached_pixels(
        run.dataset.train,
        run.manifest.image_input,
        unfinished / "cache",
        fingerprint=run.dataset.fingerprint,
        on_image=lambda done, total: progress.on_batch(done, total, {}),
    )


def _model(run: _Run, before: History) -> keras.Model:
    from edgecnn.training import network  # brings TensorFlow, seconds that wrong options and data need not wait for

    checkpoint = run_folder.latest_checkpoint(run.path) if before else None
    if checkpoint is None:
        return network.new_model(run.config, run.manifest.num_classes)
    return network.saved_model(checkpoint.model_path, run.config.strategy)


def _begin(run: _Run, before: History) -> None:
    if before:
        run_folder.write_record(run.path, run.record)
    else:
        run_folder.begin(run.path, run.record, run.manifest)


def _fit(run: _Run, model: keras.Model, pixels: npt.NDArray[np.uint8], history: History, progress: Progress) -> History:
    from edgecnn.training import feeding, fitting, network  # as in _model

    augmentation = feeding.new_augmentation(run.config, pixels, run.learned)
    data = feeding.TrainingData(pixels, run.dataset.train.class_ids, run.learned, run.held_out, augmentation)
    while not _is_complete(history, run.config):
        model.optimizer.learning_rate = learning_rate(run.config, history)
        metrics = fitting.run_epoch(model, data, run.config, len(history) + 1, on_batch=progress.on_batch)
        history = (*history, metrics)
        run_folder.save_checkpoint(run.path, history, lambda path: network.save_model(model, path))
        progress.on_epoch(metrics, run.config.epochs)
        logger.info("epoch %d of %d: loss %.4f", metrics.epoch, run.config.epochs, metrics.loss)
    return history
