"""The network that training works on: built or loaded with its optimizer, saved as the model for inference.

Models with auxiliary classifiers are trained with them and saved twice: `model.keras` is the model for inference,
`training.keras` beside it the one with the auxiliary classifiers and the optimizer's state, to train on.
"""

import contextlib
import logging
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from edgecnn.errors import KerasFileError, RunFolderError
from edgecnn.models.backbone import build_transfer_model, freeze_backbone, unfreeze_from
from edgecnn.models.build import build_model, build_training_model, get_spec
from edgecnn.models.loading import load_keras
from edgecnn.models.spec import ModelSpec
from edgecnn.models.weights import load_weights
from edgecnn.tasks.classification.losses import DistanceCrossentropy, NearestAccuracy
from edgecnn.training.config import Optimizer, Strategy, TrainConfig
from edgecnn.training.run_folder import TRAINING_MODEL

logger = logging.getLogger(__name__)

_OPTIMIZERS: Mapping[Optimizer, Callable[[float], Any]] = {
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
}


def new_model(config: TrainConfig, num_classes: int) -> keras.Model:
    """Builds a classifier with seeded or given weights, an optimizer, the loss and a metric.

    Where the backbone is frozen or unfrozen it has global average pooling and one dense layer for a head, and no
    auxiliary classifiers.

    Args:
        config: the options.
        num_classes: of the data.

    Returns:
        A compiled model whose first output is the one for inference.

    Raises:
        UsageError: the model has no backbone to freeze, or no layer to unfreeze from.
        PretrainedWeightsError: the weights cannot be had, or are of another architecture.
        KerasFileError: they are in a .keras file that is damaged or unsafe.
    """
    spec = get_spec(config.model)
    build = build_transfer_model if config.transfers else build_model
    with _scope(config.strategy):
        model = build(
            config.model,
            image_size=config.image_size,
            num_classes=num_classes,
            width=config.width,
            seed=config.seed,
        )
        _take_weights(model, spec, config)
        trained, loss_weights = (model, (1.0,)) if config.transfers else build_training_model(model, spec)
        _compile(trained, spec, _OPTIMIZERS[config.optimizer](config.rate), loss_weights=loss_weights)
    return trained


def saved_model(path: Path, strategy: Strategy = "none") -> keras.Model:
    """Loads what `save_model` saved, with its optimizer's state.

    Args:
        path: `model.keras`; `training.keras` is taken where it stands beside it.
        strategy: to train on with.

    Raises:
        RunFolderError: damaged.
    """
    training = path.with_name(TRAINING_MODEL)
    path = training if training.is_file() else path
    try:
        with _scope(strategy):
            model = load_keras(path, compiled=True)
    except KerasFileError as error:
        raise RunFolderError(f"the checkpoint is damaged: {error} Train again with --overwrite") from error
    if not model.compiled:
        raise RunFolderError(f"{path}: expected a model with its optimizer. Train again with --overwrite")
    return model


def save_model(model: keras.Model, path: Path) -> None:
    """Saves the model for inference and, where that is another one, the model that is trained beside it."""
    if len(model.outputs) > 1:
        _write_keras(model, path.with_name(TRAINING_MODEL))
        model = keras.Model(model.input, model.outputs[0], name=model.name.removesuffix("_training"))
    _write_keras(model, path)


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


def _compile(model: keras.Model, spec: ModelSpec, optimizer: Any, *, loss_weights: Sequence[float]) -> None:
    """Sets a loss for each output, and the accuracy of the first."""
    if spec.decoder == "distance":
        loss, accuracy = DistanceCrossentropy(), NearestAccuracy(name="accuracy")
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    if len(loss_weights) == 1:
        model.compile(optimizer=optimizer, loss=loss, metrics=[accuracy])
        return
    model.compile(
        optimizer=optimizer,
        loss=[loss for _ in loss_weights],
        loss_weights=list(loss_weights),
        metrics=[[accuracy], *([] for _ in loss_weights[1:])],
    )
