"""YOLOv3's networks, Darknet's weights files and what is exported; what every row must do stands in test_models.py."""

import struct

import keras
import numpy as np
import onnx
import pytest

from edgecnn.errors import PretrainedWeightsError, UsageError
from edgecnn.models import CATALOG, build_manifest, build_model
from edgecnn.models.backbone import backbone_layers, freeze_backbone
from edgecnn.models.darknet_weights import DarknetWeights
from edgecnn.models.weights import load_weights
from edgecnn.models.weights_file import check_weights
from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import finish
from edgecnn_exporters.rewrites import pixel_tensors, rewrite
from edgecnn_runtime.session import Session

NEW = struct.pack("<3iQ", 0, 2, 0, 2**33)  # `seen` is wider than an int32
OLD = struct.pack("<3ii", 0, 1, 0, 640)
NAMES = ["yolov3", "yolov3_tiny"]
CONVOLUTIONS = {"yolov3": 75, "yolov3_tiny": 13}


def narrow(name="yolov3_tiny", *, size=(32, 64), classes=2, width=0.07, seed=1):
    return build_model(name, image_size=size, num_classes=classes, width=width, seed=seed)


def layer_values(model, seed=0):
    """Known values of each convolution in Darknet's order: (name, arrays as Darknet has them)."""
    random = np.random.default_rng(seed)
    values = []
    for number in range(CONVOLUTIONS[model.name]):
        rows, columns, channels, filters = model.get_layer(f"conv{number}").kernel.shape
        answers = f"conv{number}_bn" not in [layer.name for layer in model.layers]
        vectors = [random.normal(0, 0.5, filters) for _ in range(1 if answers else 3)]
        if not answers:
            vectors.append(random.uniform(0.5, 2, filters))  # the variance
        kernel = random.normal(0, 1 / np.sqrt(channels * rows * columns), (filters, channels, rows, columns))
        values.append((f"conv{number}", [array.astype("<f4") for array in (*vectors, kernel)]))
    return values


def written(path, values, header=NEW):
    path.write_bytes(header + b"".join(array.tobytes() for _, arrays in values for array in arrays))
    return path


def pixels(model, count=1):
    return np.random.default_rng(3).integers(0, 256, (count, *model.input_shape[1:]), np.uint8)


def answers_of(model, images):
    return [np.asarray(values) for values in keras.tree.flatten(model(images))]


@pytest.mark.parametrize("name", [pytest.param("yolov3", marks=pytest.mark.slow), "yolov3_tiny"])
def test_the_published_networks_have_exactly_the_published_parameters(name):
    model, spec = build_model(name), CATALOG[name]
    assert model.count_params() == {"yolov3": 62_001_757, "yolov3_tiny": 8_858_734}[name] == spec.parameters
    backbone = sum(layer.count_params() for layer in backbone_layers(model, spec))
    assert backbone == {"yolov3": 40_620_640, "yolov3_tiny": 6_298_480}[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 64), (96, 32)])
