"""Training a documented model into a run folder, so that a kill at any moment loses at most one epoch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgecnn.atomic import make_folder
from edgecnn.data.bad_pictures import BadPicture, good_positions
from edgecnn.data.cache import CachedPart, cached_pixels
from edgecnn.data.load import check_data, load_dataset
from edgecnn.data.parts import announce
from edgecnn.data.samples import Dataset, Samples
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.models.build import build_manifest, check_backbone_index, get_spec
from edgecnn.models.catalog import CATALOG
from edgecnn.models.published import published_reckoning
from edgecnn.reads_and_writes import check_training
from edgecnn.tasks.table import TASKS, WORST, TaskRow, load
from edgecnn.training import run_folder
from edgecnn.training.config import TrainConfig
from edgecnn.training.history import EpochMetrics, History, stops_early
from edgecnn.training.holding_out import HeldOut, announce_held_out, hold_out
from edgecnn.training.progress import Progress, Silent
from edgecnn.training.record import RunRecord, as_begun, check_same_run, new_record
from edgecnn.training.schedules import learning_rate
from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.whole_files import LOCK_NAME

if TYPE_CHECKING:
    import keras

    from edgecnn.training.event_log import EventLog
    from edgecnn.training.feeding import LabelledPixels
    from edgecnn.training.judging import EpochJudge
    from edgecnn.training.trainee import Trainee

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training came to.

    Attributes:
        run_dir: holds model.keras, perhaps best.keras and pictures, manifest.json, history.csv, curves.png and
            config.json.
        history: one entry an epoch, those before a resume among them.
        epochs_trained: how many of them this call trained; 0 where the run was finished already.
        stopped_early: whether early stopping or a callback ended it before the last epoch.
        best_epoch: the one whose weights are in best.keras; None where there is no such file.
        pictures: names of those that show what these weights make of the held-out part; empty where nothing is held
            out, or they could not be drawn.
    """

    run_dir: Path
    history: History
    epochs_trained: int
    stopped_early: bool
    best_epoch: int | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Everything that is known before the first weight exists."""

    path: Path
    config: TrainConfig
    dataset: Dataset
    manifest: Manifest
    record: RunRecord
    skip_bad: bool

    @property
    def row(self) -> TaskRow:
        """Of the model's task."""
        return TASKS[self.manifest.task]

    def held_out(self, good: npt.NDArray[np.int64]) -> HeldOut:
        """Divides the good images of the train part."""
        return hold_out(self.dataset.train, good, self.config, has_val=self.dataset.val is not None)

    def holding(self, fraction: float) -> _Run:
        """Returns the run whose options and record say how much is held out."""
        config = replace(self.config, validation=fraction)
        return replace(self, config=config, record=replace(self.record, config=config))


@dataclass(frozen=True, slots=True, eq=False)
class _Beside:
    """What goes along with a training and changes nothing of what it is asked to do."""

    tensorboard: bool
    callbacks: tuple[keras.callbacks.Callback, ...]
    progress: Progress


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """The data as the network takes them, which of them are learned from and validated with, and the part held out."""

    train: CachedPart
    val: CachedPart | None
    fraction: float
    learned: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]

    @property
    def bad(self) -> tuple[BadPicture, ...]:
        """The pictures that are left out."""
        return self.train.bad + (self.val.bad if self.val else ())


