import logging
import time
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from edgecnn.errors import PretrainedWeightsError, UsageError
from edgecnn.models import build_manifest, build_model, get_spec
from edgecnn.models.backbone import backbone_layers
from edgecnn.training.config import TrainConfig
from edgecnn.training.feeding import LabelledPixels, TrainingData
from edgecnn.training.fitting import run_epoch
from edgecnn.training.network import new_trainee, save_model, saved_trainee

SIZE = {"image_size": (67, 67), "width": 0.05}
ALEXNET = TrainConfig("alexnet", "unused", batch_size=4, learning_rate=0.01, **SIZE)


@pytest.fixture
def weights(tmp_path):
    """The file of a narrow AlexNet that was made for four classes."""
    path = tmp_path / "four.weights.h5"
    build_model("alexnet", num_classes=4, seed=1, **SIZE).save_weights(path)
    return str(path)


def manifest_of(config, num_classes=3):
    size = {"image_size": config.image_size, "width": config.width}
    return build_manifest(get_spec(config.model), None, num_classes=num_classes, **size)


def trainee_of(config, num_classes=3):
    return new_trainee(config, manifest_of(config, num_classes))


def colors(image_size, channels=3, count=8):
    """Noise of three classes to learn from; the last two are held out."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, *image_size, 3), dtype=np.uint8)[..., :channels]
    classes = np.arange(count) % 3
    train = LabelledPixels(pixels, {"class_ids": classes})
    return TrainingData(train, classes, np.arange(count - 2), np.arange(count - 2, count))


def learn(trainee, config, data=None, epoch=1, on_batch=lambda *_: None):
    output = manifest_of(config).decoder.output
    data = data or colors(trainee.model.input_shape[1:3])
    return run_epoch(trainee, data, config, epoch, outputs=(output,), on_batch=on_batch)


def changed_layers(trainee, config):
    """The layers whose weights, moving means among them, an epoch changes."""
    model = trainee.model
    before = {layer.name: layer.get_weights() for layer in model.layers}
    learn(trainee, config)
    return {
        layer.name
        for layer in model.layers
        if any((a != b).any() for a, b in zip(before[layer.name], layer.get_weights(), strict=True))
    }


def test_new_trainee_takes_all_weights_of_a_file_of_as_many_classes(weights):
    model = trainee_of(replace(ALEXNET, weights=weights), 4).model
    stored = build_model("alexnet", num_classes=4, seed=1, **SIZE)
    assert all((a == b).all() for a, b in zip(model.get_weights(), stored.get_weights(), strict=True))


def test_new_trainee_says_that_it_leaves_the_head_of_other_classes(weights, caplog):
    with caplog.at_level(logging.WARNING, logger="edgecnn"):
        trainee_of(replace(ALEXNET, weights=weights))
    assert caplog.messages == [f"weights {weights}: another head, not taken: fc6, fc7, logits"]


def test_new_trainee_gives_a_frozen_backbone_a_head_of_its_own(weights):
    config = replace(ALEXNET, weights=weights, freeze="backbone")
    trainee = trainee_of(config)
    assert [layer.name for layer in trainee.model.layers if layer.trainable and layer.weights] == ["logits"]
    assert changed_layers(trainee, config) == {"logits"}


def test_new_trainee_unfreezes_from_a_layer_on(weights):
    names = [layer.name for layer in backbone_layers(trainee_of(ALEXNET).model, get_spec("alexnet"))]
    config = replace(ALEXNET, weights=weights, unfreeze_from=names.index("conv4"))
    assert changed_layers(trainee_of(config), config) == {"conv4", "conv5", "logits"}


@pytest.mark.slow
def test_new_trainee_keeps_batch_normalization_in_inference_mode_while_frozen(tmp_path):
    config = TrainConfig("resnet34", "unused", batch_size=4, image_size=(32, 32), width=0.05, learning_rate=0.01)
    trainee_of(config).model.save_weights(tmp_path / "r.weights.h5")
    frozen = replace(config, weights=str(tmp_path / "r.weights.h5"), freeze="backbone")
    assert changed_layers(trainee_of(frozen), frozen) == {"logits"}


def test_new_trainee_refuses_an_index_beyond_the_backbone(weights):
    with pytest.raises(UsageError, match=r"expected to unfreeze from a layer from 0 to 1\d, received 99"):
        trainee_of(replace(ALEXNET, weights=weights, unfreeze_from=99))


def test_new_trainee_refuses_weights_of_another_architecture(weights):
    with pytest.raises(PretrainedWeightsError, match="not the weights of this alexnet: layer 'conv1': expected shapes"):
        trainee_of(replace(ALEXNET, weights=weights, width=0.1))


def test_new_trainee_learns_distances_so_that_the_nearest_is_right():
    config = TrainConfig("lenet5", "unused", batch_size=6)
    trainee = trainee_of(config)
    class_ids = np.arange(6) % 3
    pixels = np.zeros((6, 28, 28, 1), np.uint8)
    for index, class_id in enumerate(class_ids):
        pixels[index, :, 8 * class_id : 8 * class_id + 8] = 255
    data = TrainingData(LabelledPixels(pixels, {"class_ids": class_ids}), class_ids, np.arange(6), np.arange(6))
    losses = [learn(trainee, config, data, epoch).val_loss for epoch in range(1, 9)]
    assert losses[-1] < losses[0]
    assert (np.argmin(trainee.model(pixels), axis=1) == class_ids).all()


NARROW = TrainConfig("googlenet", "unused", image_size=(32, 32), width=0.05, batch_size=4)


@pytest.fixture(scope="module")
def with_auxiliary():
    """A trainee with two outputs for training only, that has learned for an epoch; and what was told meanwhile."""
    trainee, told = trainee_of(NARROW), []
    metrics = learn(trainee, NARROW, on_batch=lambda *news: told.append(news))
    return trainee, metrics, told


def test_new_trainee_attaches_the_auxiliary_classifiers_at_a_lower_weight(with_auxiliary):
    trainee, *_ = with_auxiliary
    assert trainee.model.output_names == ["logits", "auxiliary_4a", "auxiliary_4d"]
    weights = {"logits": 1.0, "auxiliary_4a": 0.3, "auxiliary_4d": 0.3}
    assert trainee.loss_weights == trainee.model.get_compile_config()["loss_weights"] == weights


def test_new_trainee_keeps_a_backbone_without_auxiliary_classifiers(tmp_path, with_auxiliary):
    save_model(with_auxiliary[0].model, tmp_path / "model.keras", manifest_of(NARROW))
    frozen = replace(NARROW, weights=str(tmp_path / "model.keras"), freeze="backbone")
    assert trainee_of(frozen).model.output_names == ["logits"]


def test_run_epoch_reports_the_outputs_for_inference_alone(with_auxiliary):
    trainee, metrics, told = with_auxiliary
    logits = trainee.model(colors((32, 32)).train.pixels[6:])[0]
    expected = keras.losses.sparse_categorical_crossentropy(np.array([0, 1]), logits, from_logits=True)
    assert metrics.val_loss == pytest.approx(float(np.mean(expected)), rel=1e-5)
    assert told[-1][2] == {"loss": pytest.approx(metrics.loss), "accuracy": pytest.approx(metrics.metrics["accuracy"])}


@pytest.mark.slow
def test_save_model_saves_the_model_for_inference_and_the_one_to_train_on(with_auxiliary, tmp_path):
    trainee, *_ = with_auxiliary
    save_model(trainee.model, tmp_path / "model.keras", manifest_of(NARROW))
    inference = keras.saving.load_model(tmp_path / "model.keras")
    pixels = colors((32, 32)).train.pixels
    assert (inference.name, inference.output_names) == ("googlenet", ["logits"])
    assert np.array_equal(inference(pixels), trainee.model(pixels)[0])
    again = saved_trainee(tmp_path / "model.keras", NARROW, manifest_of(NARROW))
    assert again.model.output_names == ["logits", "auxiliary_4a", "auxiliary_4d"]
    assert learn(again, NARROW, epoch=2) == learn(trainee, NARROW, epoch=2)


def test_save_model_saves_one_file_where_there_is_one_model(tmp_path):
    save_model(trainee_of(ALEXNET).model, tmp_path / "model.keras", manifest_of(ALEXNET))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


@pytest.mark.slow
def test_new_trainee_trains_mirrored_to_the_same_loss():
    config = TrainConfig("mnist_convnet", "unused", batch_size=4, image_size=(18, 18), width=0.1)
    gray = colors((18, 18), channels=1)
    plain, mirrored = (learn(trainee_of(c), c, gray) for c in (config, replace(config, strategy="mirrored")))
    assert mirrored == plain


@pytest.mark.parametrize("year", [1969, 1970, 1979, 2026, 2107, 2108])
def test_save_model_saves_whatever_the_clock_says(tmp_path, monkeypatch, year):
    """ZIP has no time before 1980 or after 2107, and a board without a battery starts in 1970."""
    real, then = time.localtime, (year, 1, 1, 0, 0, 0, 0, 1, 0)
    monkeypatch.setattr(
        time, "localtime", lambda seconds=None: time.struct_time(then) if seconds is None else real(seconds)
    )
    monkeypatch.setattr("zipfile.time", SimpleNamespace(time=time.time, localtime=lambda _: then))
    config = TrainConfig("simple_cnn", "unused", image_size=(12, 12), width=0.1)
    model = trainee_of(config).model
    model.optimizer.build(model.trainable_variables)
    save_model(model, tmp_path / "model.keras", manifest_of(config))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        assert archive.testzip() is None
    again = saved_trainee(tmp_path / "model.keras", config, manifest_of(config)).model
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    assert again.optimizer.variables[1].path == model.optimizer.variables[1].path
