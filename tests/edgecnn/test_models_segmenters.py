"""FCN and U-Net: how they begin, at any size, with a classifier's weights, and as ONNX before the proof."""

from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from edgecnn.errors import PretrainedWeightsError
from edgecnn.models import CATALOG, build_manifest, build_model
from edgecnn.models.any_size import resized
from edgecnn.models.backbone import backbone_layers
from edgecnn.models.weights import load_weights
from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import finish
from edgecnn_runtime.decoders import ClassMapDecoder, OutputSpec

NAMES = [spec.name for spec in CATALOG.values() if spec.task == "segmentation"]
FCNS = ["fcn32s", "fcn8s"]
SIZE = (64, 96)
OTHERS = [(96, 64), (32, 160)]
FREE = (None, None)


def with_scores(model: keras.Model) -> keras.Model:
    """Gives the layers that begin as zeros weights that answer differently from pixel to pixel."""
    random = np.random.default_rng(2)
    for layer in model.layers:
        if layer.name == "score" or layer.name.endswith("_score"):
            layer.set_weights([random.normal(0, 0.3, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> keras.Model:
    """Narrow; read only."""
    return with_scores(build_model(request.param, image_size=SIZE, num_classes=3, width=0.05, seed=1))


def pixels_of(model: keras.Model, size: tuple[int, int] = SIZE, count: int = 1) -> np.ndarray:
    shape = (count, *size, model.inputs[0].shape[-1])
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def enlarged(channel: np.ndarray, factor: int) -> np.ndarray:
    """As Pillow interpolates."""
    height, width = channel.shape
    picture = Image.fromarray(channel.astype(np.float32))
    return np.asarray(picture.resize((width * factor, height * factor), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("name", "size", "factor"), [("fcn32s", (96, 160), 32), ("fcn8s", (64, 96), 8)])
def test_fcn_begins_with_a_bilinear_enlargement_of_its_scores(name: str, size: tuple[int, int], factor: int) -> None:
    model = with_scores(build_model(name, image_size=size, num_classes=3, width=0.05, seed=1))
    last = model.get_layer("logits").input
    scores, logits = map(np.asarray, keras.Model(model.input, [last, model.output])(pixels_of(model, size)))
    inside = slice(factor // 2, -factor // 2)  # nearer to the border Pillow goes on with the last score, and we with 0
    assert scores.shape[1:3] == (size[0] // factor, size[1] // factor)
    for number in range(3):
        expected = enlarged(scores[0, :, :, number], factor)
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(logits[0, inside, inside, number], expected[inside, inside], atol=1e-4)


@pytest.mark.parametrize("name", FCNS)
def test_fcn_begins_without_an_opinion(name: str) -> None:
    model = build_model(name, image_size=(64, 64), num_classes=3, width=0.05, seed=1)
    assert not np.any(model(pixels_of(model, (64, 64))))


def test_fcn8s_adds_the_scores_of_both_finer_pools_once() -> None:
    model = with_scores(build_model("fcn8s", image_size=SIZE, num_classes=3, width=0.05, seed=1))
    names = ["score", "block4_pool_skip_score", "block3_pool_skip_score"]
    read = [model.get_layer(name).input.shape[1:3] for name in names]
    assert read == [(2, 3), (4, 6), (8, 12)]
    last = model.get_layer("logits").input
    *scores, joined = map(
        np.asarray,
        keras.Model(model.input, [*(model.get_layer(name).output for name in names), last])(pixels_of(model)),
    )
    coarse, middle, fine = (np.moveaxis(one[0], -1, 0) for one in scores)
    up = np.stack([np.asarray(_tents(c)) for c in coarse]) + middle
    np.testing.assert_allclose(np.moveaxis(joined[0], -1, 0), np.stack([_tents(c) for c in up]) + fine, atol=1e-4)


def _tents(channel: np.ndarray) -> np.ndarray:
    """Twice the size, by hand: a pixel takes 3/4 of its cell and 1/4 of the nearest in each direction, 0 outside."""
    padded = np.pad(channel, 1)
    made = np.zeros((2 * channel.shape[0], 2 * channel.shape[1]))
    for row in range(made.shape[0]):
        for column in range(made.shape[1]):
            y, x = row // 2 + 1, column // 2 + 1
            near_y, near_x = y + (1 if row % 2 else -1), x + (1 if column % 2 else -1)
            made[row, column] = 0.75 * (0.75 * padded[y, x] + 0.25 * padded[y, near_x]) + 0.25 * (
                0.75 * padded[near_y, x] + 0.25 * padded[near_y, near_x]
            )
    return made


def test_unet_hands_each_level_across_before_its_pooling() -> None:
    model = build_model("unet", image_size=(32, 48), width=0.05, seed=1)
    for level in range(1, 5):
        handed, grown = (tensor.shape[1:3] for tensor in model.get_layer(f"up{level}_joined").input)
        assert handed == grown == (32 // 2 ** (level - 1), 48 // 2 ** (level - 1))
    spread = model.get_layer("down1_conv2").output
    assert model.get_layer("up1_joined").input[0] is spread


@pytest.mark.parametrize("name", NAMES)
def test_a_row_declares_one_logit_a_pixel_and_class(name: str) -> None:
    manifest = build_manifest(CATALOG[name], ("a", "b", "c"), image_size=SIZE)
    assert manifest.decoder == ClassMapDecoder()
    assert manifest.outputs == (OutputSpec("logits", (*SIZE, 3)),)
    assert manifest.num_classes == 3


@pytest.mark.parametrize("size", OTHERS)
def test_a_segmenter_of_any_size_answers_like_one_that_is_built_for_it(
    model: keras.Model, size: tuple[int, int]
) -> None:
    other = build_model(model.name, image_size=size, num_classes=3, width=0.05, seed=2)
    other.set_weights(model.get_weights())
    image = pixels_of(model, size, 2)
    np.testing.assert_allclose(resized(model, FREE)(image), other(image), atol=1e-5)


@pytest.mark.parametrize(("size", "batch"), [(SIZE, 1), (FREE, 1), (FREE, None)])
def test_a_segmenter_becomes_a_graph_that_answers_alike(
    model: keras.Model, size: tuple[int | None, int | None], batch: int | None, tmp_path: Path
) -> None:
    path, made = tmp_path / "model.onnx", resized(model, size)
    converted = convert(made, output_names=["logits"], batch=batch)
    finish(converted, path, input_names=["image"], output_names=["logits"], batch=batch)
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert not operators & {"Loop", "If", "Scan"}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for one in [SIZE] if size == SIZE else [SIZE, *OTHERS]:
        for count in [1] if batch == 1 else [1, 3]:
            image = pixels_of(made, one, count)
            expected = np.asarray(made(image))
            (received,) = session.run(None, {"image": image})
            assert received.shape == (count, *one, 3)
            assert np.abs(received - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", FCNS)
def test_fcn_has_the_backbone_of_vgg16(name: str) -> None:
    theirs = build_model("vgg16", image_size=SIZE, num_classes=5, width=0.05, seed=3)
    ours = build_model(name, image_size=SIZE, num_classes=3, width=0.05, seed=1)
    assert [layer.name for layer in backbone_layers(ours, CATALOG[name])] == [
        layer.name for layer in backbone_layers(theirs, CATALOG["vgg16"])
    ]


@pytest.mark.parametrize("name", FCNS)
def test_fcn_takes_the_backbone_of_another_architecture_never(name: str, tmp_path: Path) -> None:
    build_model("vgg19", image_size=SIZE, num_classes=5, width=0.05, seed=3).save(tmp_path / "vgg19.keras")
    ours = build_model(name, image_size=SIZE, num_classes=3, width=0.05, seed=1)
    before = ours.get_weights()
    with pytest.raises(PretrainedWeightsError, match=f"not the weights of this {name}: layer"):
        load_weights(ours, CATALOG[name], tmp_path / "vgg19.keras")
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), before, strict=True))


def test_unet_takes_all_but_the_logits_of_one_of_other_classes(tmp_path: Path) -> None:
    theirs = build_model("unet", image_size=(32, 32), num_classes=5, width=0.05, seed=3)
    theirs.save(tmp_path / "five.keras")
    ours = build_model("unet", image_size=(48, 32), num_classes=2, width=0.05, seed=1)
    loaded = load_weights(ours, CATALOG["unet"], tmp_path / "five.keras")
    assert (loaded.left_out, loaded.head_classes) == (("logits",), 5)
    for layer in ours.layers:
        if layer.weights and layer.name != "logits":
            assert all(map(np.array_equal, layer.get_weights(), theirs.get_layer(layer.name).get_weights()))


@pytest.mark.parametrize("name", FCNS)
def test_fcn_reads_a_picture_as_the_vgg16_does_that_it_has_the_weights_of(name: str, tmp_path: Path) -> None:
    """At 224 x 224 the middle one of 7 x 7 cells sees the whole of pool5, as VGG-16's first dense layer does."""
    size = (224, 224)
    theirs = build_model("vgg16", image_size=size, num_classes=5, width=0.05, seed=3)
    theirs.save(tmp_path / "vgg16.keras")
    ours = build_model(name, image_size=size, num_classes=3, width=0.05, seed=1)
    loaded = load_weights(ours, CATALOG[name], tmp_path / "vgg16.keras")
    assert loaded.head_classes == 5
    assert set(loaded.left_out) == {"logits"} | {one.name for one in ours.layers if one.name.endswith(("score", "_up"))}
    image = pixels_of(ours, size, 2)
    seen = np.asarray(keras.Model(ours.input, ours.get_layer("score").input)(image))
    whole = np.asarray(keras.Model(theirs.input, theirs.get_layer("logits").input)(image))
    assert seen.shape[1:3] == (7, 7)
    assert np.ptp(whole) > 0
    np.testing.assert_allclose(seen[:, 3, 3], whole, atol=1e-5 * np.abs(whole).max())


def test_fcn_takes_the_backbone_alone_of_a_vgg16_for_pictures_of_another_size(tmp_path: Path) -> None:
    theirs = build_model("vgg16", image_size=SIZE, num_classes=5, width=0.05, seed=3)
    theirs.save(tmp_path / "vgg16.keras")
    ours = build_model("fcn32s", image_size=SIZE, num_classes=3, width=0.05, seed=1)
    loaded = load_weights(ours, CATALOG["fcn32s"], tmp_path / "vgg16.keras")
    assert loaded.left_out == ("fc1", "fc2", "score", "logits")
    kernel = "block5_conv3"
    assert all(map(np.array_equal, ours.get_layer(kernel).get_weights(), theirs.get_layer(kernel).get_weights()))


def test_fcn_takes_all_but_its_scores_of_one_of_other_classes(tmp_path: Path) -> None:
    theirs = build_model("fcn32s", image_size=SIZE, num_classes=4, width=0.05, seed=3)
    theirs.save(tmp_path / "four.keras")
    ours = build_model("fcn8s", image_size=(64, 64), num_classes=3, width=0.05, seed=1)
    loaded = load_weights(ours, CATALOG["fcn8s"], tmp_path / "four.keras")
    assert not {"fc1", "fc2"} & set(loaded.left_out)
    assert np.array_equal(ours.get_layer("fc1").get_weights()[0], theirs.get_layer("fc1").get_weights()[0])


@pytest.mark.parametrize("classes", [21, 3])
def test_fcn_asks_keras_for_the_dense_layers_too(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    narrow = build_model("vgg16", image_size=(224, 224), num_classes=1000, width=0.05, seed=3)

    def published(**options: object) -> keras.Model:
        asked.append(options)
        return narrow

    ours = build_model("fcn32s", image_size=SIZE, num_classes=classes, width=0.05, seed=1)
    monkeypatch.setattr(keras.applications, "VGG16", published)
    loaded = load_weights(ours, CATALOG["fcn32s"], "imagenet")
    assert asked == [{"weights": "imagenet", "include_top": True}]
    assert (loaded.left_out, loaded.labels) == (("score", "logits"), None)