def train(
    config: TrainConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
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
        skip_bad: go on without the pictures that cannot be decoded, and list them in the run folder's skipped.csv.
        tensorboard: write TensorBoard's event logs into the run folder; they do not change what is learned. A run that
            goes on keeps writing them where it has some.
        callbacks: Keras' or your own. They are told of the whole run as `fit` would tell them: epochs count from 0 and
            on where a run goes on, `logs` hold what history.csv does, "val_loss" among it, before the epoch is kept.
            `model.stop_training = True` ends the run after the epoch, as finished. The schedule sets the learning rate
            before `on_epoch_begin`, which has the last word; what they change it by in `on_epoch_end` is kept as a
            factor. Weights that `on_train_end` changes are not saved. What callbacks count is not kept: where they
            change weights, rates or the end, a run that is resumed may go another way than one that was not.
        progress: is told how it goes.

    Raises:
        UsageError: an option is out of range, contradicts the data, the model or the run that is resumed; the folder is
            not empty, or is, holds or lies in what is read.
        DatasetError: the data cannot be read, or pictures in them: all are decoded before the first epoch.
        PretrainedWeightsError: the weights to begin with cannot be had, or are of another architecture.
        KerasFileError: they are in a .keras file that is damaged or unsafe.
        RunFolderError: the folder to resume is damaged, or another process trains in it.
        TrainingError: the loss is no number any more.
        WriteError: the disk is full.
    """
    path, progress = Path(run_dir), progress or Silent()
    check_before_training(config, path, resume=resume, overwrite=overwrite)
    with run_folder.locked(path):
        _check_content(path, resume=resume, overwrite=overwrite)
        run = _Beside(tensorboard, tuple(callbacks), progress)
        return _train(config, path, resume=resume, skip_bad=skip_bad, beside=run)


def check_before_training(
    config: TrainConfig, run_dir: str | Path, *, resume: bool = False, overwrite: bool = False
) -> None:
    """Refuses what can be refused before the data are read and TensorFlow is loaded.

    Args:
        config: the options.
        run_dir: as for `train`, like the others.
        resume: likewise.
        overwrite: likewise.

    Raises:
        UsageError: as for `train`, as far as the data need not be read for it.
        DatasetError: the data are not found.
        PretrainedWeightsError: the file of weights is missing or damaged.
        KerasFileError: it is a .keras file that is damaged or unsafe.
        RunFolderError: the folder holds no run to resume.
    """
    path, spec = Path(run_dir), get_spec(config.model)
    _check_place(path, resume=resume, overwrite=overwrite)
    check_training(config.data, config.weights, path)
    with suppress(OSError):  # missing, or not to be read, which the lock says later
        _check_content(path, resume=resume, overwrite=overwrite)
    if config.transfers and spec.backbone is None:
        known = ", ".join(row.name for row in CATALOG.values() if row.backbone is not None)
        raise UsageError(f"{spec.name} has no backbone: expected one of {known}")
    row = TASKS[spec.task]
    config.check_task(load(row.augmentations), row.options, task=spec.task)
    manifest = build_manifest(
        spec, None, image_size=config.image_size, num_classes=config.num_classes, width=config.width
    )
    if row.check_options is not None:
        load(row.check_options)(manifest, config)
    if config.unfreeze_from is not None:
        layers = published_reckoning(config.model)["layers"]  # of any size, for the layers are the same
        check_backbone_index(spec, config.unfreeze_from, sum(layer["backbone_index"] is not None for layer in layers))
    if config.weights != "none":
        from edgecnn.models.weights_file import check_weights  # loads h5py

        check_weights(spec, config.weights)
    check_data(config.data)


def _train(config: TrainConfig, path: Path, *, resume: bool, skip_bad: bool, beside: _Beside) -> TrainResult:
    progress = beside.progress
    progress.on_stage("data")
    if resume and run_folder.is_run_folder(path):
        config = as_begun(config, run_folder.read_record(path))
    run = _plan(config, path, skip_bad, earlier=_stored_manifest(path) if resume else None)
    before = _resume(run) if resume else ()
    if before and run_folder.read_record(run.path).finished:
        run_folder.remove_unfinished(run.path)
        if beside.tensorboard:
            _event_log(run, before).close()
        logger.info("%s is finished already: %d epochs", run.path, len(before))
        return _result(run, before, 0)
    with _undone_on_error(run.path):
        progress.on_stage("cache")
        pixels = _cache(run, progress)
        run = run.holding(pixels.fraction)
        progress.on_stage("model")
        trainee = _trainee(run, before)
        _check_skipped(run, before, pixels.bad)
    logger.info("model %s: %d parameters, after epoch %d", config.model, trainee.model.count_params(), len(before))
    _begin(run, before, pixels.bad)
    progress.on_stage("fit")
    history = _fit(run, trainee, pixels, before, beside)
    progress.on_stage("finish")
    from edgecnn.training.curves import draw_curves  # loads matplotlib, which wrong options need not wait for

    draw_curves(history, run.path / run_folder.CURVES, temporary_folder=run.path / run_folder.UNFINISHED)
    _draw_held_out(run, pixels, progress)
    run_folder.finish(run.path, run.record)
    logger.info("finished: %d epochs, loss %.4f, in %s", len(history), history[-1].loss, run.path)
    return _result(run, history, len(history) - len(before))


def _result(run: _Run, history: History, epochs_trained: int) -> TrainResult:
    folder = run_folder.RunFolder(run.path, run.manifest, run.record, history)
    return TrainResult(
        run.path,
        history,
        epochs_trained,
        stops_early(history, run.config.early_stopping) or len(history) < run.config.epochs,
        folder.best_epoch,
        tuple(name for name in (*run.row.picture_names, WORST) if (run.path / name).is_file()),
    )


def _check_place(run_dir: Path, *, resume: bool, overwrite: bool) -> None:
    """Checks what can be told without the folder's lock."""
    if resume and overwrite:
        raise UsageError("expected --resume or --overwrite, received both: one keeps the run, the other replaces it")
    if os.path.exists(run_dir) and not os.path.isdir(run_dir):  # noqa: PTH110, PTH112  (Path raises on a long name)
        raise UsageError(f"{run_dir}: expected a folder for the run, received a file")
    if resume and not os.path.exists(run_dir):  # noqa: PTH110  (Path raises on a long name)
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


def _stored_manifest(run_dir: Path) -> Manifest | None:
    """Returns the manifest of a run that goes on; None where it was killed before it had one."""
    if not run_folder.is_run_folder(run_dir) or not (run_dir / run_folder.MANIFEST).exists():
        return None
    return run_folder.read_manifest(run_dir)


def _plan(config: TrainConfig, run_dir: Path, skip_bad: bool, *, earlier: Manifest | None) -> _Run:
    spec = get_spec(config.model)
    row = TASKS[spec.task]
    dataset: Dataset = load(row.narrow)(load_dataset(config.data, skip_bad=skip_bad))
    if config.num_classes not in (None, len(dataset.labels)):
        raise UsageError(
            f"classes: expected {len(dataset.labels)}, those of {config.data}, received {config.num_classes}. "
            "Leave --classes out"
        )
    config.check_validation(0 if dataset.val is None else len(dataset.val))
    manifest = build_manifest(spec, dataset.labels, image_size=config.image_size, width=config.width)
    if row.fit is not None:
        manifest = load(row.fit)(manifest, dataset.train, config=config, earlier=earlier)
    run = _Run(run_dir, config, dataset, manifest, new_record(config, dataset), skip_bad)
    kept = run.held_out(np.arange(len(dataset.train)))  # says now what would go wrong after the cache
    return run if kept.fraction else run.holding(0.0)


def _resume(run: _Run) -> History:
    """Returns the epochs that need not be trained again; a finished run that is to go on is made an unfinished one."""
    if not run_folder.is_run_folder(run.path):  # killed before there was anything to keep
        return ()
    stored = run_folder.read_record(run.path)
    check_same_run(stored, run.record, where=str(run.path))
    earlier = _stored_manifest(run.path)
    if earlier is not None and earlier != run.manifest:
        raise RunFolderError(
            f"{run.path / run_folder.MANIFEST}: expected the manifest that this version of edgecnn gives "
            f"{run.config.model}, received another one. Train again with --overwrite"
        )
    if stored.finished:
        history = run_folder.RunFolder.open(run.path).history
        if not _is_complete(history, run.config) and run.config.epochs > stored.config.epochs:  # else a callback's end
            run_folder.reopen(run.path, run.record, history, better=run.row.better)
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


def _cache(run: _Run, progress: Progress) -> _Pixels:
    unfinished = run.path / run_folder.UNFINISHED
    make_folder(unfinished)
    train, val = run.dataset.train, run.dataset.val
    cached = cached_pixels(
        [train] if val is None else [train, val],
        run.manifest.image_input,
        unfinished / "cache",
        fingerprint=run.dataset.fingerprint,
        skip_bad=run.skip_bad,
        on_image=lambda done, total: progress.on_batch(done, total, {}),
    )
    found = run.held_out(good_positions(train, cached[0].bad))
    if val is None:
        announce_held_out(run.dataset.name, found)
        return _Pixels(cached[0], None, found.fraction, found.learned, found.held_out)
    announce("validating with", run.dataset, val)
    return _Pixels(cached[0], cached[1], found.fraction, found.learned, good_positions(val, cached[1].bad))


def _check_skipped(run: _Run, before: History, bad: tuple[BadPicture, ...]) -> None:
    """Checks that a run which goes on leaves out what it left out before; says what is left out."""
    if before:
        earlier = run_folder.read_skipped(run.path)
        if {(one.part, one.index) for one in earlier} != {(one.part, one.index) for one in bad}:
            raise UsageError(
                f"cannot resume {run.path}: expected the {len(earlier)} pictures of {run_folder.SKIPPED} to be left "
                f"out, received {len(bad)} that cannot be decoded. Train into another folder"
            )
    if bad:
        logger.warning("left out %d pictures that cannot be decoded: see %s", len(bad), run.path / run_folder.SKIPPED)


def _trainee(run: _Run, before: History) -> Trainee:
    from edgecnn.training import network  # brings TensorFlow, seconds that wrong options and data need not wait for

    checkpoint = run_folder.latest_checkpoint(run.path) if before else None
    if checkpoint is None:
        return network.new_trainee(run.config, run.manifest)
    return network.saved_trainee(checkpoint.model_path, run.config, run.manifest)


def _begin(run: _Run, before: History, bad: tuple[BadPicture, ...]) -> None:
    if before:
        run_folder.write_record(run.path, run.record)
    else:
        run_folder.begin(run.path, run.record, run.manifest, bad)


def _fit(run: _Run, trainee: Trainee, cached: _Pixels, history: History, beside: _Beside) -> History:
    from edgecnn.training import feeding, fitting, network  # as in _trainee
    from edgecnn.training.callbacks import RunCallbacks  # likewise

    val = run.dataset.val
    data = feeding.TrainingData(
        _labelled(run, run.dataset.train, cached.train),
        run.dataset.train.targets.classes(),
        cached.learned,
        cached.held_out,
        feeding.new_augmentation(run.config, run.row, cached.train.pixels, cached.learned),
        None if val is None or cached.val is None else _labelled(run, val, cached.val),
    )
    outputs = [output.name for output in run.manifest.outputs]
    judge, progress = _judge(run, trainee, cached), beside.progress
    events = _event_log(run, history) if beside.tensorboard or (run.path / run_folder.TENSORBOARD).exists() else None
    callbacks = RunCallbacks(beside.callbacks, trainee.model, epochs=run.config.epochs)
    callbacks.begin()
    while not _is_complete(history, run.config) and not callbacks.stopped:
        progress.on_epoch_begin(len(history) + 1, run.config.epochs)
        callbacks.begin_epoch(len(history) + 1, learning_rate(run.config, history))
        metrics = fitting.run_epoch(
            *(trainee, data, run.config, len(history) + 1),
            outputs=outputs,
            inputs=run.row.inputs or get_spec(run.config.model).learns_from,
            on_batch=progress.on_batch,
            judge=judge,
            callbacks=callbacks.of_batches,
        )
        _check_metrics(run, history, metrics)
        callbacks.end_epoch(metrics)
        history = (*history, metrics)
        run_folder.save_checkpoint(
            run.path,
            history,
            lambda path: network.save_model(trainee.model, path, run.manifest),
            better=run.row.better,
        )
        if events is not None:
            events.add(metrics, callbacks.rate)
        progress.on_epoch(metrics, run.config.epochs)
        logger.info("epoch %d of %d: loss %.4f", metrics.epoch, run.config.epochs, metrics.loss)
    callbacks.end(history[-1])
    if events is not None:
        events.close()
    return history


def _event_log(run: _Run, history: History) -> EventLog:
    from edgecnn.training.event_log import EventLog  # as in _trainee

    return EventLog(run.path / run_folder.TENSORBOARD, run.config, history)


def _check_metrics(run: _Run, history: History, metrics: EpochMetrics) -> None:
    """Checks that an epoch is scored by what those before it were, for the history has one header."""
    if history and metrics.names != history[-1].names:
        raise RunFolderError(
            f"{run.path}: expected epochs scored by {', '.join(history[-1].names)}, as those of the version of "
            f"edgecnn that began the run, received {', '.join(metrics.names)}. Train again with --overwrite"
        )


def _judge(run: _Run, trainee: Trainee, cached: _Pixels) -> EpochJudge | None:
    """Returns what scores the held-out part after each epoch besides; None where nothing does."""
    if run.row.epoch_metric is None or not cached.held_out.size:
        return None
    from edgecnn.training.judging import EpochJudge  # as in _trainee

    return EpochJudge(
        trainee.model,
        run.manifest,
        part=cached.val or cached.train,
        targets=(run.dataset.val or run.dataset.train).targets,
        positions=cached.held_out,
        batch_size=run.config.batch_size,
    )


def _draw_held_out(run: _Run, pixels: _Pixels, progress: Progress) -> None:
    checkpoint = run_folder.latest_checkpoint(run.path)
    if not pixels.held_out.size or checkpoint is None:
        return
    from edgecnn.training.picturing import draw_held_out  # as in _trainee

    draw_held_out(
        run.path,
        checkpoint.taken_path,
        run.manifest,
        (run.dataset.val or run.dataset.train).subset(pixels.held_out),
        on_batch=lambda done, total: progress.on_batch(done, total, {}),
    )


def _labelled(run: _Run, samples: Samples, cached: CachedPart) -> LabelledPixels:
    from edgecnn.training.feeding import LabelledPixels  # as in _trainee

    text = run.manifest.text_input
    words = {} if text is None else {"text": text}
    arrays = load(run.row.arrays)(samples.targets, cached.placements, cached.pixels.shape[1:3], **words)
    return LabelledPixels(cached.pixels, arrays)
