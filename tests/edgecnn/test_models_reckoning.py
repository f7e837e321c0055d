import keras
import pytest
from keras import layers

from edgecnn.models import build_model
from edgecnn.models.reckoning import reckon


def test_reckon_gives_the_documented_check_value() -> None:
    image = keras.Input((150, 100, 3))
    model = keras.Model(image, layers.Conv2D(200, 5, padding="same", name="conv")(image))
    row = reckon(model).layers[-1]
    assert (row.output_shape, row.parameters) == ((150, 100, 200), 200 * (5 * 5 * 3 + 1))
    assert (row.multiply_adds, row.activation_bytes) == (225_000_000, 12_000_000)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(8, 3, strides=2, groups=2), 4 * 4 * 8 * (3 * 3 * 2)),
        (layers.DepthwiseConv2D(3), 7 * 7 * 3 * 3 * 4),
        (layers.SeparableConv2D(8, 3), 7 * 7 * (3 * 3 * 4 + 4 * 8)),
        (layers.Conv2DTranspose(8, 2, strides=2), 9 * 9 * 2 * 2 * 4 * 8),
        (layers.Conv2DTranspose(4, 16, strides=8, padding="same"), 9 * 9 * 16 * 16 * 4 * 4),
        (layers.Dense(5), 9 * 9 * 4 * 5),
        (layers.MaxPooling2D(), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reckon_counts_multiply_adds(layer: keras.Layer, expected: int) -> None:
    image = keras.Input((9, 9, 4))
    assert reckon(keras.Model(image, layer(image))).multiply_adds == expected


def test_reckon_counts_what_is_computed_for_each_region() -> None:
    rows = {row.name: row for row in reckon(build_model("faster_rcnn")).layers}
    assert rows["fc1"].multiply_adds == 300 * 7 * 7 * 256 * 1024
    assert rows["fc1"].activation_bytes == 300 * 1024 * 4
    assert rows["shift_units"].multiply_adds == 300 * 1024 * 320
    assert rows["aligned"].multiply_adds == 300 * (7 * 26 * 26 * 256 + 7 * 7 * 26 * 256)  # 26 x 26 cells
    assert rows["proposal_conv"].multiply_adds == 26 * 26 * 9 * 256 * 256
    rows = {row.name: row for row in reckon(build_model("rcnn")).layers}
    assert rows["conv1_conv"].multiply_adds == 300 * 52 * 52 * 49 * 3 * 64  # of 104 x 104
    assert rows["class_units"].multiply_adds == 300 * 512 * 81
    assert rows["logits"].activation_bytes == 300 * 81 * 4


def test_reckon_frees_a_tensor_after_its_last_reader() -> None:
    image = keras.Input((10, 10, 1))  # 400 bytes
    wide = layers.Conv2D(8, 1)(image)  # 3200 bytes, 3600 alive
    narrow = layers.Conv2D(1, 1)(wide)  # 400 bytes, 3600 alive
    again = layers.Conv2D(4, 1)(narrow)  # 1600 bytes, 2000 alive
    reckoning = reckon(keras.Model(image, again))
    assert reckoning.inference_bytes == 3600
    assert reckoning.training_bytes == 400 + 3200 + 400 + 1600


def test_reckon_keeps_a_skip_alive_until_it_is_added() -> None:
    image = keras.Input((10, 10, 8))  # 3200 bytes
    x = layers.Conv2D(8, 1)(image)
    x = layers.Conv2D(8, 1)(x)
    assert reckon(keras.Model(image, x)).inference_bytes == 2 * 3200
    assert reckon(keras.Model(image, layers.Add()([image, x]))).inference_bytes == 3 * 3200


def test_reckon_counts_the_map_between_the_steps_of_a_separable_convolution() -> None:
    image = keras.Input((10, 10, 8))  # 3200 bytes
    separable = layers.SeparableConv2D(1, 1, depth_multiplier=2)  # 6400 bytes between, 400 out
    reckoning = reckon(keras.Model(image, separable(image)))
    assert reckoning.layers[-1].activation_bytes == 6400 + 400
    assert reckoning.inference_bytes == 3200 + 6400  # the image is free when the second step writes
    assert reckoning.training_bytes == 3200 + 6400 + 400


def test_reckon_counts_views_once() -> None:
    image = keras.Input((10, 10, 8))
    assert reckon(keras.Model(image, layers.Flatten()(image))).inference_bytes == 3200


def test_reckon_agrees_with_keras_on_parameters() -> None:
    model = build_model("fashion_cnn", width=0.5)
    reckoning = reckon(model)
    assert reckoning.parameters == model.count_params() == sum(row.parameters for row in reckoning.layers)
    assert reckoning.trainable_parameters == reckoning.parameters


def test_reckon_counts_the_connections_of_lenet5() -> None:
    multiply_adds = {row.name: row.multiply_adds for row in reckon(build_model("lenet5")).layers}
    # The paper counts 151,600 connections in C3: these 150,000 and a bias for each of 1,600 cells.
    assert (multiply_adds["c3"], multiply_adds["f6"], multiply_adds["distances"]) == (150_000, 120 * 84, 840)
