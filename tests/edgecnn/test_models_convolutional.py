"""A classifier as convolutions, against the classifier itself on crops and against its dense layers on windows."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from edgecnn.errors import UsageError
from edgecnn.models import build_model
from edgecnn.models.convolutional import convolutional


def with_biases(model: keras.Model) -> keras.Model:
    """Fresh biases and statistics are zeros and ones, which would hide a mistake."""
    random = np.random.default_rng(3)
    for layer in model.layers:
        if not isinstance(layer, keras.Model):
            layer.set_weights([w + random.uniform(0, 0.2, w.shape) * (w.ndim == 1) for w in layer.get_weights()])
    return model


def pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def assert_answers_crops(model: keras.Model, stride: int, cells: tuple[int, int]) -> None:
    """Compares each cell of a map with the classifier's answer to its crop, and one cell with the answer as it is."""
    height, width, channels = model.inputs[0].shape[1:]
    rows, columns = cells
    made = convolutional(model)
    larger = pictures(2, height + (rows - 1) * stride, width + (columns - 1) * stride, channels)
    maps = keras.tree.flatten(made(larger))
    assert [answer.shape[:3] for answer in maps] == [(2, rows, columns)] * len(maps)
    for row in range(rows):
        for column in range(columns):
            crop = larger[:, row * stride : row * stride + height, column * stride : column * stride + width]
            for answer, alone, single in zip(
                maps, keras.tree.flatten(model(crop)), keras.tree.flatten(made(crop)), strict=True
            ):
                scale = np.abs(alone).max()
                np.testing.assert_allclose(answer[:, row, column], alone, atol=1e-5 * scale)
                assert single.shape[1:3] == (1, 1)
                np.testing.assert_allclose(single[:, 0, 0], alone, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["mnist_convnet", "simple_cnn"])
def test_convolutional_answers_every_crop_as_the_classifier_does(name: str) -> None:
    model = with_biases(build_model(name, image_size=(28, 24), num_classes=5, width=0.2, seed=1))
    assert_answers_crops(model, stride=4, cells=(3, 2))


def own_classifier() -> keras.Model:
    """Of a user: an average and a maximum, a normalised head with dropout, a softmax, and two answers."""
    image = keras.Input((12, 10, 3), dtype="uint8", name="image")
    x = layers.MaxPooling2D()(layers.Conv2D(6, 3, activation="relu")(layers.Rescaling(1 / 255)(image)))
    flat = layers.Dropout(0.5)(layers.LeakyReLU()(layers.Reshape((-1,))(x)))
    head = layers.Dense(9, use_bias=False)(flat)
    head = layers.Activation("tanh")(layers.BatchNormalization()(head))
    first = layers.Softmax(name="first")(layers.Dense(4)(head))
    pooled = layers.Dense(3, activation="softmax", name="second")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, [first, pooled])


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 10, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.GlobalMaxPooling2D(),
            layers.Dense(4),
        ]
    )


def nested() -> keras.Model:
    """Transfer learning as many write it: a network inside the network."""
    features = keras.Input((12, 10, 3))
    base = keras.Model([features], layers.MaxPooling2D()(layers.Conv2D(6, 3, activation="relu")(features)))
    image = keras.Input((12, 10, 3), dtype="uint8", name="image")
    x = layers.Flatten()(base(layers.Rescaling(1 / 255)(image)))
    return keras.Model(image, layers.Dense(4)(layers.Dense(9, activation="relu")(x)))


@pytest.mark.parametrize("make", [own_classifier, sequential, nested])
def test_convolutional_answers_every_crop_as_a_model_of_ones_own_does(make: Callable[[], keras.Model]) -> None:
    keras.utils.set_random_seed(1)
    assert_answers_crops(with_biases(make()), stride=2, cells=(2, 4))


