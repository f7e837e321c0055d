import importlib
import io
import sys

import keras
import numpy as np
import onnx
import pytest

from edgecnn_exporters.convert import convert, hash_weights
from edgecnn_exporters.errors import ExportError, WeightsError
from edgecnn_exporters.layers import marked_layer
from edgecnn_exporters.writer import write_model
from edgecnn_runtime.session import Session

CONVERT = importlib.import_module("edgecnn_exporters.convert")


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
