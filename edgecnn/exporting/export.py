"""What `edgecnn export` takes, brought to the exporters: a run folder, a .keras file, or the name of a model."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from edgecnn.adopting.original import OriginalModel
from edgecnn.data import Dataset, Samples, load_dataset
from edgecnn.data.bad_pictures import find_bad_pictures, good_positions, refuse_bad_pictures
from edgecnn.data.batches import images_together, iter_ready
from edgecnn.data.parts import announce
from edgecnn.data.targets import Answers
from edgecnn.errors import DatasetError, MissingDependencyError, UsageError
from edgecnn.evaluation import TaskMetric, class_map
from edgecnn.evaluation.scoring import explain, narrow
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.picture_size import any_size, coarsest, for_pictures
from edgecnn.exporting.source import check_source, read_labels
from edgecnn.exporting.tries_picture import draw_tries, remove_tries
from edgecnn.models.adapter import KerasModel
from edgecnn.models.any_size import resized
from edgecnn.models.pretrained import pretrained_model
from edgecnn.reads_and_writes import check_export
from edgecnn.tasks.table import TASKS, load, metric_of
from edgecnn.trained import open_trained
from edgecnn_exporters import BudgetError, CalibrationImages, ExportReport, QuantizationConfig, export
from edgecnn_runtime import Batch, Manifest
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.inputs import preprocessor_of
from edgecnn_runtime.model import Feeds
from edgecnn_runtime.tiles import cut

_CALIBRATION_SAMPLES = 300  # where nobody says how many
_CALIBRATION_SEED = 0  # of the choice of images

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Source:
    """A model, and what is known of where it came from.

    Attributes:
        model: for the pictures that the file takes.
        manifest: of the file.
        whole: where it takes tiles: the same model for pictures of any size.
        seed: of its weights.
        data: where it was trained on them, or where it was adopted, scored.
        data_fingerprint: of these.
        trained_on: the same of the data that it was trained on, where that is known.
        original: where it was adopted, the model as it came, which files are proven with.
    """

    model: keras.Model
    manifest: Manifest
    whole: KerasModel | None = None
    seed: int | None = None
    data: str | None = None
    data_fingerprint: str | None = None
    trained_on: str | None = None
    original: OriginalModel | None = None


def export_source(
    config: ExportConfig, path: str | Path, *, on_stage: Callable[[str], None] | None = None
) -> ExportReport:
    """Exports what the user named as one verified file; a file of fewer bits with a report and a picture of all tries.

    Args:
        config: what is exported, and how.
        path: of the file.
        on_stage: is told each stage's name when it begins.

    Raises:
        UsageError: options that contradict the source or cannot take effect; data whose classes are not the model's;
            a place that is read, lies in a run folder, or holds reports that are not this file's.
        RunFolderError: the run folder is damaged or not finished.
        KerasFileError: the .keras file is refused.
        PretrainedWeightsError: the weights for a name cannot be had, or are of another architecture.
        DatasetError: the data cannot be read.
        BudgetError: no file of fewer bits keeps its budgets.
        ExportError: the export failed; an earlier file of that name is intact.
    """
    check_export(config, Path(path))
    check_source(config)
    source = _open(config)
    dataset = _evaluation_data(config, source)
    if dataset is None and config.quantize == "int8":
        raise UsageError("--quantize int8: it needs images to calibrate on and to judge by. Give them with --data.")
    images = None if dataset is None else _images(config, dataset, source.manifest)
    reference = source.original or KerasModel(source.model, source.manifest)
    settle = TASKS[source.manifest.task].settle
    metrics: list[TaskMetric] = []

    def new_metric() -> TaskMetric:
        metrics.append(metric_of(source.manifest)())
        return metrics[-1]

    try:
        report = export(
            source.model,
            source.manifest,
            path,
            reference=reference,
            evaluation=None if images is None else _Labelled(images.judged, source.manifest),
            metric=None if images is None else new_metric,
            settle=None if settle is None else load(settle),
            evaluation_fingerprint=None if dataset is None else dataset.fingerprint,
            golden=None if images is None else _pictures(images.judged, config.golden_samples),
            golden_questions=None if images is None else _questions(images.judged, config.golden_samples),
            golden_samples=config.golden_samples,
            batch=config.batch,
            opset=config.opset,
            seed=source.seed,
            data_fingerprint=source.trained_on,
            quantization=_quantization(config),
            nms=config.nms,
            split=config.split,
            whole=source.whole,
            calibration=_calibration(config, dataset, images, source.manifest),
            on_stage=on_stage,
        )
    except BudgetError as error:
        draw_tries(error.tries, Path(path).resolve())
        raise
    if report.tries:
        draw_tries(report.tries, report.path, file_sha256=report.sha256)
    else:
        remove_tries(report.path)
    if images is not None:  # where source and file agree on answers that are worth nothing, that is said
        for warning in explain(metrics[0].evaluation(), reference, source.manifest, images.judged):
            logger.warning("the file answers like its source, but %s", warning)
    return report


@dataclass(frozen=True, slots=True)
class _Images:
    """What an export reads of the data; pictures that cannot be decoded are left out, or were refused."""

    judged: Samples
    calibration: Samples | None


def _images(config: ExportConfig, dataset: Dataset, manifest: Manifest) -> _Images:
    class_map(manifest, dataset.test)  # other classes are refused before anything is decoded
    announce("proving the file on", dataset, dataset.test)
    calibration = None
    if config.quantize == "int8":
        announce("calibrating on images of", dataset, dataset.train)
        calibration = _spread(dataset.train, _calibrating(config))
    parts = [dataset.test] if calibration is None else [dataset.test, calibration]
    preprocessor = preprocessor_of(manifest)
    bad = [find_bad_pictures(part, preprocessor) for part in parts]
    found = [picture for part in bad for picture in part]
    if not config.skip_bad:
        refuse_bad_pictures(found, of=sum(map(len, parts)))
    if found:
        logger.warning("left out %d pictures that cannot be decoded: %s", len(found), ", ".join(p.name for p in found))
    good = [part.subset(good_positions(part, some)) for part, some in zip(parts, bad, strict=True)]
    return _Images(good[0], good[1] if len(good) > 1 else None)


def _open(config: ExportConfig) -> _Source:
    source = _read(config)
    manifest, image = for_pictures(config, source.manifest), source.manifest.image_input
    if manifest == source.manifest:
        return source
    whole, multiple = None, coarsest(source.manifest)
    if manifest.decoder.cut_into() is not None and multiple is not None:
        free = source.model if image.height is None else resized(source.model, (None, None))
        whole = KerasModel(free, any_size(source.manifest, multiple))
    size = manifest.image_input.height, manifest.image_input.width
    model = source.model if size == (image.height, image.width) else resized(source.model, size)
    original = (
        source.original if size == (image.height, image.width) and manifest.outputs == source.manifest.outputs else None
    )
    return replace(source, model=model, manifest=manifest, whole=whole, original=original)


def _read(config: ExportConfig) -> _Source:
    if config.kind != "name":
        trained = open_trained(config.source, config.manifest, checkpoint=config.checkpoint)
        model, data = trained.load(config.imports), trained.data
        return _Source(
            model,
            trained.manifest,
            seed=None if trained.record is None else trained.record.config.seed,
            data=None if data is None else data.location,
            data_fingerprint=None if data is None else data.fingerprint,
            trained_on=trained.trained_on,
            original=trained.original(),
        )
    labels = None if config.labels is None else read_labels(config.labels)
    width = 1.0 if config.width is None else config.width
    named = pretrained_model(
        config.source, config.weights or "none", labels=labels, image_size=config.built_size, width=width
    )
    return _Source(named.model, named.manifest, seed=named.seed)


def _evaluation_data(config: ExportConfig, source: _Source) -> Dataset | None:
    """Returns the labelled images to prove the file on; where there are none, says why."""
    if config.data is not None:
        return narrow(source.manifest, load_dataset(config.data, skip_bad=config.skip_bad))
    if source.data is None:
        reason = "no data were given: name some with --data"
    else:
        try:
            dataset = narrow(source.manifest, load_dataset(source.data, skip_bad=config.skip_bad))
        except DatasetError as error:
            reason = f"the run's own data cannot be read ({error}): name a copy with --data"
        except MissingDependencyError as error:
            reason = f"of regions of the run's own data nothing is known here ({error})"
        else:
            if dataset.fingerprint == source.data_fingerprint:
                return dataset
            reason = f"{source.data} has changed since the training: name the same data with --data"
    logger.warning("parity on synthetic images and no metric, because %s", reason)
    return None


def _pictures(samples: Samples, count: int) -> list[ImageSource]:
    """Returns a few images from all over the part, which may be sorted by class."""
    return [samples[index][0] for index in _few(samples, count)]


def _questions(samples: Samples, count: int) -> list[str] | None:
    """Returns a question about each of these images, another one each time; None of data without questions."""
    if not isinstance(samples.targets, Answers):
        return None
    about = [samples.targets.truth(index) for index in _few(samples, count)]
    return [asked[number % len(asked)].text for number, asked in enumerate(about)]


def _few(samples: Samples, count: int) -> list[int]:
    return [int(index) for index in np.linspace(0, len(samples) - 1, min(count, len(samples)))]


def _quantization(config: ExportConfig) -> QuantizationConfig | None:
    if config.quantize == "none":
        return None
    budgets = {"max_drop": config.max_drop, "min_speedup": config.min_speedup}
    return QuantizationConfig(
        "float16" if config.quantize == "fp16" else "int8",
        strict=config.strict,
        reduce_range=config.reduce_range,
        tune_for=config.tune_for,
        **{name: budget for name, budget in budgets.items() if budget is not None},
    )


def _calibration(
    config: ExportConfig, dataset: Dataset | None, images: _Images | None, manifest: Manifest
) -> CalibrationImages | None:
    if dataset is None or images is None or images.calibration is None:
        return None
    return CalibrationImages(_Unlabelled(images.calibration, manifest, _calibrating(config)), dataset.fingerprint)


def _calibrating(config: ExportConfig) -> int:
    return config.calibration_samples or _CALIBRATION_SAMPLES


def _spread(samples: Samples, count: int) -> Samples:
    """Returns that many samples, the same ones every time, from all over the part: it may be sorted by class."""
    if len(samples) <= count:
        return samples
    chosen = np.random.default_rng(_CALIBRATION_SEED).choice(len(samples), count, replace=False)
    return samples.subset(np.sort(chosen))


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A part of the data in batches, its class ids as the model counts them; it can be read again."""

    samples: Samples
    manifest: Manifest

    def __post_init__(self) -> None:
        class_map(self.manifest, self.samples)  # other classes are refused before anything else is done

    def __iter__(self) -> Iterator[Batch]:
        to_model, together = class_map(self.manifest, self.samples), images_together(self.manifest)
        for batch in iter_ready(self.samples, self.manifest, together, to_model=to_model):
            yield Batch(batch.feeds, batch.placements, batch.truths)