@pytest.mark.parametrize(("name", "size", "larger"), [("vgg16", (64, 96), (96, 160)), ("alexnet", (99, 67), (131, 99))])
def test_convolutional_answers_every_window_of_the_features_as_the_dense_layers_do(
    name: str, size: tuple[int, int], larger: tuple[int, int]
) -> None:
    """Their convolutions pad, so a crop differs from its place in a picture; what the head reads does not."""
    model = with_biases(build_model(name, image_size=size, num_classes=5, width=0.1, seed=1))
    made = convolutional(model, larger)
    before = made.layers[[layer.name for layer in made.layers].index("flatten") - 1].output
    features, answers = map(np.asarray, keras.Model(made.input, [before, made.output])(pictures(1, *larger)))
    rows, columns = model.get_layer("flatten").input.shape[1:3]
    assert answers.shape[1] * answers.shape[2] > 1
    for row in range(answers.shape[1]):
        for column in range(answers.shape[2]):
            x = features[:, row : row + rows, column : column + columns].reshape(1, -1)
            for layer in model.layers:
                if isinstance(layer, layers.Dense):
                    kernel, bias = layer.get_weights()
                    x = x @ kernel + bias
                    x = x if layer.name == "logits" else np.maximum(x, 0)
            np.testing.assert_allclose(answers[:, row, column], x, atol=1e-5 * np.abs(x).max())
    same = pictures(2, *size)
    np.testing.assert_allclose(convolutional(model)(same)[:, 0, 0], model(same), rtol=1e-4, atol=1e-5)


def test_convolutional_leaves_the_classifier_as_it_was_and_keeps_its_names(tmp_path) -> None:
    model = build_model("mnist_convnet", num_classes=3, width=0.1, seed=1)
    before, layout = model.get_weights(), model.to_json()
    made = convolutional(model)
    assert [layer.name for layer in made.layers] == [layer.name for layer in model.layers]
    assert made.count_params() == model.count_params()
    made.save(tmp_path / "made.keras")
    larger = pictures(1, 40, 36, 1)
    assert np.array_equal(keras.models.load_model(tmp_path / "made.keras")(larger), made(larger))
    made.set_weights([np.zeros_like(weight) for weight in made.get_weights()])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert model.to_json() == layout


@keras.saving.register_keras_serializable("test")
class AddsPositions(layers.Layer):
    """Knows the size of its map."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.positions = self.add_weight(shape=(*shape[1:3], 1), name="positions")

    def call(self, x: object) -> object:
        return x + self.positions


IMAGE = (8, 6, 3)
REFUSED = {
    "permuted": lambda x: layers.Dense(2)(layers.Flatten()(layers.Reshape((6, 8, 3), name="permuted")(x))),
    "resized": lambda x: layers.Dense(2)(layers.Flatten()(layers.Resizing(4, 4, name="resized")(x))),
    "norm": lambda x: layers.Dense(2)(layers.BatchNormalization(name="norm")(layers.Flatten()(x))),
    "soft": lambda x: layers.Dense(2)(layers.Activation("softmax", name="soft")(layers.Flatten()(x))),
    "joined": lambda x: layers.Dense(2)(layers.Concatenate(name="joined")([layers.Flatten()(x)] * 2)),
    "halves": lambda x: layers.Dense(2)(layers.Flatten()(layers.Reshape((2, 72), name="halves")(x))),
    "gate": lambda x: layers.Dense(2)(
        layers.Flatten()(layers.Multiply()([x, layers.GlobalAveragePooling2D(keepdims=True, name="gate")(x)]))
    ),
    "positions": lambda x: layers.Dense(2)(layers.Flatten()(AddsPositions(name="positions")(x))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_convolutional_names_the_layer_that_it_cannot_turn(name: str) -> None:
    image = keras.Input(IMAGE)
    model = keras.Model(image, REFUSED[name](image))
    with pytest.raises(UsageError, match=f"layer '{name}' cannot become a convolution: expected"):
        convolutional(model)


def test_convolutional_refuses_a_layer_that_is_called_twice() -> None:
    image = keras.Input(IMAGE)
    twice = layers.Conv2D(3, 3, padding="same", name="twice")
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(twice(twice(image)))))
    with pytest.raises(UsageError, match="layer 'twice' cannot become a convolution: expected one that is called once"):
        convolutional(model)


def test_convolutional_refuses_prototypes_and_what_is_no_classifier() -> None:
    with pytest.raises(UsageError, match="layer 'distances' cannot become"):
        convolutional(build_model("lenet5"))
    image = keras.Input(IMAGE)
    with pytest.raises(UsageError, match="expected to end in dense layers over a map"):
        convolutional(keras.Model(image, layers.Conv2D(2, 3)(image)))
    vector = keras.Input((4,))
    with pytest.raises(UsageError, match=r"expected one input, \(N, height, width, channels\)"):
        convolutional(keras.Model(vector, layers.Dense(2)(vector)))
    with pytest.raises(UsageError, match="expected a functional model"):
        convolutional(keras.Sequential([layers.Dense(2)]))