def test_every_grid_answers_in_cells_anchors_and_numbers(name, size):
    model = narrow(name, size=size, classes=4)
    strides = {"yolov3": (8, 16, 32), "yolov3_tiny": (16, 32)}[name]
    assert model.output_names == [f"scale_{stride}" for stride in strides]
    shapes = [(size[0] // stride, size[1] // stride, 3, 9) for stride in strides]
    assert [values.shape[1:] for values in answers_of(model, pixels(model))] == shapes
    manifest = build_manifest(CATALOG[name], list("abcd"), image_size=size)
    assert [output.shape for output in manifest.outputs] == shapes
    assert (manifest.task, manifest.num_classes, manifest.image_input.resize) == ("detection", 4, "letterbox")


def test_the_anchors_are_those_that_the_weights_were_trained_with():
    scales = {name: build_manifest(CATALOG[name], None).decoder.scales for name in NAMES}
    tiny = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
    assert [scale.anchors for scale in scales["yolov3_tiny"]] == [tiny[1:4], tiny[3:]]
    assert [scale.stride for scale in scales["yolov3"]] == [8, 16, 32]
    assert scales["yolov3"][0].anchors[0] == (10, 13)
    assert scales["yolov3"][2].anchors[-1] == (373, 326)


@pytest.mark.parametrize("name", NAMES)
def test_a_size_that_the_coarsest_cell_does_not_divide_is_refused(name):
    with pytest.raises(UsageError, match=f"{name}: expected an image size of multiples of 32.* received 48,64"):
        build_model(name, image_size=(48, 64), width=0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("header", [NEW, OLD], ids=["uint64 seen", "int32 seen"])
def test_a_weights_file_is_read_layer_by_layer(name, header, tmp_path):
    model = narrow(name)
    values = layer_values(model)
    path = written(tmp_path / "trained.weights", values, header)
    check_weights(CATALOG[name], path)
    loaded = load_weights(model, CATALOG[name], path)
    assert (loaded.left_out, loaded.source) == ((), str(path))
    for layer, (*vectors, kernel) in values:
        got = model.get_layer(layer).get_weights()
        assert np.array_equal(got[0], kernel.transpose(2, 3, 1, 0))
        if len(vectors) == 1:
            assert np.array_equal(got[1], vectors[0])
        else:
            beta, gamma, mean, variance = vectors
            normalisation = model.get_layer(f"{layer}_bn")
            assert np.array_equal(normalisation.beta, beta)
            assert np.array_equal(normalisation.gamma, gamma)
            assert np.array_equal(normalisation.moving_mean, mean)
            assert np.array_equal(normalisation.moving_variance, variance)


# The layers of the published cfg files: a convolution (filters, size, stride), its answer (a linear one), "pool" with
# its stride, "add" with the layer whose values are added, "route" with the layers that are joined, "up".
TINY = [
    ("conv", 16, 3, 1), ("pool", 2), ("conv", 32, 3, 1), ("pool", 2), ("conv", 64, 3, 1), ("pool", 2),
    ("conv", 128, 3, 1), ("pool", 2), ("conv", 256, 3, 1), ("pool", 2), ("conv", 512, 3, 1), ("pool", 1),
    ("conv", 1024, 3, 1), ("conv", 256, 1, 1), ("conv", 512, 3, 1), ("answer", 32),
    ("yolo",), ("route", -4), ("conv", 128, 1, 1), ("up",), ("route", -1, 8), ("conv", 256, 3, 1), ("answer", 16),
]  # fmt: skip


def full_layers():
    """yolov3.cfg: 107 layers."""
    layers = [("conv", 32, 3, 1)]
    for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        layers.append(("conv", filters, 3, 2))
        layers += [("conv", filters // 2, 1, 1), ("conv", filters, 3, 1), ("add", -3)] * repeats
    for filters, stride, route in ((512, 32, None), (256, 16, 61), (128, 8, 36)):
        if route is not None:
            layers += [("yolo",), ("route", -4), ("conv", filters, 1, 1), ("up",), ("route", -1, route)]
        layers += [("conv", filters, 1, 1), ("conv", 2 * filters, 3, 1)] * 3 + [("answer", stride)]
    return layers


def darknet_convolution(x, kernel, stride):
    """On (C, H, W), as Darknet has it: half of the kernel's size is padded on every side, at every stride."""
    size = kernel.shape[-1]
    x = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,fcij->fhw", windows, kernel, optimize=True)


def darknet_pool(x, stride):
    """Of size 2: Darknet pads size - 1 on the right and at the bottom, which matters at stride 1."""
    x = np.pad(x, ((0, 0), (0, 1), (0, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2))[:, ::stride, ::stride]
    height, width = ((side - 2 + 1) // stride + 1 for side in (x.shape[1], x.shape[2]))
    return windows.max(axis=(3, 4))[:, :height, :width]


def darknet_answers(layers, image, values):
    """The raw numbers of each stride, (rows, columns, numbers), by the rules of the cfg alone."""
    outputs, answers, arrays = [], {}, iter(array for _, array in values)
    x = image.astype(np.float64).transpose(2, 0, 1) / 255
    for kind, *of in layers:
        if kind in ("conv", "answer"):
            *vectors, kernel = (array.astype(np.float64) for array in next(arrays))
            vectors = [vector[:, None, None] for vector in vectors]
            x = darknet_convolution(x, kernel, of[-1] if kind == "conv" else 1)
        if kind == "conv":
            assert kernel.shape[2] == of[1]
            beta, gamma, mean, variance = vectors
            x = gamma * (x - mean) / np.sqrt(variance + 1e-6) + beta
            x = np.where(x > 0, x, 0.1 * x)
        elif kind == "answer":
            x = x + vectors[0]
            answers[of[0]] = x.transpose(1, 2, 0)
        elif kind == "pool":
            x = darknet_pool(x, of[0])
        elif kind == "add":
            x = outputs[-1] + outputs[of[0]]
        elif kind == "route":
            x = np.concatenate([outputs[number] for number in of])
        elif kind == "up":
            x = x.repeat(2, axis=1).repeat(2, axis=2)
        outputs.append(x)
    assert next(arrays, None) is None
    return answers


@pytest.mark.parametrize("name", NAMES)
def test_every_scale_computes_what_darknets_cfg_says(name, tmp_path):
    model = narrow(name, size=(64, 96))
    values = layer_values(model)
    values[0][1][3][0] = values[1][1][3][0] = 1e-4  # Keras' own epsilon of 1e-3 would be seen
    load_weights(model, CATALOG[name], written(tmp_path / "w.weights", values))
    image = pixels(model)
    expected = darknet_answers(TINY if name == "yolov3_tiny" else full_layers(), image[0], values)
    assert [f"scale_{stride}" for stride in sorted(expected)] == model.output_names
    for stride, (received,) in zip(sorted(expected), answers_of(model, image), strict=True):
        of_scale = expected[stride].reshape(received.shape)  # anchor by anchor, as its numbers follow each other
        assert np.abs(of_scale).std() > 0.1
        np.testing.assert_allclose(received, of_scale, rtol=0, atol=1e-4 * np.abs(of_scale).max())


def test_the_full_cfg_has_darknets_layers():
    layers = full_layers()
    assert len(layers) + 1 == 107  # the last one is a yolo layer too
    assert [number for number, layer in enumerate(layers) if layer[0] == "answer"] == [81, 93, 105]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [-4, -1, 1, 4])
def test_a_file_that_does_not_end_exactly_is_refused_and_changes_nothing(name, change, tmp_path):
    model = narrow(name)
    whole = written(tmp_path / "w.weights", layer_values(model)).read_bytes()
    path = tmp_path / "other.weights"
    path.write_bytes(whole[:change] if change < 0 else whole + bytes(change))
    before = model.get_weights()
    with pytest.raises(PretrainedWeightsError, match=r"expected .* received [\d,]+") as raised:
        load_weights(model, CATALOG[name], path)
    assert f"{len(whole) + change:,}" in str(raised.value)
    assert change % 4 or f"exactly {len(whole):,} bytes" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("content", [b"", b"\0" * 11, OLD[:-1], NEW[:-2]])
def test_a_file_without_a_whole_header_is_refused_before_a_model_is_built(content, tmp_path):
    path = tmp_path / "w.weights"
    path.write_bytes(content)
    with pytest.raises(PretrainedWeightsError, match="expected Darknet's weights, a header of"):
        check_weights(CATALOG["yolov3"], path)
    with pytest.raises(PretrainedWeightsError, match="received nothing"):
        check_weights(CATALOG["yolov3"], tmp_path / "none.weights")
    with pytest.raises(UsageError, match=r"expected weights from imagenet, none, or a \.weights\.h5 or \.keras file"):
        check_weights(CATALOG["alexnet"], path)


@pytest.mark.parametrize("kind", ["w.weights", "w.keras"])
def test_a_head_of_other_classes_is_left_and_the_backbone_taken(kind, tmp_path):
    trained, model, spec = narrow(classes=3), narrow(classes=2, seed=2), CATALOG["yolov3_tiny"]
    path = written(tmp_path / "w.weights", layer_values(trained))
    load_weights(trained, spec, path)
    if kind == "w.keras":
        trained.save(path := tmp_path / kind)
    fresh = model.get_layer("conv7").get_weights()
    loaded = load_weights(model, spec, path)
    assert {"conv7", "conv7_bn", "conv9", "conv12"} <= set(loaded.left_out)
    assert "conv6" not in loaded.left_out
    assert np.array_equal(model.get_layer("conv7").get_weights()[0], fresh[0])
    image = pixels(model)
    features = [keras.Model(one.input, one.get_layer(spec.backbone).output)(image) for one in (trained, model)]
    assert np.array_equal(*features)


def test_a_file_of_the_backbone_alone_is_taken(tmp_path):
    model, spec = narrow(), CATALOG["yolov3_tiny"]
    values = layer_values(model)
    loaded = load_weights(model, spec, written(tmp_path / "w.weights", values[:7]))
    assert "conv7" in loaded.left_out
    assert np.array_equal(model.get_layer("conv6").kernel, values[6][1][-1].transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("name", "file", "count"), [("yolov3", "darknet53.conv.74", 52), ("yolov3_tiny", "yolov3-tiny.conv.15", 9)]
)
def test_the_published_files_of_the_first_layers_are_taken_whole(name, file, count, tmp_path):
    """Their numbers count the layers of the cfg, of which pools and sums are some."""
    layers = TINY if name == "yolov3_tiny" else full_layers()
    assert sum(layer[0] == "conv" for layer in layers[: int(file.rpartition(".")[2])]) == count
    model, values = narrow(name), layer_values(narrow(name))
    path = written(tmp_path / file, values[:count])
    check_weights(CATALOG[name], path)
    loaded = load_weights(model, CATALOG[name], path)
    for layer, arrays in values[:count]:
        assert np.array_equal(model.get_layer(layer).kernel, arrays[-1].transpose(2, 3, 1, 0))
    left = {layer.name for layer in model.layers if layer.weights} - {
        f"conv{number}{part}" for number in range(count) for part in ("", "_bn")
    }
    assert set(loaded.left_out) == left
    with pytest.raises(PretrainedWeightsError, match="expected exactly"):
        load_weights(model, CATALOG[name], written(path, values[: count - 1]))


@pytest.mark.slow
def test_the_backbone_is_as_large_as_the_published_file(tmp_path):
    model = build_model("yolov3")
    backbone = frozenset(layer.name for layer in backbone_layers(model, CATALOG["yolov3"]))
    with (tmp_path / "darknet53.conv.74").open("wb") as file:
        file.write(NEW)
        file.truncate(162_482_580)
    taken = DarknetWeights(tmp_path / "darknet53.conv.74", model, CATALOG["yolov3"], backbone=backbone)
    assert {name for name in taken if not name.endswith("_bn")} == {f"conv{number}" for number in range(52)}


def test_a_frozen_backbone_leaves_the_head_to_learn():
    model, spec = narrow(), CATALOG["yolov3_tiny"]
    assert freeze_backbone(model, spec) == 14  # seven convolutions, seven normalisations
    learned = {weight.path.partition("/")[0] for weight in model.trainable_weights}
    assert learned == {f"conv{n}{part}" for n in (7, 8, 10, 11) for part in ("", "_bn")} | {"conv9", "conv12"}


@pytest.fixture(scope="module", params=NAMES)
def exported(request, tmp_path_factory):
    """A narrow network whose normalisations have something to do, and the graph that is published of it."""
    model, folder = narrow(request.param), tmp_path_factory.mktemp(request.param)
    load_weights(model, CATALOG[request.param], written(folder / "w.weights", layer_values(model)))
    names = model.output_names
    converted = convert(model, output_names=names, batch=1)
    finish(converted, folder / "model.onnx", input_names=["image"], output_names=names, batch=1)
    return model, onnx.load(folder / "model.onnx")


def assert_answers_alike(model, graph):
    image = pixels(model)
    received = Session(graph.SerializeToString(), device="cpu").run({"image": image})
    assert list(received) == model.output_names
    for name, expected in zip(model.output_names, answers_of(model, image), strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(received[name], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_exported_graph_has_no_control_flow_and_answers_alike(exported):
    model, graph = exported
    operators = [node.op_type for node in graph.graph.node]
    assert not {"Loop", "If", "Scan", "Tile", "BatchNormalization"} & set(operators)
    assert operators.count("Conv") == CONVOLUTIONS[model.name]
    assert operators.count("Resize") == len(model.outputs) - 1
    assert_answers_alike(model, graph)


def test_the_rewrites_before_int8_apply_and_answer_alike(exported):
    """The first convolution reads pixels, four columns at once; in tiny four pools come before their activation.

    The fifth stays: the finer grid reads what comes into it too. The sixth leaves as many values as it sees.
    """
    model, graph = exported
    rewritten, applied = rewrite(graph, precision="int8")
    assert {"pixels", "width_folding"} <= set(applied)
    assert ("pool_first" in applied) == (model.name == "yolov3_tiny")
    assert len(pixel_tensors(rewritten)) == 1
    makers = {name: node.op_type for node in rewritten.graph.node for name in node.output}
    pools = [makers[node.input[0]] for node in rewritten.graph.node if node.op_type == "MaxPool"]
    if model.name == "yolov3_tiny":
        assert pools.count("LeakyRelu") == 2
        assert len(pools) == 6
    assert_answers_alike(model, rewritten)
