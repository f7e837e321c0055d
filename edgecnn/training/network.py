"""The network that training works on: built or loaded with its optimizer, saved as the model for inference.

Models with outputs that only training has, and those whose weights are averaged, are saved twice: `model.keras` is the
model for inference, with the outputs that the manifest names and the averages, `training.keras` beside it the one with
all outputs, the weights themselves and the optimizer's state, to train on.
"""

import contextlib
import functools
import logging
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import keras
import tensorflow as tf

from edgecnn.errors import KerasFileError, RunFolderError
from edgecnn.models.any_size import resized
from edgecnn.models.backbone import freeze_backbone, unfreeze_from
from edgecnn.models.build import build_model, fitted_parts, get_spec
from edgecnn.models.loading import load_keras
from edgecnn.models.spec import ModelSpec
from edgecnn.models.weights import load_weights
from edgecnn.tasks.table import TASKS, load
from edgecnn.training.config import Optimizer, Strategy, TrainConfig
from edgecnn.training.run_folder import TRAINING_MODEL
from edgecnn.training.trainee import Trainee, averaged, is_averaged
from edgecnn_runtime.manifest import Manifest

logger = logging.getLogger(__name__)

_OPTIMIZERS: Mapping[Optimizer, Callable[..., Any]] = {
    "sgd": functools.partial(keras.optimizers.SGD, momentum=0.9),
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
}


def new_trainee(config: TrainConfig, manifest: Manifest) -> Trainee:
    """Builds a model with seeded or given weights, its losses and metrics, and an optimizer.

    Where the backbone is frozen or unfrozen, the model has the head that its task's row gives for that.

    Args:
        config: the options.
        manifest: of the model.

    Returns:
        A compiled trainee.

    Raises:
        UsageError: the model has no backbone to freeze, or no layer to unfreeze from.
        PretrainedWeightsError: the weights cannot be had, or are of another architecture.
        KerasFileError: they are in a .keras file that is damaged or unsafe.
    """
    spec = get_spec(config.model)
    transfer = TASKS[spec.task].transfer
    build = load(transfer) if config.transfers and transfer is not None else build_model
    with _scope(config.strategy):
        model = build(
            config.model,
            image_size=config.image_size,
            num_classes=manifest.num_classes,
            width=config.width,
            seed=config.seed,
            **fitted_parts(manifest),
        )
        _take_weights(model, spec, config)
        trainee = _trainee(model, spec, manifest, config)
        averaging = {} if config.ema is None else {"use_ema": True, "ema_momentum": config.ema}
        trainee.compile(_OPTIMIZERS[config.optimizer](config.rate, **averaging))
    return trainee


def saved_trainee(path: Path, config: TrainConfig, manifest: Manifest) -> Trainee:
    """Loads what `save_model` saved, with its optimizer's state.

    Args:
        path: `model.keras`; `training.keras` is taken where it stands beside it.
        config: the options.
        manifest: of the model.

    Raises:
        RunFolderError: damaged.
    """
    spec = get_spec(config.model)
    load(_trainee_place(spec))  # registers losses and metrics that the file names
    training = path.with_name(TRAINING_MODEL)
    path = training if training.is_file() else path
    try:
        with _scope(config.strategy):
            model = load_keras(path, compiled=True)
    except KerasFileError as error:
        raise RunFolderError(f"the checkpoint is damaged: {error} Train again with --overwrite") from error
    if not model.compiled:
        raise RunFolderError(f"{path}: expected a model with its optimizer. Train again with --overwrite")
    names = [output.name for output in manifest.outputs]
    if _inference_place(manifest) is None and not set(names) <= set(model.output_names):
        raise RunFolderError(
            f"{path}: expected the outputs {names}, received {model.output_names}. Train again with --overwrite"
        )
    with _scope(config.strategy):
        return replace(_trainee(inference_model(model, manifest), spec, manifest, config), model=model)


def save_model(model: keras.Model, path: Path, manifest: Manifest) -> None:
    """Saves the model for inference and, where that is another one, the model that is trained beside it.

    Args:
        model: that is trained.
        path: of the file for inference.
        manifest: names the outputs to keep.
    """
    inference = inference_model(model, manifest)
    if is_averaged(model) and inference is model:  # without the optimizer, whose state is of the weights themselves
        inference = keras.Model(model.inputs, model.outputs, name=model.name)
    if inference is not model:
        _write_keras(model, path.with_name(TRAINING_MODEL))
    with averaged(model):
        _write_keras(inference, path)


def inference_model(model: keras.Model, manifest: Manifest) -> keras.Model:
    """Returns the model with the outputs that the manifest names, in its order, on the same layers.

    It is the model itself where it has these and no others, and takes the manifest's image.
    """
    place = _inference_place(manifest)
    if place is not None:
        return cast("keras.Model", load(place)(model, manifest))
    names, image = [output.name for output in manifest.outputs], manifest.image_input
    if tuple(model.inputs[0].shape[1:3]) != (image.height, image.width):
        model = resized(model, (image.height, image.width))
    if names == model.output_names:
        return model
    by_name = dict(zip(model.output_names, model.outputs, strict=True))
    outputs = [by_name[name] for name in names]
    name = model.name.removesuffix("_training")
    return keras.Model(model.input, outputs[0] if len(outputs) == 1 else outputs, name=name)


def _inference_place(manifest: Manifest) -> str | None:
    return get_spec(manifest.model.name).inference or TASKS[manifest.task].inference


def _trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    trainee: Trainee = load(_trainee_place(spec))(model, spec, manifest, config)
    return trainee


def _trainee_place(spec: ModelSpec) -> str:
    return spec.trainee or TASKS[spec.task].trainee


def _write_keras(model: keras.Model, path: Path) -> None:
    """Saves a model, also where the clock stands in 1970, as on boards without a battery.

    Keras gives the archive's members the time of the clock, and ZIP has none before 1980 or after 2107.
    """
    if 1980 <= time.localtime().tm_year <= 2107:
        model.save(path)
        return
    folder = path.with_suffix(".members")
    keras.saving.save_model(model, folder, zipped=False)
    with zipfile.ZipFile(path, "w") as archive:
        for member in sorted(member for member in folder.iterdir() if member.is_file()):
            entry = zipfile.ZipInfo(member.name)  # of 1980
            entry.file_size = member.stat().st_size
            with member.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)
    shutil.rmtree(folder)


def _scope(strategy: Strategy) -> contextlib.AbstractContextManager[Any]:
    return tf.distribute.MirroredStrategy().scope() if strategy == "mirrored" else contextlib.nullcontext()


def _take_weights(model: keras.Model, spec: ModelSpec, config: TrainConfig) -> None:
    if config.freeze is not None:
        freeze_backbone(model, spec)
    if config.unfreeze_from is not None:
        unfreeze_from(model, spec, config.unfreeze_from)
    loaded = load_weights(model, spec, config.weights)
    if loaded.left_out:
        logger.warning("weights %s: another head, not taken: %s", loaded.source, ", ".join(loaded.left_out))
    if loaded.layers:
        logger.info("weights %s: taken for %d layers", loaded.source, loaded.layers)
