import re

import keras
import numpy as np
import pytest

from edgecnn.errors import UsageError
from edgecnn.models import CATALOG, build_manifest, build_model
from edgecnn.models.adapter import KerasModel
from edgecnn.models.backbone import (
    backbone_indices,
    backbone_layers,
    build_transfer_model,
    freeze_backbone,
    unfreeze_from,
)
from edgecnn.tasks.classification.metric import Accuracy
from edgecnn_exporters import CalibrationImages, QuantizationConfig, export
from edgecnn_runtime import Predictor
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.preprocessing import Placement

SPEC = CATALOG["resnet34"]
NUMBERED = re.compile(r"(input_layer|activation|re_lu)(_\d+)?")  # what Keras leaves unnamed
WITHOUT = [spec for spec in CATALOG.values() if spec.backbone is None]


@pytest.fixture
def narrow() -> keras.Model:
    return build_model("resnet34", image_size=(32, 32), num_classes=3, width=0.1, seed=1)


def test_backbone_layers_begin_with_the_input_and_end_before_the_pooling(narrow: keras.Model) -> None:
    names = [layer.name for layer in backbone_layers(narrow, SPEC)]
    assert names[:2] == ["image", "conv1_conv"]
    assert names[-1] == "conv5_block3_out"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xception", "resnet50", "vgg16"])
