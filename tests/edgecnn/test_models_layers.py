"""Each layer: values computed by hand, gradients against differences, the .keras round trip, and its ONNX operators."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers

from edgecnn.models.adapter import KerasModel
from edgecnn.models.layers import (
    RBF,
    BGRMeans,
    BilinearUp,
    ConnectionTableConv2D,
    DepthMaxPool,
    DigitBitmaps,
    InceptionBranches,
    LocalResponseNormalization,
    RandomSigns,
    ResidualParts,
    TrainableAveragePooling,
    bottleneck_unit,
    dilated_block,
    image_input,
    inception_module,
    inverted_residual,
    residual_unit,
    scaled_around_zero,
    scaled_tanh,
    skip_upsampled,
    squeeze_excite,
    upsampled,
)
from edgecnn.models.loading import load_keras
from edgecnn.tasks.classification.metric import Accuracy
from edgecnn_exporters import CalibrationImages, QuantizationConfig, export
from edgecnn_runtime import Predictor
from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement

TABLE = ((0, 1), (1, 2), (0,), (0, 1, 2))
PARTS = ResidualParts(
    *("widen", "widen_bn", "widen_act", "pad", "depth", "depth_bn", "depth_act", "narrow", "narrow_bn"),
    momentum=0.9,
    initializer="he_normal",
)
BRANCHES = InceptionBranches(one=1, three_reduce=2, three=3, five_reduce=2, five=2, pool=1)

LRN = {"Unsqueeze", "AveragePool", "Sqrt", "Div"}  # and what is in WRAPPING; the exporter writes it so
WRAPPING = {"Cast", "Mul", "Add", "Reshape", "Flatten", "Transpose", "Squeeze"}  # what brings pixels in and logits out


def _case(name: str, shape: tuple[int, ...], make: Callable, operators: set[str]) -> object:
    return pytest.param(shape, make, operators, id=name)


def inverted(
    x: keras.KerasTensor, *, stride: int = 1, prefix: str = "first_", activation: str = "relu", dropped: float = 0.0
) -> keras.KerasTensor:
    options = {"expanded": 16, "kernel_size": 5, "parts": PARTS, "prefix": prefix, "dropped": dropped}
    return inverted_residual(x, 8, stride=stride, activation=activation, **options)


# What each piece takes (without the batch), how it is made, and the ONNX operators that are left of it.
CASES = [
    _case("depth_max_pool", (5, 4, 6), lambda: DepthMaxPool(3), {"Slice", "Max"}),
    _case("response_normalization", (3, 4, 7), lambda: LocalResponseNormalization(), LRN),
    _case("trainable_average", (5, 4, 3), lambda: TrainableAveragePooling(2), {"AveragePool", "Mul", "Add"}),
    _case("global_average", (5, 4, 3), layers.GlobalAveragePooling2D, {"GlobalAveragePool", "ReduceMean"}),
    _case("connection_table", (5, 6, 3), lambda: ConnectionTableConv2D(TABLE, 3), {"Conv"}),
    _case("rbf", (8,), lambda: RBF(3), {"Unsqueeze", "Sub", "Mul", "ReduceSum"}),
    _case("bgr_means", (3, 4, 3), lambda: BGRMeans(), {"Gather", "Sub"}),
    _case("scaled_tanh", (4,), lambda: layers.Activation(scaled_tanh), {"Mul", "Tanh"}),
    _case(
        "residual_unit",
        (6, 5, 3),
        lambda: lambda x: residual_unit(x, 4, stride=2, name="unit"),
        {"Conv", "Relu", "Add"},
    ),
    _case(
        "bottleneck_unit",
        (6, 5, 3),
        lambda: lambda x: bottleneck_unit(x, 2, squeeze_ratio=4, name="unit"),
        {"Conv", "Relu", "Add", "Sigmoid", "Mul", "GlobalAveragePool", "ReduceMean", "Reshape"},
    ),
    _case(
        "inception_module",
        (6, 5, 3),
        lambda: lambda x: inception_module(x, BRANCHES, name="module"),
        {"Conv", "Relu", "MaxPool", "Concat", "Reshape"},
    ),
    _case(
        "squeeze_excite",
        (6, 5, 8),
        lambda: lambda x: squeeze_excite(x, 4, name="gate"),
        {"Conv", "Relu", "Sigmoid", "Mul", "GlobalAveragePool", "ReduceMean", "Reshape"},
    ),
    _case(
        "inverted_residual",
        (7, 6, 8),
        lambda: lambda x: inverted(inverted(x, stride=2), prefix="second_", activation="hard_swish"),
        {"Conv", "Relu", "Add", "Mul", "Clip"},
    ),
    _case("dilated_block", (9, 7, 2), lambda: lambda x: dilated_block(x, 3, (1, 2), name="wide"), {"Conv", "Relu"}),
    _case(
        "skip_upsampled",
        (6, 4, 3),
        lambda: lambda x: skip_upsampled(layers.AveragePooling2D(2)(x), x, name="skip"),
        {"AveragePool", "ConvTranspose", "Conv", "Add"},
    ),
]


@pytest.fixture
def double_precision() -> Iterator[None]:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


def model_of(shape: tuple[int, ...], make: Callable) -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input(shape, dtype=keras.config.dtype_policy().compute_dtype, name="image")
    model = keras.Model(image, layers.Identity(name="output")(make()(image)))
    random = np.random.default_rng(3)
    for layer in model.layers:  # fresh biases and statistics are zeros and ones, which would hide a mistake
        layer.set_weights([weight + random.uniform(0, 0.5, weight.shape) for weight in layer.get_weights()])
    return model


def batch_of(shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(count, *shape)).astype("float32")


def applied(layer: keras.Layer, x: object) -> np.ndarray:
    return np.asarray(layer(np.asarray(x, "float32")))


@pytest.mark.parametrize(("shape", "make"), [pytest.param(*case.values[:2], id=case.id) for case in CASES])
def test_layer_survives_the_keras_round_trip(shape: tuple[int, ...], make: Callable, tmp_path: Path) -> None:
    model = model_of(shape, make)
    model.save(tmp_path / "model.keras")
    x = batch_of(shape)
    assert np.array_equal(model(x), load_keras(tmp_path / "model.keras")(x))


@pytest.mark.parametrize(("shape", "make", "operators"), CASES)
def test_layer_becomes_standard_operators_that_answer_alike(
    shape: tuple[int, ...], make: Callable, operators: set[str], tmp_path: Path
) -> None:
    inner = model_of(shape, make)
    image = image_input((1, math.prod(shape)), 1)
    x = layers.Reshape(shape, name="shaped")(scaled_around_zero(image))
    model = keras.Model(image, layers.Flatten(name="logits")(inner(x)))
    manifest = Manifest(
        task="classification",
        model=ModelInfo(name="piece", width=1.0),
        inputs=(ImageInput(name="image", height=1, width=math.prod(shape), color="gray"),),
        labels=None,
        decoder=SoftmaxDecoder(),
        outputs=(OutputSpec(name="logits", shape=tuple(model.output.shape[1:])),),
    )
    path, reference = tmp_path / "piece.onnx", KerasModel(model, manifest)
    export(model, manifest, path, reference=reference)
    assert {node.op_type for node in onnx.load(path).graph.node} <= operators | WRAPPING
    pixels = np.random.default_rng(5).integers(0, 256, (1, 1, math.prod(shape), 1), "uint8")
    expected = reference.run({"image": pixels})["logits"]
    received = Predictor.load(path, device="cpu").session.run({"image": pixels})["logits"]
    assert np.abs(received - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "make"), [pytest.param(*case.values[:2], id=case.id) for case in CASES])
def test_layer_answers_alike_between_layers_of_int8(shape: tuple[int, ...], make: Callable, tmp_path: Path) -> None:
    inner, size = model_of(shape, make), math.prod(shape)
    image = image_input((1, size), 1)
    mixed = layers.Dense(size, name="mixed")(layers.Flatten(name="flat")(scaled_around_zero(image)))
    x = layers.Flatten(name="answer")(inner(layers.Reshape(shape, name="shaped")(mixed)))
    model = keras.Model(image, layers.Dense(3, name="logits")(x))
    manifest = Manifest(
        task="classification",
        model=ModelInfo(name="piece", width=1.0),
        inputs=(ImageInput(name="image", height=1, width=size, color="gray"),),
        labels=("a", "b", "c"),
        decoder=SoftmaxDecoder(),
        outputs=(OutputSpec(name="logits", shape=(3,)),),
    )
    pixels = np.random.default_rng(5).integers(0, 256, (64, 1, size, 1), "uint8")
    places, reference = [Placement((1, size), (1.0, 1.0), (0.0, 0.0))] * len(pixels), KerasModel(model, manifest)
    expected = reference.run({"image": pixels})["logits"]
    export(
        model,
        manifest,
        tmp_path / "piece.onnx",
        reference=reference,
        evaluation=[Batch({"image": pixels}, places, expected.argmax(axis=1))],
        metric=lambda: Accuracy(manifest),
        calibration=CalibrationImages([{"image": pixels}]),
        quantization=QuantizationConfig("int8", max_drop=1.0, min_speedup=0.0),
    )
    predictor = Predictor.load(tmp_path / "piece.onnx", device="cpu")
    received = predictor.run({"image": pixels})["logits"]
    assert predictor.evidence.precision == "int8"
    assert 0 < np.sqrt(np.mean((received - expected) ** 2)) <= 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(("shape", "make", "operators"), CASES)
def test_layer_has_the_gradients_that_differences_show(
    shape: tuple[int, ...], make: Callable, operators: set[str], request: pytest.FixtureRequest
) -> None:
    double = operators != LRN  # TensorFlow has response normalisation in single precision only
    if double:
        request.getfixturevalue("double_precision")
    model = model_of(shape, make)
    step, tolerance = (1e-6, 1e-6) if double else (1e-2, 1e-3)
    assert_gradients(model, tf.constant(batch_of(shape), model.inputs[0].dtype), step, tolerance)


def assert_gradients(model: keras.Model, x: tf.Tensor, step: float, tolerance: float) -> None:
    """Compares each gradient along a random direction with the central difference along it."""
    random = np.random.default_rng(7)
    weighting = tf.constant(random.normal(size=model(x).shape), x.dtype)
    weights = [tf.convert_to_tensor(variable) for variable in model.trainable_variables]
    fixed = [tf.convert_to_tensor(variable) for variable in model.non_trainable_variables]

    def loss(values: list[tf.Tensor]) -> tf.Tensor:
        output, _ = model.stateless_call(values[1:], fixed, values[0], training=False)
        return tf.reduce_sum(output * weighting)

    values = [x, *weights]
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = loss(values)
    gradients = tape.gradient(total, values)
    for index, gradient in enumerate(gradients):
        direction = tf.constant(random.normal(size=values[index].shape), x.dtype)
        moved = [[*values[:index], values[index] + sign * step * direction, *values[index + 1 :]] for sign in (1, -1)]
        difference = (loss(moved[0]) - loss(moved[1])) / (2 * step)
        np.testing.assert_allclose(tf.reduce_sum(gradient * direction), difference, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [(7, 6), (8, 9)])
def test_inverted_residual_halves_a_map_as_same_padding_does(size: tuple[int, int]) -> None:
    image = keras.Input((*size, 16))
    model = keras.Model(image, inverted(image, stride=2))  # of 16 channels there is nothing to widen
    x, names = batch_of((*size, 16)), [layer.name for layer in model.layers]
    assert "first_widen" not in names
    assert "first_add" not in names
    same = layers.DepthwiseConv2D(5, strides=2, padding="same", use_bias=False)
    same.build(x.shape)
    same.set_weights(model.get_layer("first_depth").get_weights())
    halved = keras.Model(image, model.get_layer("first_depth").output)
    np.testing.assert_allclose(applied(halved, x), applied(same, x), atol=1e-5)


def test_inverted_residual_is_left_out_of_some_images_in_training_alone() -> None:
    image = keras.Input((4, 4, 8))
    model, x = keras.Model(image, inverted(image, dropped=0.5)), batch_of((4, 4, 8), count=64)
    model.get_layer("first_narrow_bn").set_weights([np.zeros(8), np.ones(8), np.zeros(8), np.ones(8)])
    added = np.asarray(model(x, training=True)) - x
    left_out = (np.abs(added) < 1e-6).all(axis=(1, 2, 3))
    assert np.allclose(added[~left_out], 2.0, atol=1e-5)
    assert 16 < left_out.sum() < 48
    np.testing.assert_allclose(np.asarray(model(x)) - x, np.ones_like(x), atol=1e-5)


def test_depth_max_pool_takes_the_best_of_neighbouring_channels() -> None:
    assert applied(DepthMaxPool(3), [[[[1, 5, 2, -4, -6, -5]]]]).tolist() == [[[[5, -4]]]]


def test_depth_max_pool_equals_the_documented_forms() -> None:
    x = batch_of((5, 4, 6))
    reshaped = x.reshape(2, 5, 4, 2, 3).max(axis=-1)
    pooled = tf.nn.max_pool(x, ksize=(1, 1, 1, 3), strides=(1, 1, 1, 3), padding="VALID")
    assert np.array_equal(applied(DepthMaxPool(3), x), reshaped)
    assert np.array_equal(pooled, reshaped)


def test_depth_max_pool_refuses_a_group_that_is_not_whole() -> None:
    with pytest.raises(ValueError, match="expected a number of channels that 4 divides, received 6"):
        DepthMaxPool(4)(batch_of((5, 4, 6)))


def test_global_average_pooling_is_the_mean_over_rows_and_columns() -> None:
    x = batch_of((5, 4, 3))
    np.testing.assert_allclose(applied(layers.GlobalAveragePooling2D(), x), x.mean(axis=(1, 2)), rtol=1e-6)


def test_response_normalization_divides_by_the_neighbours_of_its_depth() -> None:
    layer = LocalResponseNormalization(depth_radius=1, bias=2.0, alpha=0.5, beta=2.0)
    # Channel 1 sees channels 0, 1, 2: 2 + 0.5 (1 + 4 + 9) = 9, so 2 / 81. Channel 3 sees 2 and 3: 2 + 0.5 * 9 = 6.5.
    np.testing.assert_allclose(
        applied(layer, [[[[1, 2, 3, 0]]]])[0, 0, 0], [1 / 4.5**2, 2 / 81, 3 / 8.5**2, 0], rtol=1e-6
    )


def test_response_normalization_has_the_values_of_the_paper_by_default() -> None:
    config = LocalResponseNormalization().get_config()
    assert [config[key] for key in ("depth_radius", "bias", "alpha", "beta")] == [2, 2.0, 1e-4, 0.75]


def test_trainable_average_pooling_is_the_plain_average_at_first() -> None:
    x = np.arange(16).reshape(1, 4, 4, 1)
    assert applied(TrainableAveragePooling(), x)[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_trainable_average_pooling_scales_and_shifts_each_map() -> None:
    layer = TrainableAveragePooling()
    x = np.stack([np.full((2, 2), 3.0), np.full((2, 2), 5.0)], axis=-1)[None]
    layer.build(x.shape)
    layer.set_weights([np.array([2.0, -1.0]), np.array([0.5, 1.0])])
    assert applied(layer, x).tolist() == [[[[6.5, -4.0]]]]


def test_connection_table_equals_a_convolution_that_is_zero_elsewhere() -> None:
    layer, dense = ConnectionTableConv2D(TABLE, 3), layers.Conv2D(4, 3)
    x = batch_of((5, 6, 3))
    layer.build(x.shape)
    dense.build(x.shape)
    kernels, bias = layer.get_weights()
    full = np.zeros((3, 3, 3, 4))
    connection = 0
    for target, sources in enumerate(TABLE):
        for source in sources:
            full[:, :, source, target] = kernels[:, :, connection]
            connection += 1
    dense.set_weights([full, bias])
    np.testing.assert_allclose(applied(layer, x), applied(dense, x), atol=1e-6)
    assert connection == kernels.shape[-1]


@pytest.mark.parametrize("table", [((0, 3),), ((0, 0),), ((),)])
def test_connection_table_refuses_a_table_that_does_not_fit(table: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="expected different maps of the 3 input maps"):
        ConnectionTableConv2D(table, 3)(batch_of((5, 6, 3)))


def test_rbf_gives_squared_distances_that_no_training_changes() -> None:
    layer = RBF(2)
    layer.build((None, 3))
    layer.set_weights([np.array([[1, 1, 1], [-1, 1, 1]])])
    assert applied(layer, [[1, 1, 1], [0, 2, 0]]).tolist() == [[0, 4], [3, 3]]
    assert layer.trainable_weights == []


def test_random_signs_are_the_same_for_the_same_seed_only() -> None:
    first, again, other = (np.asarray(RandomSigns(seed)((20, 84))) for seed in (0, 0, 1))
    assert set(np.unique(first)) == {-1.0, 1.0}
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_digit_bitmaps_are_ten_different_pictures_with_an_empty_border_row() -> None:
    bitmaps = np.asarray(DigitBitmaps()((10, 84))).reshape(10, 12, 7)
    distances = ((bitmaps[:, None] - bitmaps[None]) ** 2).sum(axis=(2, 3))
    assert distances[~np.eye(10, dtype=bool)].min() >= 4 * 8  # 8 cells apart at least
    assert (bitmaps[:, [0, -1]] == -1).all()


def test_digit_bitmaps_refuse_another_shape() -> None:
    with pytest.raises(ValueError, match="expected the shape"):
        DigitBitmaps()((3, 84))


def test_scaled_tanh_maps_one_to_one() -> None:
    np.testing.assert_allclose(scaled_tanh(np.array([-1.0, 0.0, 1.0], "float32")), [-1, 0, 1], atol=1e-4)


def test_residual_unit_passes_its_input_through_when_its_convolutions_are_zero() -> None:
    image = keras.Input((6, 6, 4))
    model = keras.Model(image, residual_unit(image, 4, name="unit"))
    model.get_layer("unit_2_conv").set_weights([np.zeros((3, 3, 4, 4))])
    x = batch_of((6, 6, 4))
    assert np.array_equal(model(x), np.maximum(x, 0))
    assert "unit_0_conv" not in [layer.name for layer in model.layers]


def test_residual_unit_projects_its_input_where_the_shape_changes() -> None:
    image = keras.Input((6, 6, 4))
    model = keras.Model(image, residual_unit(image, 8, stride=2, name="unit"))
    assert model.output.shape == (None, 3, 3, 8)
    assert model.get_layer("unit_0_conv").kernel.shape == (1, 1, 4, 8)


def test_squeeze_excite_halves_every_channel_when_its_gate_knows_nothing() -> None:
    image = keras.Input((3, 3, 32))
    model = keras.Model(image, squeeze_excite(image, 16, name="gate"))
    model.get_layer("gate_excite").set_weights([np.zeros((1, 1, 2, 32)), np.zeros(32)])
    x = batch_of((3, 3, 32))
    np.testing.assert_allclose(model(x), x / 2, rtol=1e-6)


def test_inception_module_joins_its_branches_in_the_order_of_the_paper() -> None:
    image = keras.Input((6, 5, 3))
    model = keras.Model(image, inception_module(image, BRANCHES, name="module"))
    inputs = [tensor._keras_history.operation.name for tensor in model.get_layer("module").input]
    assert inputs == ["module_1x1", "module_3x3", "module_5x5", "module_pool_1x1"]
    assert model.output.shape == (None, 6, 5, 1 + 3 + 2 + 1)


def test_dilated_block_equals_sums_over_cells_that_stand_apart() -> None:
    image = keras.Input((9, 7, 2))
    model = keras.Model(image, dilated_block(image, 3, (2, 3), name="wide"))
    x = expected = batch_of((9, 7, 2))
    for number, rate in ((1, 2), (2, 3)):
        layer = model.get_layer(f"wide_{number}")
        layer.set_weights([layer.get_weights()[0], np.array([0.1, -0.2, 0.3])])
        expected = np.maximum(dilated_by_hand(expected, *layer.get_weights(), rate), 0)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


def dilated_by_hand(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, rate: int) -> np.ndarray:
    count, height, width, _ = x.shape
    made = np.tile(bias, (count, height, width, 1)).astype(np.float64)
    for row in range(height):
        for column in range(width):
            for i in range(3):
                for j in range(3):
                    y, x_ = row + rate * (i - 1), column + rate * (j - 1)
                    if 0 <= y < height and 0 <= x_ < width:
                        made[:, row, column] += x[:, y, x_] @ kernel[i, j]
    return made


def test_dilated_block_sees_as_far_as_the_paper_says() -> None:
    image = keras.Input((69, 69, 1))
    model = keras.Model(image, dilated_block(image, 1, name="wide"))
    for layer in model.layers[1:]:
        layer.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    x = np.zeros((1, 69, 69, 1), np.float32)
    x[0, 34, 34] = 1.0
    seen = np.asarray(model(x))[0, :, :, 0] > 0
    assert np.flatnonzero(seen.any(axis=0)).tolist() == list(range(1, 68))  # 67 of 69 cells: table 1, the last but one
    assert np.flatnonzero(seen.any(axis=1)).tolist() == list(range(1, 68))


@pytest.mark.parametrize("factor", [2, 8])
def test_upsampled_begins_as_a_resize_of_each_channel(factor: int) -> None:
    image = keras.Input((5, 4, 2))
    made = np.asarray(keras.Model(image, upsampled(image, factor, name="up"))(x := batch_of((5, 4, 2))))
    expected = np.asarray(tf.image.resize(x, (5 * factor, 4 * factor), method="bilinear"))
    inside = slice(factor // 2, -factor // 2)  # nearer to the border there are no two cells to go between
    assert made.shape == expected.shape
    np.testing.assert_allclose(made[:, inside, inside], expected[:, inside, inside], atol=1e-5)


def test_bilinear_up_enlarges_a_single_cell_to_a_tent() -> None:
    tent = np.asarray(BilinearUp()((4, 4, 2, 2)))
    steps = np.array([0.25, 0.75, 0.75, 0.25])
    assert np.array_equal(tent[:, :, 0, 0], np.outer(steps, steps))
    assert np.array_equal(tent[:, :, 1, 1], np.outer(steps, steps))
    assert not tent[:, :, 0, 1].any()
    assert not tent[:, :, 1, 0].any()


@pytest.mark.parametrize("shape", [(3, 4, 2, 2), (4, 5, 2, 2), (4, 4, 2, 3)])
def test_bilinear_up_refuses_what_is_no_enlargement(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected a shape \(rows, columns, channels, channels\)"):
        BilinearUp()(shape)


def test_skip_upsampled_adds_a_transposed_convolution_and_the_scores_of_the_finer_map() -> None:
    coarse, fine = keras.Input((3, 2, 2)), keras.Input((6, 4, 5))
    model = keras.Model([coarse, fine], skip_upsampled(coarse, fine, name="skip"))
    assert not np.any(model.get_layer("skip_score").get_weights()[0])
    random = np.random.default_rng(3)
    kernel, scores = random.normal(size=(4, 4, 2, 2)), random.normal(size=(1, 1, 5, 2))
    model.get_layer("skip_up").set_weights([kernel])
    model.get_layer("skip_score").set_weights([scores, np.array([0.5, -1.0])])
    x, finer = batch_of((3, 2, 2)), batch_of((6, 4, 5))
    expected = finer @ scores[0, 0] + [0.5, -1.0]
    for row in range(3):
        for column in range(2):
            for i in range(4):
                for j in range(4):
                    y, x_ = 2 * row + i - 1, 2 * column + j - 1  # "same" cuts a row and a column off each side
                    if 0 <= y < 6 and 0 <= x_ < 4:
                        expected[:, y, x_] += x[:, row, column] @ kernel[i, j].T
    np.testing.assert_allclose(model([x, finer]), expected, atol=1e-5)
