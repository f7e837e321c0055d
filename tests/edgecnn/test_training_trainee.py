"""Training by the names of outputs and arrays: of made-up models with two outputs, one of which is no class."""

import csv
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from edgecnn.data import load_dataset
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Samples
from edgecnn.data.split import stratified_split
from edgecnn.data.targets import Boxes, Objects
from edgecnn.errors import UsageError
from edgecnn.models import CATALOG, ModelSpec
from edgecnn.models.build import build_manifest, build_model
from edgecnn.models.layers import image_input, scaled_around_zero
from edgecnn.tasks.localization.trainee import trainee as localizer_trainee
from edgecnn.tasks.table import TASKS
from edgecnn.trained import open_trained
from edgecnn.training import RunFolder, TrainConfig, train
from edgecnn.training.trainee import Trainee
from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder

SPEC = ModelSpec(
    *("counter", "classification", f"{__name__}:build"),
    **{"image_size": (8, 8), "color": "gray", "num_classes": 3, "parameters": 0, "trainable_parameters": 0},
    **{"smallest_size": 1, "summary": "", "reference": ""},
    outputs=f"{__name__}:outputs",
    trainee=f"{__name__}:trainee",
)
WEIGHTS = {"number": 0.5, "logits": 2.0}


def build(*, image_size, channels, num_classes, width):
    """A number and a class; the number comes first, and the class is what is watched."""
    del width
    image = image_input(image_size, channels)
    x = layers.Flatten()(scaled_around_zero(image))
    return keras.Model(image, [layers.Dense(1, name="number")(x), layers.Dense(num_classes, name="logits")(x)])


def outputs(spec, num_classes):
    del spec
    return SoftmaxDecoder(), (OutputSpec("number", (1,)), OutputSpec("logits", (num_classes,)))


