import logging
import time
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from edgecnn.errors import PretrainedWeightsError, UsageError
from edgecnn.models import build_model, get_spec
from edgecnn.models.backbone import backbone_layers
from edgecnn.training.config import TrainConfig
from edgecnn.training.feeding import TrainingData
from edgecnn.training.fitting import run_epoch
from edgecnn.training.network import new_model, save_model, saved_model

SIZE = {"image_size": (67, 67), "width": 0.05}
ALEXNET = TrainConfig("alexnet", "unused", batch_size=4, learning_rate=0.01, **SIZE)


@pytest.fixture
def weights(tmp_path):
    """The file of a narrow AlexNet that was made for four classes."""
    path = tmp_path / "four.weights.h5"
    build_model("alexnet", num_classes=4, seed=1, **SIZE).save_weights(path)
    return str(path)


def colors(image_size, count=8):
    """Noise of three classes to learn from; the last two are held out."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, *image_size, 3), dtype=np.uint8)
    return TrainingData(pixels, np.arange(count) % 3, np.arange(count - 2), np.arange(count - 2, count))


def learn(model, config):
    return run_epoch(model, colors(model.input_shape[1:3]), config, 1, on_batch=lambda *_: None)


def changed_layers(model, config):
    """The layers whose weights, moving means among them, an epoch changes."""
    before = {layer.name: layer.get_weights() for layer in model.layers}
    learn(model, config)
    return {
        layer.name
        for layer in model.layers
        if any((a != b).any() for a, b in zip(before[layer.name], layer.get_weights(), strict=True))
    }


def test_new_model_takes_all_weights_of_a_file_of_as_many_classes(weights):
    model = new_model(replace(ALEXNET, weights=weights), 4)
    stored = build_model("alexnet", num_classes=4, seed=1, **SIZE)
    assert all((a == b).all() for a, b in zip(model.get_weights(), stored.get_weights(), strict=True))


def test_new_model_says_that_it_leaves_the_head_of_other_classes(weights, caplog):
    with caplog.at_level(logging.WARNING, logger="edgecnn"):
        new_model(replace(ALEXNET, weights=weights), 3)
    assert caplog.messages == [f"weights {weights}: another head, not taken: fc6, fc7, logits"]


def test_new_model_gives_a_frozen_backbone_a_head_of_its_own(weights):
    config = replace(ALEXNET, weights=weights, freeze="backbone")
    model = new_model(config, 3)
    assert [layer.name for layer in model.layers if layer.trainable and layer.weights] == ["logits"]
    assert changed_layers(model, config) == {"logits"}


def test_new_model_unfreezes_from_a_layer_on(weights):
    names = [layer.name for layer in backbone_layers(new_model(ALEXNET, 3), get_spec("alexnet"))]
    config = replace(ALEXNET, weights=weights, unfreeze_from=names.index("conv4"))
    assert changed_layers(new_model(config, 3), config) == {"conv4", "conv5", "logits"}


@pytest.mark.slow
def test_new_model_keeps_batch_normalization_in_inference_mode_while_frozen(tmp_path):
    config = TrainConfig("resnet34", "unused", batch_size=4, image_size=(32, 32), width=0.05, learning_rate=0.01)
    new_model(config, 3).save_weights(tmp_path / "r.weights.h5")
    frozen = replace(config, weights=str(tmp_path / "r.weights.h5"), freeze="backbone")
    assert changed_layers(new_model(frozen, 3), frozen) == {"logits"}


def test_new_model_refuses_an_index_beyond_the_backbone(weights):
    with pytest.raises(UsageError, match=r"expected to unfreeze from a layer from 0 to 1\d, received 99"):
        new_model(replace(ALEXNET, weights=weights, unfreeze_from=99), 3)


def test_new_model_refuses_weights_of_another_architecture(weights):
    with pytest.raises(PretrainedWeightsError, match="not the weights of this alexnet: layer 'conv1': expected shapes"):
        new_model(replace(ALEXNET, weights=weights, width=0.1), 3)


def test_new_model_learns_distances_so_that_the_nearest_is_right():
    config = TrainConfig("lenet5", "unused", batch_size=6)
    model = new_model(config, 3)
    class_ids = np.arange(6) % 3
    pixels = np.zeros((6, 28, 28, 1), np.uint8)
    for index, class_id in enumerate(class_ids):
        pixels[index, :, 8 * class_id : 8 * class_id + 8] = 255
    data = TrainingData(pixels, class_ids, np.arange(6), np.arange(6))
    losses = [run_epoch(model, data, config, epoch, on_batch=lambda *_: None).val_loss for epoch in range(1, 9)]
    assert losses[-1] < losses[0]
    assert (np.argmin(model(pixels), axis=1) == class_ids).all()


@pytest.fixture
def with_auxiliary():
    """A model with a second output for training only."""
    image = keras.Input((4, 4, 3), dtype="uint8", name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    outputs = [keras.layers.Dense(3, name=name)(x) for name in ("logits", "auxiliary")]
    model = keras.Model(image, outputs, name="tiny_training")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile("adam", loss=[loss, loss], loss_weights=[1.0, 0.3], metrics=[[accuracy], []])
    return model


def test_save_model_saves_the_model_for_inference_and_the_one_to_train_on(with_auxiliary, tmp_path):
    learn(with_auxiliary, ALEXNET)
    save_model(with_auxiliary, tmp_path / "model.keras")
    inference = keras.saving.load_model(tmp_path / "model.keras")
    pixels = colors((4, 4)).pixels
    assert (inference.name, inference.output_names) == ("tiny", ["logits"])
    assert np.array_equal(inference(pixels), with_auxiliary(pixels)[0])
    again = saved_model(tmp_path / "model.keras")
    assert again.output_names == ["logits", "auxiliary"]
    assert learn(again, ALEXNET) == learn(with_auxiliary, ALEXNET)


def test_save_model_saves_one_file_where_there_is_one_model(tmp_path):
    save_model(new_model(ALEXNET, 3), tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_run_epoch_reports_the_output_for_inference(with_auxiliary):
    told = []
    metrics = run_epoch(with_auxiliary, colors((4, 4)), ALEXNET, 1, on_batch=lambda *news: told.append(news))
    logits = with_auxiliary(colors((4, 4)).pixels[6:])[0]
    expected = keras.losses.sparse_categorical_crossentropy(np.array([0, 1]), logits, from_logits=True)
    assert metrics.val_loss == pytest.approx(float(np.mean(expected)), rel=1e-5)
    assert told[-1][2] == {"loss": pytest.approx(metrics.loss), "accuracy": pytest.approx(metrics.accuracy)}


def test_new_model_attaches_the_auxiliary_classifiers_at_a_lower_weight():
    config = TrainConfig("googlenet", "unused", image_size=(32, 32), width=0.05)
    model = new_model(config, 3)
    assert model.output_names == ["logits", "auxiliary_4a", "auxiliary_4d"]
    assert model.get_compile_config()["loss_weights"] == [1.0, 0.3, 0.3]


@pytest.mark.slow
def test_new_model_trains_mirrored_to_the_same_loss():
    config = TrainConfig("mnist_convnet", "unused", batch_size=4, image_size=(18, 18), width=0.1)
    data = colors((18, 18))
    gray = TrainingData(data.pixels[..., :1], data.class_ids, data.learned, data.held_out)
    plain, mirrored = (
        run_epoch(new_model(c, 3), gray, c, 1, on_batch=lambda *_: None)
        for c in (config, replace(config, strategy="mirrored"))
    )
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
    model = new_model(config, 3)
    model.optimizer.build(model.trainable_variables)
    save_model(model, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        assert archive.testzip() is None
    again = saved_model(tmp_path / "model.keras")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    assert again.optimizer.variables[1].path == model.optimizer.variables[1].path
