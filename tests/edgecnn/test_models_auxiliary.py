"""The outputs that only training has."""

import keras
import numpy as np
import pytest

from edgecnn.models import CATALOG, build_model, build_training_model

AUXILIARY = [pytest.param(spec, id=spec.name) for spec in CATALOG.values() if spec.auxiliary is not None]


def narrow(name: str) -> keras.Model:
    return build_model(name, image_size=(32, 32), num_classes=3, width=0.1, seed=1)


@pytest.mark.parametrize("spec", AUXILIARY)
def test_build_training_model_adds_two_classifiers_that_weigh_less(spec: object) -> None:
    training_model, weights = build_training_model(narrow(spec.name), spec)
    assert training_model.output_names == ["logits", "auxiliary_4a", "auxiliary_4d"]
    assert [output.shape for output in training_model.outputs] == [(None, 3)] * 3
    assert weights == (1.0, 0.3, 0.3)


def test_build_training_model_trains_the_model_that_it_was_given() -> None:
    model = narrow("googlenet")
    training_model, weights = build_training_model(model, CATALOG["googlenet"])
    before = model.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training_model.compile(optimizer="sgd", loss=[loss] * 3, loss_weights=list(weights))
    class_ids = np.array([0, 1, 2, 0])
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    training_model.fit(pixels, [class_ids] * 3, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before[:1], model.get_weights()[:1], strict=True))
    np.testing.assert_allclose(training_model(pixels)[0], model(pixels), rtol=1e-6)


def test_build_training_model_leaves_the_model_for_inference_as_it_is() -> None:
    model = narrow("se_googlenet")
    names = [layer.name for layer in model.layers]
    build_training_model(model, CATALOG["se_googlenet"])
    assert [layer.name for layer in model.layers] == names


def test_build_training_model_is_the_model_itself_without_auxiliaries() -> None:
    model = build_model("mnist_convnet")
    assert build_training_model(model, CATALOG["mnist_convnet"]) == (model, (1.0,))


@pytest.mark.slow
def test_auxiliary_classifiers_have_the_size_of_the_paper() -> None:
    model = build_model("googlenet")
    training_model, _ = build_training_model(model, CATALOG["googlenet"])
    # 1x1 convolution 512 or 528 to 128, Dense 4 x 4 x 128 to 1024, Dense 1000, all with bias
    expected = (512 + 528 + 2) * 128 + 2 * (2048 * 1024 + 1024) + 2 * (1024 * 1000 + 1000)
    assert training_model.count_params() - model.count_params() == expected