def trainee(model, spec, manifest, config):
    """Teaches the number 10 * class - 5, and a hint that stands before both in the model that is trained."""
    del spec, manifest, config
    hint = layers.Dense(1, name="hint")(model.layers[-3].output)

    def encode(arrays, image_size):
        assert image_size == (8, 8)
        numbers = tf.cast(10 * arrays["class_ids"] - 5, tf.float32)[:, tf.newaxis]
        return {"logits": arrays["class_ids"], "hint": -numbers, "number": numbers}

    return Trainee(
        keras.Model(model.input, [hint, *model.outputs], name=f"{model.name}_training"),
        losses={"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "hint": "mse", "number": "mse"},
        loss_weights={"hint": 0.1, **WEIGHTS},
        metrics={
            "number": [keras.metrics.MeanAbsoluteError(name="error")],
            "logits": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            "hint": [keras.metrics.MeanAbsoluteError(name="of_hint")],
        },
        encode=encode,
        watched="accuracy",
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Noise of three classes, each of which is bright in a column of its own."""
    class_ids = np.tile(np.arange(3), 8)
    pixels = np.random.default_rng(0).integers(0, 60, (24, 8, 8), dtype=np.uint8)
    pixels[np.arange(24), :, class_ids] = 220
    path = tmp_path_factory.mktemp("columns") / "set.npz"
    np.savez(path, x_train=pixels, y_train=class_ids, x_test=pixels, y_test=class_ids)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("edgecnn.models.build.CATALOG", {**CATALOG, SPEC.name: SPEC})
        yield TrainConfig(SPEC.name, str(path), epochs=2, batch_size=6, learning_rate=0.02, validation=0.25, seed=2)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that nobody interrupted, and its history."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    return run_dir, train(config, run_dir).history


def held_out(config):
    """The pixels and class ids that validation saw."""
    samples = load_dataset(config.data).train
    _, chosen = stratified_split(samples.targets.ids, config.validation, seed=config.seed)
    return samples.sources[chosen][..., np.newaxis], samples.targets.ids[chosen]


def test_train_learns_saves_and_reports_each_output_by_its_name(config, whole):
    run_dir, history = whole
    trained = open_trained(run_dir)
    model, manifest = trained.load(), trained.manifest  # which compares them
    assert model.output_names == [output.name for output in manifest.outputs] == ["number", "logits"]
    assert keras.saving.load_model(run_dir / "training.keras").output_names == ["hint", "number", "logits"]
    pixels, class_ids = held_out(config)
    number, logits = (np.asarray(output) for output in model(pixels))
    last = history[-1]
    assert (logits.argmax(axis=1) == class_ids).mean() == pytest.approx(last.val_metrics["accuracy"])
    errors = number[:, 0] - (10 * class_ids - 5)
    assert np.abs(errors).mean() == pytest.approx(last.val_metrics["error"], rel=1e-4)
    crossentropy = keras.losses.sparse_categorical_crossentropy(class_ids, logits, from_logits=True)
    expected = WEIGHTS["number"] * (errors**2).mean() + WEIGHTS["logits"] * np.mean(crossentropy)
    assert last.val_loss == pytest.approx(float(expected), rel=1e-4)
    assert last.loss < history[0].loss
    header, *rows = csv.reader((run_dir / "history.csv").read_text().splitlines())
    assert header == ["epoch", "loss", "accuracy", "error", "val_loss", "val_accuracy", "val_error"]
    assert [float(cell) for cell in rows[-1]] == [2, *last.series().values()]
    assert RunFolder.open(run_dir).history == history


class Interrupting:
    """Tells the names that it is told, and ends training in the last epoch."""

    def __init__(self, epoch):
        self.epoch, self.names = epoch, set()

    def on_stage(self, stage, /):
        pass

    def on_epoch_begin(self, epoch, epochs, /):
        pass

    def on_batch(self, done, total, metrics, /):
        del done, total
        self.names.update(metrics)
        if self.epoch == 1 and metrics:
            raise KeyboardInterrupt

    def on_epoch(self, metrics, epochs, /):
        del metrics, epochs
        self.epoch -= 1


def test_train_resumes_several_outputs_to_the_same_weights(config, whole, tmp_path):
    run_dir, history = whole
    broken = tmp_path / "broken"
    progress = Interrupting(epoch=2)
    with pytest.raises(KeyboardInterrupt):
        train(config, broken, progress=progress)
    assert progress.names == {"loss", "accuracy", "error"}
    assert train(config, broken, resume=True).history == history
    for name in ("model.keras", "training.keras"):
        first, second = (keras.saving.load_model(folder / name) for folder in (run_dir, broken))
        assert all((a == b).all() for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def scenes(count, *, size, seed):
    """Dark pictures with a bright box of class 0 or 1, and a smaller one in its corner that is to be left out."""
    random = np.random.default_rng(seed)
    pictures, images = np.full((count, *size), 10, np.uint8), []
    for index, picture in enumerate(pictures):
        x, y = random.integers(10, 14), random.integers(3, 8)
        picture[y : y + 8, x : x + 12] = 250
        images.append(Objects.of([(x, y, x + 3, y + 2), (x, y, x + 12, y + 8)], [1 - index % 2, index % 2]))
    return pictures, Boxes(tuple(images))


def located(spec, num_classes):
    del spec
    return SoftmaxDecoder(), (OutputSpec("logits", (num_classes,)), OutputSpec("boxes", (4,)))


def build_locator(*, image_size, channels, num_classes, width):
    del width
    image = image_input(image_size, channels)
    x = layers.Flatten()(scaled_around_zero(image))
    return keras.Model(image, [layers.Dense(num_classes, name="logits")(x), layers.Dense(4, name="boxes")(x)])


def arrays_of_boxes(targets, placements, image_size):
    assert len(image_size) == 2
    (alone,) = {len(image) for image in targets.images}
    assert alone == 1
    corners = [
        place.to_input(image.boxes.reshape(2, 2)).ravel()
        for image, place in zip(targets.images, placements, strict=True)
    ]
    class_ids = np.array([image.class_ids[0] for image in targets.images])
    return {"class_ids": class_ids, "boxes": np.array(corners, np.float32)}


def trainee_of_boxes(model, spec, manifest, config):
    del spec, manifest, config
    return Trainee(
        model,
        losses={"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "boxes": "mse"},
        loss_weights={"logits": 0.8, "boxes": 0.2},
        metrics={"boxes": [keras.metrics.MeanAbsoluteError(name="distance")]},
        encode=lambda arrays, size: {"logits": arrays["class_ids"], "boxes": arrays["boxes"] / max(size)},
        watched="distance",
    )


def shouted(manifest, train, *, config, earlier):
    assert (train.part, len(train), config.batch_size, earlier) == ("train", 14, 5, None)
    return replace(manifest, labels=tuple(label.upper() for label in manifest.labels))


def test_train_takes_data_truth_and_augmentation_from_the_tasks_row(tmp_path, monkeypatch):
    spec = replace(
        SPEC, builder=f"{__name__}:build_locator", image_size=(28, 21), resize="center_crop", crop_fraction=1.0
    )
    row = replace(
        TASKS["classification"],
        narrow="edgecnn.data.narrowing:largest_boxes",
        arrays=f"{__name__}:arrays_of_boxes",
        augmentations="edgecnn.augmentations:BOX_AUGMENTATIONS",
        augment="edgecnn.training.augmenting:with_boxes",
        outputs=f"{__name__}:located",
        trainee=f"{__name__}:trainee_of_boxes",
        fit=f"{__name__}:shouted",
    )
    monkeypatch.setitem(TASKS, "classification", row)
    monkeypatch.setattr(
        "edgecnn.models.build.CATALOG", {**CATALOG, spec.name: replace(spec, outputs=None, trainee=None)}
    )
    parts = [
        Samples(*scenes(count, size=(20, 32), seed=count), ("cat", "dog"), part)
        for part, count in (("train", 14), ("val", 5), ("test", 2))
    ]
    trained = sys.modules[train.__module__]
    monkeypatch.setattr(trained, "load_dataset", lambda *_, **__: make_dataset("drawn", "drawn", parts))
    seen = []
    from edgecnn.training import fitting

    run_epoch = fitting.run_epoch
    monkeypatch.setattr(
        fitting, "run_epoch", lambda *given, **named: seen.append(given[1]) or run_epoch(*given, **named)
    )
    config = TrainConfig(spec.name, "shapes", epochs=1, batch_size=5, augment=("scale", "crop"), balance=True)
    history = train(config, tmp_path / "run").history
    assert list(history[0].series()) == ["loss", "distance", "val_loss", "val_distance"]
    assert keras.saving.load_model(tmp_path / "run" / "model.keras").output_names == ["logits", "boxes"]
    assert RunFolder.open(tmp_path / "run").manifest.labels == ("CAT", "DOG")
    (data,) = seen
    for part, count in ((data.train, 14), (data.val, 5)):
        assert part.pixels.shape == (count, 28, 21, 1)
        for pixels, box in zip(part.pixels[..., 0], part.arrays["boxes"], strict=True):
            rows, columns = np.nonzero(pixels > 130)
            found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            np.testing.assert_allclose(np.clip(box, 0, (21, 28, 21, 28)), found, atol=1)
    assert data.classes.tolist() == [0, 1] * 7


def test_train_refuses_an_option_of_another_task(npz, tmp_path):
    with pytest.raises(UsageError, match=r"class_weight: it cannot take effect on a model for classification"):
        train(TrainConfig("simple_cnn", str(npz), class_weight=0.0), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("asked", "weights"), [(None, (0.8, 0.2)), (0.0, (0.0, 1.0)), (0.25, (0.25, 0.75))])
def test_a_localizer_weighs_its_losses_as_asked(asked, weights):
    options = {"image_size": (32, 32), "width": 0.05}
    spec = CATALOG["resnet34_localizer"]
    config = TrainConfig(spec.name, "shapes", class_weight=asked, **options)
    model, manifest = build_model(spec.name, num_classes=2, **options), build_manifest(spec, ["a", "b"], **options)
    made = localizer_trainee(model, spec, manifest, config)
    assert tuple(made.loss_weights[name] for name in ("logits", "boxes")) == pytest.approx(weights)


def test_train_refuses_an_augmentation_of_another_task(npz, tmp_path):
    config = TrainConfig("simple_cnn", str(npz), augment=("shift", "crop"))
    with pytest.raises(UsageError, match=r"names of shift, .*alexnet, which classification takes, received 'crop'"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"losses": {"number": "mse"}}, r"a loss and a weight for each of the outputs \['logits', 'number'\]"),
        ({"loss_weights": {"number": 1.0, "logits": 1.0, "others": 1.0}}, "a loss and a weight for each"),
        ({"metrics": {"others": [keras.metrics.Accuracy("accuracy")]}}, "and metrics of these"),
        ({"watched": "mean_iou"}, r"one of them 'mean_iou': \['accuracy'\]"),
        (
            {"metrics": {name: [keras.metrics.Accuracy("accuracy")] for name in WEIGHTS}},
            "expected metrics of different names",
        ),
    ],
)
def test_trainee_refuses_names_that_do_not_fit(changed, message):
    model = build(image_size=(8, 8), channels=1, num_classes=3, width=1.0)
    fitting = {
        "losses": {"number": "mse", "logits": "mse"},
        "loss_weights": WEIGHTS,
        "metrics": {"logits": [keras.metrics.Accuracy("accuracy")]},
        "watched": "accuracy",
    }
    Trainee(model, **fitting, encode=dict)
    with pytest.raises(ValueError, match=message):
        Trainee(model, **{**fitting, **changed}, encode=dict)


def test_trainee_sums_metrics_of_one_name_where_they_are_shares():
    model = build(image_size=(8, 8), channels=1, num_classes=3, width=1.0)
    parts = {"losses": {"number": "mse", "logits": "mse"}, "loss_weights": WEIGHTS, "encode": dict, "summed": True}
    metrics = {name: [keras.metrics.Mean("iou"), keras.metrics.Mean(f"of_{name}")] for name in WEIGHTS}
    made = Trainee(model, **parts, metrics=metrics, watched="iou")
    logs = {"loss": 5.0, "number_iou": 0.25, "number_of_number": 1.0, "logits_iou": 0.5, "logits_of_logits": 2.0}
    assert made.shown(logs, ["number", "logits"]) == {"loss": 5.0, "iou": 0.75, "of_number": 1.0, "of_logits": 2.0}
    with pytest.raises(ValueError, match="expected metrics of different names"):
        Trainee(model, **parts, metrics={"number": [keras.metrics.Mean("iou")] * 2}, watched="iou")
