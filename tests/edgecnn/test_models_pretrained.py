from pathlib import Path

import keras
import numpy as np
import pytest

from edgecnn.errors import PretrainedWeightsError, UsageError
from edgecnn.models import build_model
from edgecnn.models.pretrained import RANDOM_SEED, pretrained_model

NARROW = {"image_size": (67, 67), "width": 0.05}
LABELS = ("cat", "dog", "owl")


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Of an AlexNet of three classes."""
    path = tmp_path / "trained.weights.h5"
    build_model("alexnet", num_classes=3, seed=5, **NARROW).save_weights(path)
    return str(path)


def test_pretrained_model_has_seeded_weights_without_any() -> None:
    named = pretrained_model("alexnet", "none", **NARROW)
    assert named.seed == RANDOM_SEED
    assert (named.manifest.labels, named.manifest.num_classes) == (None, 1000)


def test_pretrained_model_has_the_weights_and_the_labels_it_was_given(weights: str) -> None:
    named = pretrained_model("alexnet", weights, labels=LABELS, **NARROW)
    trained = build_model("alexnet", num_classes=3, seed=5, **NARROW)
    assert all(np.array_equal(a, b) for a, b in zip(named.model.get_weights(), trained.get_weights(), strict=True))
    assert (named.manifest.labels, named.seed) == (LABELS, None)


@pytest.mark.parametrize(("labels", "expected"), [(None, 1000), (("cat", "dog"), 2)])
def test_pretrained_model_refuses_labels_that_do_not_match_the_head(
    weights: str, labels: tuple[str, ...] | None, expected: int
) -> None:
    with pytest.raises(UsageError, match=rf"expected a head of {expected} classes \(.*\), received one of 3\. Give"):
        pretrained_model("alexnet", weights, labels=labels, **NARROW)


def test_pretrained_model_refuses_weights_of_another_architecture(weights: str) -> None:
    with pytest.raises(PretrainedWeightsError, match="not the weights of this googlenet"):
        pretrained_model("googlenet", weights, labels=LABELS, image_size=(32, 32), width=0.05)


def test_pretrained_model_refuses_made_up_labels_for_imagenet() -> None:
    with pytest.raises(UsageError, match="--labels: expected none with --weights imagenet"):
        pretrained_model("resnet50", "imagenet", labels=LABELS)


def test_pretrained_model_takes_the_labels_that_come_with_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"class {number}" for number in range(1000))
    theirs = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), include_top=False)
    x = keras.layers.GlobalAveragePooling2D()(theirs.output)
    with_top = keras.Model(theirs.input, keras.layers.Dense(1000, name="predictions")(x))
    monkeypatch.setattr(keras.applications, "ResNet50", _downloading(keras.applications.ResNet50, with_top))
    monkeypatch.setattr("edgecnn.models.weights.imagenet_labels", lambda: names)
    named = pretrained_model("resnet50", "imagenet", image_size=(32, 32))
    assert (named.manifest.labels, named.seed) == (names, None)
    kernel = theirs.get_layer("conv1_conv").get_weights()[0]
    assert np.array_equal(named.model.get_layer("conv1_conv").get_weights()[0], kernel)


def _downloading(application: object, downloaded: keras.Model) -> object:
    """Gives a model in place of the download of ImageNet's weights."""
    return lambda **options: downloaded if options.get("weights") == "imagenet" else application(**options)
