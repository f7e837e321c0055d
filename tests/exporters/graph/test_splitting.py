"""A picture's part of a graph behind an If."""

import numpy as np
import onnx
import pytest
import questions
from onnx import helper, numpy_helper

from edgecnn_exporters.candidate import Candidate
from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.graph.splitting import check_splittable, kept_in_graph, split
from edgecnn_exporters.regions import not_of_image_alone
from edgecnn_runtime.session import Session


def test_not_of_image_alone_names_the_question_and_what_it_is_joined_with():
    graph = questions.make_model().graph
    assert not_of_image_alone(graph, "image") == ("read/Gather", "read/ReduceSum", "joined/Mul", "logits/MatMul")


def test_not_of_image_alone_is_empty_without_a_question(tiny):
    assert not_of_image_alone(tiny.build().graph, "image") == ()


def test_split_leaves_the_picture_to_one_branch_and_the_question_outside():
    model = questions.make_model()
    manifest = kept_in_graph(model, questions.make_manifest())
    divided = split(model, manifest)
    assert manifest == questions.make_manifest(kept=True)
    onnx.checker.check_model(divided, full_check=True)
    (choice,) = (node for node in divided.graph.node if node.op_type == "If")
    branches = {attribute.name: attribute.g for attribute in choice.attribute}
    assert [node.op_type for node in branches["else_branch"].node] == ["Cast", "ReduceMean", "MatMul"]
    assert [weight.name for weight in branches["else_branch"].initializer] == ["of_picture"]
    assert "image" not in {name for node in divided.graph.node for name in node.input}
    assert {weight.name for weight in divided.graph.initializer} >= {"of_words", "to_logits", "axes"}
    assert [output.name for output in divided.graph.output] == ["logits", "picture"]
    assert model == questions.make_model()


def test_a_known_picture_takes_the_place_of_the_one_that_is_fed():
    model = questions.make_model()
    divided = split(model, kept_in_graph(model, questions.make_manifest()))
    session = Session(divided.SerializeToString(), device="cpu", threads=1)
    feeds = {"image": questions.draw(0)[np.newaxis], "question": np.array([[2, 3, 0, 0]], np.int32)}
    vector = np.array([1.0, -2.0, 0.5], np.float32)
    known = session.run({**feeds, "picture_is_known": np.ones(1, np.float32), "known_picture": vector})
    expected = (vector * questions.OF_WORDS[[2, 3]].sum(axis=0)) @ questions.TO_LOGITS
    assert known["logits"][0] == pytest.approx(expected, rel=1e-5)
    assert known["picture"][0].tolist() == vector.tolist()


def test_a_candidate_is_divided_and_read_back(tmp_path):
    whole = Candidate.write(questions.make_model(), tmp_path / "whole.onnx", questions.make_manifest(), 1)
    divided = whole.splitting(tmp_path / "divided.onnx")
    assert {"If", "Cast", "Reshape"} <= set(divided.graph.requirements.operators)
    for seed in (0, 0, 1):
        answers = [one.predictor(threads=1).predict(questions.draw(seed), "is it blue") for one in (whole, divided)]
        assert np.array_equal(answers[0].scores, answers[1].scores)


def test_check_splittable_refuses_other_tasks_and_batches(tiny):
    with pytest.raises(ExportError, match="answers questions about a picture, received one for classification"):
        check_splittable(tiny.manifest, 1)
    for batch, received in ((2, "2"), (None, "dynamic")):
        with pytest.raises(ExportError, match=f"--batch 1, .* received {received}"):
            check_splittable(questions.make_manifest(), batch)


def test_kept_in_graph_refuses_two_ways_from_the_picture_to_the_answer():
    model = questions.make_model()
    model.graph.node.insert(6, helper.make_node("Add", ["joined", "seen/vector"], ["twice"], "joined/Add"))
    model.graph.node[7].input[0] = "twice"
    assert kept_in_graph(model, questions.make_manifest())  # one vector, read twice
    model.graph.node.insert(3, helper.make_node("Neg", ["seen/vector"], ["seen/other"], "seen/Neg"))
    model.graph.node[7].input[1] = "seen/other"
    with pytest.raises(ExportError, match=r"expected one vector between .*seen/vector.*seen/other"):
        kept_in_graph(model, questions.make_manifest())


def test_kept_in_graph_refuses_a_map():
    model = questions.make_model()
    weight = numpy_helper.from_array(np.zeros((1, 8, 6, 3), np.float32), "mask")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    sums = helper.make_node("Add", ["seen/floats", "read/map"], ["joined"], "joined/Add")
    to_map = helper.make_node("Mul", ["mask", "read/any"], ["read/map"], "read/Mul")
    first = helper.make_node("ReduceSum", ["read/words"], ["read/any"], "read/ReduceSum", keepdims=0)
    mean = helper.make_node("ReduceMean", ["joined"], ["mean"], "logits/ReduceMean", axes=[1, 2], keepdims=0)
    last = helper.make_node("MatMul", ["mean", "to_logits"], ["logits"], "logits/MatMul")
    model.graph.node.extend([nodes[0], nodes[3], first, to_map, sums, mean, last])
    model.graph.initializer.append(weight)
    with pytest.raises(ExportError, match="expected one vector between"):
        kept_in_graph(model, questions.make_manifest())
