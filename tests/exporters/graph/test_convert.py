import importlib
import io
import sys

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from edgecnn_exporters.errors import ExportError, WeightsError
from edgecnn_exporters.graph.convert import convert, hash_weights
from edgecnn_exporters.graph.layer_names import marked_layer
from edgecnn_exporters.graph.writer import write_model
from edgecnn_runtime.session import Session

CONVERT = importlib.import_module("edgecnn_exporters.graph.convert")


def run(converted, pixels):
    file = io.BytesIO()
    converted.model.ir_version = 8
    write_model(converted, file)
    return Session(file.getvalue(), device="cpu").run({"image": pixels})


def test_convert_names_kernels_by_their_keras_variable(model):
    converted = convert(model, output_names=["logits"])
    kernels = {v.path: v.numpy() for v in model.weights if len(v.shape) >= 2}
    found = {weight.name: weight.read() for weight in converted.weights}
    assert found.keys() == kernels.keys()
    assert all(np.array_equal(found[name], kernels[name]) for name in kernels)
    assert {weight.name: weight.size_bytes for weight in converted.weights} == {n: k.nbytes for n, k in kernels.items()}


@pytest.mark.parametrize("batch", [1, None])
def test_convert_takes_what_a_layer_holds_without_a_variable(make_model, make_pixels, batch):
    model = make_model(
        keras.layers.Normalization(mean=[0.2, 0.3, 0.4], variance=[0.1, 0.2, 0.3], name="standardise"), channels=3
    )
    pixels = make_pixels(1, channels=3)
    converted = convert(model, output_names=["logits"], batch=batch)
    assert [tensor.name for tensor in converted.model.graph.input] == ["image"]
    np.testing.assert_allclose(run(converted, pixels)["logits"], model(pixels, training=False), rtol=1e-5, atol=1e-6)


def test_convert_copies_no_kernel(model):
    (kernel,) = (weight for weight in convert(model, output_names=["logits"]).weights if weight.name == "conv/kernel")
    assert np.shares_memory(kernel.read(), kernel.read())


def test_convert_leaves_the_image_as_the_only_input(model):
    inputs = convert(model, output_names=["logits"]).model.graph.input
    assert [(i.name, i.type.tensor_type.elem_type) for i in inputs] == [("image", onnx.TensorProto.UINT8)]


def test_convert_answers_like_the_model(model, make_pixels):
    pixels = make_pixels(2)
    answer = run(convert(model, output_names=["logits"], batch=2), pixels)["logits"]
    np.testing.assert_allclose(answer, model(pixels, training=False), rtol=1e-5, atol=1e-6)


def test_convert_keeps_the_order_of_several_outputs(make_pixels):
    image = keras.Input((12, 10, 1), dtype="uint8", name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255, name="normalization")(image))
    model = keras.Model(image, [keras.layers.Dense(3, name="zebra")(x), keras.layers.Dense(2, name="ant")(x)])
    converted = convert(model, output_names=["zebra", "ant"])
    pixels = make_pixels(1)
    expected = model(pixels, training=False)
    answers = run(converted, pixels)
    assert {name: values.shape for name, values in answers.items()} == {"zebra": (1, 3), "ant": (1, 2)}
    np.testing.assert_allclose(answers["zebra"], expected[0], rtol=1e-5, atol=1e-6)


def test_convert_tells_apart_variables_of_one_path(make_model, make_pixels):
    class Twins(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="twins")
            self.first, self.second = (keras.layers.Dense(4, name="dense") for _ in range(2))

        def build(self, shape):
            self.first.build(shape)
            self.second.build((*shape[:-1], 4))

        def call(self, x):
            return self.second(self.first(x))

    model = make_model(Twins())
    assert [v.path for v in model.weights].count("twins/dense/kernel") == 2
    pixels = make_pixels(1)
    answer = run(convert(model, output_names=["logits"]), pixels)["logits"]
    np.testing.assert_allclose(answer, model(pixels, training=False), rtol=1e-5, atol=1e-6)


def test_convert_marks_nodes_with_their_layer(model):
    layers = {marked_layer(node.name) for node in convert(model, output_names=["logits"]).model.graph.node}
    assert {"normalization", "conv", "relu", "pool", "flatten", "logits"} <= layers


def test_convert_keeps_stdout_clean(model, capfd):
    convert(model, output_names=["logits"])
    assert capfd.readouterr().out == ""


