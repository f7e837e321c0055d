"""Weights, frozen backbones and manifests of localizers; what every row must do stands in test_models.py."""

from pathlib import Path

import keras
import numpy as np
import pytest

from edgecnn.errors import UsageError
from edgecnn.models import CATALOG, build_manifest, build_model
from edgecnn.models.adapter import KerasModel
from edgecnn.models.backbone import build_transfer_model, freeze_backbone, unfreeze_from
from edgecnn.models.weights import load_weights
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.preprocessing import Placement

SPEC = CATALOG["resnet34_localizer"]
SIZE = (32, 48)
HEADS = ["boxes/bias", "boxes/kernel", "logits/bias", "logits/kernel"]


def narrow(name: str = "resnet34_localizer", *, classes: int = 1, seed: int = 1) -> keras.Model:
    return build_model(name, image_size=(32, 32), num_classes=classes, width=0.05, seed=seed)


def saved(model: keras.Model, path: Path) -> Path:
    model.save(path)
    return path


@pytest.mark.parametrize("classes", [1, 3])
def test_a_classifiers_weights_fit_as_far_as_the_heads(classes: int, tmp_path: Path) -> None:
    trained, model = narrow("resnet34", classes=3), narrow(classes=classes, seed=2)
    heads = model.get_layer("logits").get_weights()[0], model.get_layer("boxes").get_weights()[0]
    loaded = load_weights(model, SPEC, saved(trained, tmp_path / "resnet34.keras"))
    assert loaded.left_out == ("logits", "boxes")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    features = [keras.Model(one.input, one.get_layer("avg_pool").output)(pixels) for one in (trained, model)]
    assert np.array_equal(*features)
    assert np.array_equal(model.get_layer("logits").get_weights()[0], heads[0])
    assert np.array_equal(model.get_layer("boxes").get_weights()[0], heads[1])


def test_a_localizers_weights_fit_whole_where_the_classes_are_as_many(tmp_path: Path) -> None:
    trained = narrow(classes=2)
    path, pixels = saved(trained, tmp_path / "trained.keras"), np.zeros((1, 32, 32, 3), np.uint8)
    same, other = narrow(classes=2, seed=2), narrow(classes=3, seed=2)
    assert load_weights(same, SPEC, path).left_out == ()
    assert all(np.array_equal(a, b) for a, b in zip(same(pixels), trained(pixels), strict=True))
    loaded = load_weights(other, SPEC, path)
    assert (loaded.left_out, loaded.head_classes) == (("logits", "boxes"), 2)


def test_imagenet_gives_xceptions_backbone_and_no_head(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    published = keras.applications.Xception

    def application(*, weights: str, include_top: bool) -> keras.Model:
        asked.append((weights, include_top))
        return published(weights=None, include_top=include_top)

    spec = CATALOG["xception_localizer"]
    model = build_model(spec.name, image_size=(71, 71), num_classes=spec.num_classes, seed=1)
    monkeypatch.setattr(keras.applications, "Xception", application)
    loaded = load_weights(model, spec, "imagenet")
    assert asked == [("imagenet", False)]
    assert (loaded.left_out, loaded.labels) == (("logits", "boxes"), None)


def test_a_frozen_backbone_leaves_both_heads_to_learn() -> None:
    model = build_transfer_model(SPEC.name, image_size=(32, 32), num_classes=2, width=0.05, seed=1)
    assert model.output_names == ["logits", "boxes"]
    freeze_backbone(model, SPEC)
    assert sorted(weight.path for weight in model.trainable_weights) == HEADS
    unfreeze_from(model, SPEC, 100)
    assert len(model.trainable_weights) > len(HEADS)


def test_a_single_object_may_be_all_there_is_to_find() -> None:
    manifest = build_manifest(SPEC, ["raccoon"])
    assert (manifest.num_classes, manifest.task) == (1, "localization")
    with pytest.raises(UsageError, match="expected at least 1 classes, received 0"):
        build_manifest(SPEC, None, num_classes=0)
    with pytest.raises(UsageError, match="expected at least 2 classes, received 1"):
        build_manifest(CATALOG["resnet34"], ["raccoon"])


def with_heads(logits: keras.layers.Layer, boxes: keras.layers.Layer) -> keras.Model:
    image = keras.Input((*SIZE, 3), dtype="uint8", name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255, name="normalization")(image))
    return keras.Model(image, [logits(x), boxes(x)])


def test_a_softmax_in_the_model_is_refused_where_the_runtime_takes_one() -> None:
    model = with_heads(keras.layers.Dense(2, activation="softmax", name="logits"), keras.layers.Dense(4, name="boxes"))
    manifest = build_manifest(SPEC, ["a", "b"], image_size=model.input_shape[1:3])
    with pytest.raises(ManifestError, match=r"ends in a softmax .* Let the model end in a layer without activation"):
        KerasModel(model, manifest)


def test_the_source_and_the_runtime_mean_the_same_boxes_also_where_numbers_are_beyond() -> None:
    """A head without a sigmoid may answer anything: both sides must take it alike."""
    from edgecnn_runtime.tasks.localization import LOCALIZATION

    model = with_heads(keras.layers.Dense(2, name="logits"), keras.layers.Dense(4, name="boxes"))
    manifest = build_manifest(SPEC, ["a", "b"], image_size=model.input_shape[1:3])
    random = np.random.default_rng(0)
    outputs = {
        "logits": random.normal(0, 3, (200, 2)).astype(np.float32),
        "boxes": random.normal(0.5, 0.6, (200, 4)).astype(np.float32),
    }
    placements = [
        Placement((int(height), int(width)), (float(y), float(x)), (float(top), float(left)))
        for height, width, y, x, top, left in zip(
            *random.integers(1, 60, (2, 200)),
            *random.uniform(0.1, 2, (2, 200)),
            *random.uniform(-8, 8, (2, 200)),
            strict=True,
        )
    ]
    own = KerasModel(model, manifest).results(outputs, placements)
    found = LOCALIZATION.decode(manifest, outputs, placements)
    apart = [LOCALIZATION.agreement(one, other).differences["boxes"] for one, other in zip(own, found, strict=True)]
    assert max(apart) < 1e-4
    assert len({tuple(result.box.tolist()) for result in found}) > 150