@dataclass(frozen=True, slots=True)
class _Unlabelled:
    """A part of the data in batches without their labels, as the network takes them; it can be read again.

    Of the questions about an image one is asked: the ranges that are looked for are of what is seen.

    Attributes:
        samples: the images.
        manifest: of the model; where it takes tiles, they are those of the images.
        most: how many tiles are taken at most, as many of each image.
    """

    samples: Samples
    manifest: Manifest
    most: int

    def __iter__(self) -> Iterator[Feeds]:
        tiled, each = self.manifest.decoder.cut_into() is not None, max(1, self.most // len(self.samples))
        to_model, together = class_map(self.manifest, self.samples), images_together(self.manifest)
        for batch in iter_ready(self.samples, self.manifest, together, to_model=to_model, most_questions=1):
            yield from _some_tiles(batch.feeds, self.manifest, each) if tiled else (batch.feeds,)


def _some_tiles(feeds: Feeds, manifest: Manifest, count: int) -> Iterator[Feeds]:
    """Yields that many tiles of a picture, or all, from all over it."""
    ((name, picture),) = feeds.items()
    tiles = list(cut(picture, manifest))
    chosen = range(len(tiles)) if len(tiles) <= count else np.linspace(0, len(tiles) - 1, count).astype(int)
    yield from ({name: tiles[index]} for index in chosen)
