"""Recurrent layers become one operator each, whatever the batch."""

import keras
import numpy as np
import onnx
import pytest

from edgecnn.models.layers import LastWord
from edgecnn_exporters.errors import UnsupportedOpError
from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import finish
from edgecnn_runtime.session import Session

LENGTH, UNITS = 7, 5
LAYERS = {
    "LSTM": lambda: keras.layers.LSTM(UNITS, return_sequences=True),
    "bidirectional": lambda: keras.layers.Bidirectional(keras.layers.LSTM(UNITS, return_sequences=True)),
}


def build(kind, layer=None):
    keras.utils.set_random_seed(3)
    image = keras.Input((6, 6, 3), dtype="uint8", name="image")
    question = keras.Input((LENGTH,), dtype="int32", name="question")
    seen = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(image)))
    states = (layer or LAYERS[kind]())(keras.layers.Embedding(9, 4)(question))
    read = LastWord()(states, question)
    both = keras.layers.Add()([keras.layers.Dense(4)(seen), keras.layers.Dense(4)(read)])
    return keras.Model([image, question], keras.layers.Dense(3, name="logits")(both))


def feeds(count):
    random = np.random.default_rng(0)
    ids = random.integers(1, 9, (count, LENGTH)).astype(np.int32)
    for row, words in zip(ids, range(count), strict=True):
        row[1 + words % LENGTH :] = 0
    return {"image": random.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8), "question": ids}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("batch", [1, 4, None])
def test_a_recurrent_layer_is_one_operator_and_answers_as_keras(kind, batch, tmp_path):
    model = build(kind)
    names = {"input_names": ["image", "question"], "output_names": ["logits"], "batch": batch}
    finish(convert(model, **names), tmp_path / "model.onnx", **names)
    graph = onnx.load(tmp_path / "model.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert not {"Loop", "Scan", "If"} & set(operators)
    assert operators.count("LSTM") == 1
    session = Session((tmp_path / "model.onnx").read_bytes(), device="cpu", threads=1)
    for count in (batch,) if batch else (1, 3, 8):
        taken = feeds(count)
        expected = np.asarray(model([taken["image"], taken["question"]], training=False))
        assert session.run(taken)["logits"] == pytest.approx(expected, abs=1e-5)


def test_a_layer_that_stays_a_loop_is_named(tmp_path):
    model = build("GRU", keras.layers.GRU(UNITS, return_sequences=True, name="recurrent"))
    names = {"input_names": ["image", "question"], "output_names": ["logits"], "batch": 1}
    with pytest.raises(UnsupportedOpError, match="Loop of layer 'recurrent'"):
        finish(convert(model, **names), tmp_path / "model.onnx", **names)


def test_a_fixed_batch_leaves_no_arithmetic_on_shapes(tmp_path):
    names = {"input_names": ["image", "question"], "output_names": ["logits"], "batch": 1}
    finish(convert(build("LSTM"), **names), tmp_path / "model.onnx", **names)
    operators = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert not {"Shape", "Range", "Expand", "ConstantOfShape"} & operators
