"""Training a documented model into a run folder, so that a kill at any moment loses at most one epoch."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecnn.atomic import make_folder
from edgecnn.data.cache import cached_pixels
from edgecnn.data.load import load_dataset
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.split import stratified_split
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.training import run_folder
from edgecnn.training.config import TrainConfig
from edgecnn.training.curves import draw_curves
from edgecnn.training.history import History, stops_early
from edgecnn.training.progress import Progress, Silent
from edgecnn.training.record import RunRecord, check_same_run, new_record
from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.manifest import Manifest

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
        UsageError: an option is out of range or contradicts the run that is resumed; the folder is not empty.
        DatasetError: the data cannot be read.
        RunFolderError: the folder to resume is damaged.
        TrainingError: the loss is no number any more.
        WriteError: the disk is full.
    """
    progress = progress or Silent()
    _check_folder(Path(run_dir), resume=resume, overwrite=overwrite)
    progress.on_stage("data")
    run = _plan(config, Path(run_dir))
    before = _resume(run) if resume else ()
    if resume and _is_complete(before, config) and run_folder.read_record(run.path).finished:
        run_folder.remove_unfinished(run.path)
        logger.info("%s is finished already: %d epochs", run.path, len(before))
        return TrainResult(run.path, before, 0, stops_early(before, config.early_stopping))
    progress.on_stage("cache")
    pixels = _prepare(run, before, progress)
    history = _fit(run, pixels, before, progress)
    progress.on_stage("finish")
    draw_curves(history, run.path / run_folder.CURVES, temporary_folder=run.path / run_folder.UNFINISHED)
    run_folder.finish(run.path, run.record)
    logger.info("finished: %d epochs, loss %.4f, in %s", len(history), history[-1].loss, run.path)
    return TrainResult(run.path, history, len(history) - len(before), stops_early(history, config.early_stopping))


def _check_folder(run_dir: Path, *, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise UsageError("expected --resume or --overwrite, received both: one keeps the run, the other replaces it")
    if run_dir.exists() and not run_dir.is_dir():
        raise UsageError(f"{run_dir}: expected a folder for the run, received a file")
    names = {entry.name for entry in run_dir.iterdir()} if run_dir.exists() else set()
    if resume and not run_dir.exists():
        raise UsageError(f"{run_dir}: expected a run to resume, received no such folder. Leave --resume out")
    if resume and names - {run_folder.UNFINISHED} and not run_folder.is_run_folder(run_dir):
        raise RunFolderError(f"{run_dir}: expected a run to resume, received a folder without {run_folder.CONFIG}")
    if names and not resume and not overwrite:
        raise UsageError(
            f"{run_dir}: expected an empty folder, received one with {len(names)} entries. Continue the run in it with "
            "--resume, or replace it with --overwrite"
        )


def _plan(config: TrainConfig, run_dir: Path) -> _Run:
    spec = get_spec(config.model)
    dataset = load_dataset(config.data)
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


def _prepare(run: _Run, before: History, progress: Progress) -> npt.NDArray[np.uint8]:
    """Makes the folder and the cache; data that cannot be decoded leave the folder as it was."""
    unfinished = run.path / run_folder.UNFINISHED
    existed, unfinished_existed = run.path.exists(), unfinished.exists()
    try:
        make_folder(unfinished)
        pixels = cached_pixels(
            run.dataset.train,
            run.manifest.image_input,
            unfinished / "cache",
            fingerprint=run.dataset.fingerprint,
            on_image=lambda done, total: progress.on_batch(done, total, {}),
        )
    except EdgeCNNError:
        if not unfinished_existed:
            run_folder.remove_unfinished(run.path)
        if not existed and run.path.exists():
            run.path.rmdir()
        raise
    if before:
        run_folder.write_record(run.path, run.record)
    else:
        run_folder.begin(run.path, run.record, run.manifest)
    return pixels


def _fit(run: _Run, pixels: npt.NDArray[np.uint8], history: History, progress: Progress) -> History:
    from edgecnn.training import fitting  # brings TensorFlow, seconds that wrong options and data need not wait for

    progress.on_stage("model")
    checkpoint = run_folder.latest_checkpoint(run.path)
    if checkpoint is None:
        model = fitting.new_model(run.config, run.manifest.num_classes)
    else:
        model = fitting.saved_model(checkpoint.model_path)
    logger.info("model %s: %d parameters, after epoch %d", run.config.model, model.count_params(), len(history))
    data = fitting.TrainingData(pixels, run.dataset.train.class_ids, run.learned, run.held_out)
    progress.on_stage("fit")
    while not _is_complete(history, run.config):
        metrics = fitting.run_epoch(model, data, run.config, len(history) + 1, on_batch=progress.on_batch)
        history = (*history, metrics)
        run_folder.save_checkpoint(run.path, history, model.save)
        progress.on_epoch(metrics, run.config.epochs)
        logger.info("epoch %d of %d: loss %.4f", metrics.epoch, run.config.epochs, metrics.loss)
    return history
