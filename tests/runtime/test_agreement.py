"""faults.md, row 10: a manifest that contradicts its graph is refused, and both values are shown."""

import dataclasses
import json

import onnx
import pytest
from onnx import TensorProto

from edgecnn_runtime import Manifest, Predictor, Session
from edgecnn_runtime.decoders import OutputSpec
from edgecnn_runtime.errors import ManifestError


def test_a_manifest_that_agrees_is_accepted(make_graph, make_manifest):
    Predictor(Session(make_graph(), device="cpu"), make_manifest())


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"input_name": "x"}, r"input names: expected \['image'\] \(manifest\), received \['x'\] \(graph\)"),
        ({"output_name": "y"}, r"output names: expected \['logits'\] \(manifest\), received \['y'\] \(graph\)"),
        ({"input_type": TensorProto.FLOAT}, r"input 'image' dtype: expected uint8 .* received float32"),
        ({"size": (9, 6)}, r"input 'image' shape .*: expected \(8, 6, 1\) .* received \(9, 6, 1\)"),
        ({"size": (6, 8)}, r"expected \(8, 6, 1\) .* received \(6, 8, 1\)"),
        ({"channels": 3}, r"expected \(8, 6, 1\) .* received \(8, 6, 3\)"),
        ({"size": ("height", "width")}, r"expected \(8, 6, 1\) .* received \(None, None, 1\)"),
        ({"classes": 4}, r"output 'logits' shape .*: expected \(3,\) .* received \(4,\)"),
    ],
)
def test_a_graph_that_contradicts_the_manifest_is_refused(make_graph, make_manifest, graph, message):
    with pytest.raises(ManifestError, match=message) as caught:
        Predictor(Session(make_graph(**graph), device="cpu"), make_manifest())
    assert caught.value.exit_code == 6


def test_free_sizes_agree_with_free_sizes(make_graph, make_manifest):
    session = Session(make_graph(size=("height", "width"), batch="batch"), device="cpu")
    predictor = Predictor(session, make_manifest(height=None, width=None, multiple_of=4))
    assert predictor.batch is None


def test_an_output_that_the_graph_lacks_is_refused(make_graph, make_manifest):
    manifest = make_manifest(outputs=(OutputSpec("logits", (3,)), OutputSpec("features", (10,))))
    with pytest.raises(ManifestError, match=r"expected \['logits', 'features'\] .* received \['logits'\]"):
        Predictor(Session(make_graph(), device="cpu"), manifest)


def test_load_names_the_file_whose_parts_disagree(tmp_path, make_graph, make_manifest, write_model):
    path = write_model(tmp_path / "bad.onnx", make_graph(classes=4), make_manifest())
    with pytest.raises(ManifestError, match=r"bad\.onnx: manifest and graph disagree"):
        Predictor.load(path, device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "expected schema_version 1, received 2"),
        ({"surprise": 1}, r"unknown \['surprise'\]"),
        ({"task": "weather"}, "received 'weather'"),
        ({"task": "detection"}, "expected a decoder for detection, received 'softmax', one for classification"),
        ({"labels": ["zero", "one"]}, "expected 3 labels for output 'logits', received 2"),
    ],
)
def test_load_refuses_a_manifest_of_another_kind(tmp_path, make_manifest, write_model, changes, message):
    text = json.dumps({**json.loads(make_manifest().to_json()), **changes})
    path = write_model(tmp_path / "model.onnx", manifest=text)
    with pytest.raises(ManifestError, match=message):
        Predictor.load(path, device="cpu")


def test_load_refuses_a_manifest_without_a_key(tmp_path, make_manifest, write_model):
    tree = json.loads(make_manifest().to_json())
    del tree["labels"]
    with pytest.raises(ManifestError, match=r"missing \['labels'\]"):
        Predictor.load(write_model(tmp_path / "model.onnx", manifest=json.dumps(tree)), device="cpu")


def test_a_graph_with_inputs_that_the_manifest_does_not_know_is_refused(make_graph, make_manifest):
    """A default that nobody named would be an answer that nobody chose."""
    model = onnx.load_from_string(make_graph())
    bias = next(weight for weight in model.graph.initializer if weight.name == "biases")
    model.graph.input.append(onnx.helper.make_tensor_value_info("biases", bias.data_type, list(bias.dims)))
    with pytest.raises(
        ManifestError, match=r"inputs with a default: expected \[\] \(manifest\), received \['biases'\]"
    ):
        Predictor(Session(model.SerializeToString(), device="cpu"), make_manifest())


def test_manifest_fields_are_those_that_are_checked():
    # A new field of the manifest needs a decision here: compare it with the graph, or not.
    assert [field.name for field in dataclasses.fields(Manifest)] == [
        "task",
        "model",
        "inputs",
        "labels",
        "decoder",
        "outputs",
    ]