def test_convert_sends_prints_of_a_layer_to_stderr(make_model, capsys):
    class Talking(keras.layers.Layer):
        def call(self, x):
            sys.stdout.write("hello")
            return x

    model = make_model(Talking(name="talking"))
    capsys.readouterr()
    convert(model, output_names=["logits"])
    captured = capsys.readouterr()
    assert (captured.out, "hello" in captured.err) == ("", True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("variable", ["conv/kernel", "bn/moving_variance"])
def test_convert_refuses_weights_that_are_not_finite(make_model, make_pixels, variable, bad):
    model = make_model()
    weight = next(v for v in model.weights if v.path == variable)
    values = weight.numpy()
    values.flat[1] = bad
    weight.assign(values)
    with pytest.raises(
        WeightsError, match=f"weight '{variable}': expected finite numbers, received 1 of {values.size}"
    ):
        run(convert(model, output_names=["logits"]), make_pixels(1))


def test_convert_refuses_another_number_of_outputs(model):
    with pytest.raises(ExportError, match=r"expected 2 outputs of the Keras model, \['logits', 'boxes'\], received 1"):
        convert(model, output_names=["logits", "boxes"])


def test_convert_refuses_weights_over_the_limit_of_a_file(model, monkeypatch):
    monkeypatch.setattr(CONVERT, "_LARGEST_FILE", 1000)
    with pytest.raises(ExportError, match="at most 1,000 bytes"):
        convert(model, output_names=["logits"])


def test_convert_says_what_a_layer_that_cannot_be_traced_said(make_model):
    class Eager(keras.layers.Layer):
        def call(self, x):
            return keras.ops.convert_to_tensor(np.asarray(x)) if self.built and not is_symbolic(x) else x

        def compute_output_shape(self, shape):
            return shape

    def is_symbolic(x):
        return isinstance(x, keras.KerasTensor)

    model = make_model(Eager(name="eager"))
    message = r"^the conversion failed: NotImplementedError: Exception encountered when calling Eager\.call\(\)\. \w"
    with pytest.raises(ExportError, match=message):
        convert(model, output_names=["logits"])


def test_hash_weights_is_the_same_for_equal_models(make_model):
    assert hash_weights(make_model(seed=3)) == hash_weights(make_model(seed=3))


def test_hash_weights_changes_with_one_value(make_model):
    model = make_model()
    before = hash_weights(model)
    bias = model.get_layer("logits").bias
    bias.assign(bias.numpy() + np.array([0, 0, 1e-6], np.float32))
    assert hash_weights(model) != before


def test_hash_weights_leaves_random_seeds_out(make_model, make_pixels):
    model = make_model()
    before, seed = hash_weights(model), [v.numpy().tolist() for v in model.variables if "seed" in v.path]
    model(make_pixels(1), training=True)
    assert [v.numpy().tolist() for v in model.variables if "seed" in v.path] != seed
    for name in ("moving_mean", "moving_variance"):
        assert getattr(model.get_layer("bn"), name) is not None
    model.get_layer("bn").set_weights(make_model().get_layer("bn").get_weights())
    assert hash_weights(model) == before


def _exact(*, activation=None, groups=1, name=None):
    return keras.layers.Conv2D(4, 3, groups=groups, padding="same", activation=activation, name=name)


@pytest.mark.parametrize("opset", [13, 17, 18])
@pytest.mark.parametrize(
    ("layers", "operators"),
    [
        (lambda: (_exact(name="first"), _exact(groups=2, name="grouped")), {"Conv"}),
        (lambda: (_exact(name="first"), keras.layers.Conv2D(8, 3, groups=4, strides=2, name="grouped")), {"Conv"}),
        (lambda: (keras.layers.Reshape((12, 10)), keras.layers.Conv1D(4, 3, groups=2, name="grouped")), {"Conv"}),
        (lambda: (_exact(activation="gelu"),), {"Erf"}),
        (lambda: (_exact(activation="celu"),), {"Exp"}),
        (lambda: (_exact(activation=keras.ops.expm1),), {"Exp"}),
        (lambda: (_exact(activation=lambda x: keras.ops.log1p(keras.ops.relu(x))),), {"Log"}),
        (lambda: (_exact(activation=lambda x: keras.ops.logaddexp(x, -x)),), {"Log"}),
    ],
    ids=["groups", "strides", "conv1d", "gelu", "celu", "expm1", "log1p", "logaddexp"],
)
def test_convert_writes_what_tf2onnx_lacks(make_model, make_pixels, layers, operators, opset):
    model, pixels = make_model(*layers()), make_pixels(1)
    converted = convert(model, output_names=["logits"], opset=opset)
    assert operators <= {node.op_type for node in converted.model.graph.node}
    received = run(converted, pixels)["logits"]
    np.testing.assert_allclose(received, np.asarray(model(pixels, training=False)), rtol=1e-5, atol=1e-6)


def test_convert_writes_a_grouped_convolution_as_one(make_model):
    graph = convert(make_model(_exact(name="first"), _exact(groups=2, name="grouped")), output_names=["logits"]).model
    nodes = [node for node in graph.graph.node if node.op_type == "Conv"]
    groups = [next(one.i for one in node.attribute if one.name == "group") for node in nodes]
    assert groups == [1, 2]
    assert [marked_layer(node.name) for node in nodes] == ["first", "grouped"]


def test_convert_leaves_functions_of_others_as_they_are(model):
    before = tf.config.functions_run_eagerly()
    convert(model, output_names=["logits"])
    assert tf.config.functions_run_eagerly() is before


@pytest.mark.slow
def test_convert_takes_convnext(make_pixels):
    image = keras.Input((32, 32, 3), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1.0, name="normalization")(image)
    network = keras.applications.ConvNeXtTiny(
        input_shape=(32, 32, 3), weights=None, classes=5, classifier_activation=None
    )
    model, pixels = keras.Model(image, network(x)), make_pixels(1, size=(32, 32), channels=3)
    received = run(convert(model, output_names=["logits"]), pixels)
    expected = np.asarray(model(pixels, training=False))
    assert np.abs(received["logits"] - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["_x", "-x", ".x", "_", "x_1", "edgecnn.model"])
def test_convert_takes_layers_of_any_name_that_tensorflow_takes(make_model, make_pixels, name):
    model, pixels = make_model(keras.layers.Conv2D(4, 3, activation="relu", name=name)), make_pixels(1)
    converted = convert(model, output_names=["logits"])
    assert {marked_layer(node.name) for node in converted.model.graph.node if node.op_type == "Conv"} == {name}
    received = run(converted, pixels)["logits"]
    np.testing.assert_allclose(received, np.asarray(model(pixels, training=False)), rtol=1e-5, atol=1e-6)


def test_convert_names_a_layer_whose_name_tensorflow_refuses_and_the_cure_works(make_model):
    old = make_model(keras.layers.Conv2D(4, 3, name="a b"))
    with pytest.raises(
        ExportError, match=r"^layer 'a b': expected a name of letters.* Build the model with another name .*set_weights"
    ):
        convert(old, output_names=["logits"])
    new = make_model(keras.layers.Conv2D(4, 3, name="a_b"), seed=1)
    new.set_weights(old.get_weights())
    convert(new, output_names=["logits"])
    assert hash_weights(new) != hash_weights(make_model(keras.layers.Conv2D(4, 3, name="a_b"), seed=1))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_convert_names_a_policy_of_other_precision_and_the_cure_works(make_model, make_pixels, tmp_path, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy(before)
    with pytest.raises(
        ExportError, match=rf"layer 'conv': .*received the policy '{policy}'.*dtype_policy = \"float32\""
    ):
        convert(model, output_names=["logits"])
    for layer in model.layers:
        layer.dtype_policy = "float32"
    model.save(tmp_path / "float32.keras")
    pixels, cured = make_pixels(1), keras.models.load_model(tmp_path / "float32.keras")
    received = run(convert(cured, output_names=["logits"]), pixels)
    np.testing.assert_allclose(received["logits"], np.asarray(cured(pixels, training=False)), rtol=1e-5, atol=1e-6)
    for before_saving, after in zip(model.get_weights(), cured.get_weights(), strict=True):
        np.testing.assert_array_equal(before_saving.astype(np.float32), after)


def _bare_sequential():
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential(layers, name="bare")


class _Own(keras.Model):
    def __init__(self):
        super().__init__(name="bare")
        self.body = _bare_sequential()

    def call(self, image):
        return self.body(image)


@pytest.mark.parametrize("make", [_bare_sequential, _Own])
def test_convert_refuses_a_model_without_inputs_and_the_cure_works(make_pixels, make):
    model, pixels = make(), make_pixels(1)
    with pytest.raises(ExportError, match="model 'bare': expected one that knows its inputs"):
        convert(model, output_names=["logits"])
    image = keras.Input((12, 10, 1), dtype="uint8")
    wrapped = keras.Model(image, model(image))
    received = run(convert(wrapped, output_names=["logits"]), pixels)
    np.testing.assert_allclose(received["logits"], np.asarray(wrapped(pixels, training=False)), rtol=1e-5, atol=1e-6)
    given = keras.Sequential([image, *_bare_sequential().layers])
    assert convert(given, output_names=["logits"]).model.graph.input[0].name == "image"


@pytest.mark.parametrize("name", ["\udce9", "", "a\nb", "\x1b[1m"])
def test_convert_refuses_names_that_no_file_can_hold(model, name):
    with pytest.raises(ExportError, match="expected names of inputs and outputs in printable characters"):
        convert(model, output_names=[name])