def test_backbone_layers_have_the_index_that_keras_gives_them(name: str) -> None:
    spec = CATALOG[name]
    ours = [layer.name for layer in backbone_layers(build_model(name, num_classes=2, image_size=(96, 96)), spec)]
    theirs = getattr(keras.applications, spec.application)(include_top=False, weights=None).layers
    named = [(a, b.name) for a, b in zip(ours, theirs, strict=True) if "residual" not in a and not a.endswith("_add")]
    assert all(a == b for a, b in named[1:])
    assert len(ours) == len(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"])
def test_backbone_layers_have_the_index_that_keras_gives_them_behind_its_normalization(name: str) -> None:
    spec = CATALOG[name]
    ours = backbone_layers(build_model(name, num_classes=2, image_size=(64, 64)), spec)
    theirs = getattr(keras.applications, spec.application)(include_top=False, weights=None).layers
    theirs = [layer for layer in theirs if not layer.name.startswith(("rescaling", "normalization"))]
    named = [(a.name, b.name) for a, b in zip(ours, theirs, strict=True) if not NUMBERED.fullmatch(b.name)]
    assert len(named) > 100
    assert all(a == b for a, b in named)
    kinds = [(type(a), type(b)) for a, b in zip(ours, theirs, strict=True)]
    assert all(a is b or {a, b} == {keras.layers.Activation, keras.layers.ReLU} for a, b in kinds)


@pytest.mark.parametrize("spec", WITHOUT, ids=lambda spec: spec.name)
def test_backbone_layers_refuse_a_model_without_a_backbone(spec: object) -> None:
    with pytest.raises(UsageError, match=f"{spec.name} has no backbone: expected one of alexnet"):
        freeze_backbone(build_model(spec.name, num_classes=3), spec)


def test_backbone_indices_are_the_positions_in_the_backbone(narrow: keras.Model) -> None:
    indices = backbone_indices(narrow, SPEC)
    assert list(indices) == [layer.name for layer in backbone_layers(narrow, SPEC)]
    assert list(indices.values()) == list(range(len(indices)))
    assert "normalization" not in indices


def test_backbone_indices_are_none_where_there_is_no_backbone() -> None:
    assert backbone_indices(build_model("mnist_convnet", num_classes=3), CATALOG["mnist_convnet"]) == {}


def test_freeze_backbone_leaves_the_head_alone(narrow: keras.Model) -> None:
    frozen = freeze_backbone(narrow, SPEC)
    assert [weight.path for weight in narrow.trainable_weights] == ["logits/kernel", "logits/bias"]
    assert frozen == sum(bool(layer.weights) for layer in narrow.layers) - 1


def test_freeze_backbone_keeps_batch_normalization_in_inference_mode(narrow: keras.Model) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    freeze_backbone(narrow, SPEC)
    before = [np.array(weight) for weight in narrow.non_trainable_weights]
    trained = narrow(pixels, training=True)
    assert np.array_equal(trained, narrow(pixels, training=False))
    assert all(np.array_equal(a, b) for a, b in zip(before, narrow.non_trainable_weights, strict=True))


def test_unfreeze_from_trains_the_layers_from_that_index_on(narrow: keras.Model) -> None:
    layers = backbone_layers(narrow, SPEC)
    index = [layer.name for layer in layers].index("conv5_block3_2_conv")
    freeze_backbone(narrow, SPEC)
    frozen = unfreeze_from(narrow, SPEC, index)
    trained = {weight.path.split("/")[0] for weight in narrow.trainable_weights}
    assert trained == {"conv5_block3_2_conv", "conv5_block3_2_bn", "logits"}
    assert frozen == sum(bool(layer.weights) for layer in layers[:index])


def test_unfreeze_from_zero_trains_everything(narrow: keras.Model) -> None:
    count = len(narrow.trainable_weights)
    freeze_backbone(narrow, SPEC)
    assert unfreeze_from(narrow, SPEC, 0) == 0
    assert len(narrow.trainable_weights) == count


@pytest.mark.parametrize("index", [-1, 10_000])
def test_unfreeze_from_refuses_an_index_that_no_layer_has(narrow: keras.Model, index: int) -> None:
    with pytest.raises(UsageError, match=f"expected to unfreeze from a layer from 0 to .*, received {index}"):
        unfreeze_from(narrow, SPEC, index)


def test_build_transfer_model_puts_pooling_and_one_dense_layer_on_the_backbone() -> None:
    model = build_transfer_model("alexnet", image_size=(67, 67), num_classes=5, width=0.1, seed=1)
    assert [layer.name for layer in model.layers][-3:] == ["pool5", "avg_pool", "logits"]
    assert model.output.shape == (None, 5)


def test_build_transfer_model_refuses_a_model_without_a_backbone() -> None:
    with pytest.raises(UsageError, match="has no backbone"):
        build_transfer_model("lenet5", num_classes=5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_transfer_model_goes_to_the_device(precision, tmp_path) -> None:
    labels, size = ["cat", "dog", "owl"], (48, 48)
    model = build_transfer_model("resnet34", image_size=size, num_classes=len(labels), width=0.1, seed=1)
    freeze_backbone(model, SPEC)
    manifest = build_manifest(SPEC, labels, image_size=size, width=0.1)
    pixels, reference = np.random.default_rng(1).integers(0, 256, (24, *size, 3), "uint8"), KerasModel(model, manifest)
    expected = reference.run({"image": pixels})["logits"]
    places = [Placement(size, (1.0, 1.0), (0.0, 0.0))] * len(pixels)
    options = {} if precision == "float32" else {
        "evaluation": [Batch({"image": pixels}, places, expected.argmax(axis=1))],
        "metric": lambda: Accuracy(manifest),
        "calibration": CalibrationImages([{"image": pixels}]),
        "quantization": QuantizationConfig("int8", max_drop=1.0, min_speedup=0.0),
    }  # fmt: skip
    export(model, manifest, tmp_path / "model.onnx", reference=reference, **options)
    predictor = Predictor.load(tmp_path / "model.onnx", device="cpu", verify=True)
    received = predictor.run({"image": pixels})["logits"]
    assert predictor.evidence.precision == precision
    apart, spread = np.abs(received - expected).max(), np.ptp(expected, axis=0).max()
    assert apart <= (1e-4 if precision == "float32" else 0.5) * spread
    assert predictor.predict(pixels[0]).label == labels[received[0].argmax()]
