"""The outputs that only training has."""

import keras
import numpy as np
import pytest

from edgecnn.models import CATALOG, build_manifest, build_model
from edgecnn.models.spec import ModelSpec
from edgecnn.tasks.table import TASKS, load
from edgecnn.training import TrainConfig
from edgecnn.training.trainee import Trainee

SIZE = {"image_size": (32, 32), "width": 0.1}
AUXILIARY = ["googlenet", "se_googlenet"]


def narrow(name: str) -> keras.Model:
    return build_model(name, num_classes=3, seed=1, **SIZE)


def trainee_of(model: keras.Model, spec: ModelSpec, **size: object) -> Trainee:
    manifest = build_manifest(spec, None, num_classes=model.output.shape[-1], **size)
    make = load(spec.trainee or TASKS[spec.task].trainee)
    return make(model, spec, manifest, TrainConfig(spec.name, "unused"))


@pytest.mark.parametrize("name", AUXILIARY)
def test_trainee_adds_two_classifiers_that_weigh_less(name: str) -> None:
    trainee = trainee_of(narrow(name), CATALOG[name], **SIZE)
    assert trainee.model.output_names == ["logits", "auxiliary_4a", "auxiliary_4d"]
    assert [output.shape for output in trainee.model.outputs] == [(None, 3)] * 3
    assert list(trainee.loss_weights.values()) == [1.0, 0.3, 0.3]


@pytest.mark.slow
def test_trainee_trains_the_model_that_it_was_given() -> None:
    model = narrow("googlenet")
    trainee = trainee_of(model, CATALOG["googlenet"], **SIZE)
    before = model.get_weights()
    trainee.compile("sgd")
    class_ids = np.array([0, 1, 2, 0])
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    trainee.model.fit(pixels, trainee.targets({"class_ids": class_ids}, (32, 32)), verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before[:1], model.get_weights()[:1], strict=True))
    np.testing.assert_allclose(trainee.model(pixels)[0], model(pixels), rtol=1e-6)


def test_trainee_leaves_the_model_for_inference_as_it_is() -> None:
    model = narrow("se_googlenet")
    names = [layer.name for layer in model.layers]
    trainee_of(model, CATALOG["se_googlenet"], **SIZE)
    assert [layer.name for layer in model.layers] == names


def test_trainee_has_the_model_itself_without_auxiliaries() -> None:
    model = build_model("mnist_convnet")
    trainee = trainee_of(model, CATALOG["mnist_convnet"])
    assert trainee.model is model
    assert trainee.loss_weights == {"logits": 1.0}


@pytest.mark.slow
def test_auxiliary_classifiers_have_the_size_of_the_paper() -> None:
    model = build_model("googlenet")
    trainee = trainee_of(model, CATALOG["googlenet"])
    # 1x1 convolution 512 or 528 to 128, Dense 4 x 4 x 128 to 1024, Dense 1000, all with bias
    expected = (512 + 528 + 2) * 128 + 2 * (2048 * 1024 + 1024) + 2 * (1024 * 1000 + 1000)
    assert trainee.model.count_params() - model.count_params() == expected
