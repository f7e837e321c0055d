"""Detectors that propose regions, through the exporters: what a file answers, and which mistakes an export refuses."""

import json
from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest

from edgecnn.models import build_model, get_spec
from edgecnn.models.adapter import KerasModel
from edgecnn.models.build import build_manifest
from edgecnn_exporters import ExportError, ParityError, export
from edgecnn_exporters.candidate import Candidate
from edgecnn_exporters.graph import ranking
from edgecnn_exporters.quantization.quantize import to_float16
from edgecnn_exporters.regions import after_choice, not_of_image_alone
from edgecnn_exporters.shares import PARTS
from edgecnn_runtime import Predictor
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.proposals import windows_over
from edgecnn_runtime.tasks import candidates
from edgecnn_runtime.verification import trace, verify

SIZE, LABELS, PLACE = (64, 96), ["cat", "dog", "owl"], Placement((64, 96), (1.0, 1.0), (0.0, 0.0))


def drawn(name, seed, **scales):
    """A narrow network with random weights, of the scales given for some layers, and its manifest."""
    keras.utils.set_random_seed(seed)
    model = build_model(name, image_size=SIZE, width=0.1, num_classes=len(LABELS))
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, random.normal(0, 0.3, beta.shape), mean, variance])
    for layer, scale in ((model.get_layer(one), scale) for one, scale in scales.items()):
        layer.set_weights([random.normal(0, scale, weight.shape) for weight in layer.get_weights()])
    return model, build_manifest(get_spec(name), LABELS, image_size=SIZE, width=0.1)


@pytest.fixture(scope="module")
def detector():
    """Its biases are random too, so that a black picture has likely and unlikely places.

    The scales give logits up to 11 and shifts of anchors up to .6, as of a trained network, and of this seed rounding
    decides nothing: noise of 1e-5 of the largest score and shift changes no region of the pictures below.
    """
    return drawn("faster_rcnn", 11, objectness=0.3, anchor_shifts=0.01, class_units=0.02, shift_units=0.003)


def write(detector, path, **options):
    model, manifest = detector
    return export(model, manifest, path, reference=KerasModel(model, manifest), **options)


def pictures(count):
    """Noise of other coarseness each, the last one black."""
    random = np.random.default_rng(count)
    made = [
        np.kron(random.integers(0, 256, (64 // step, 96 // step, 3)), np.ones((step, step, 1)))
        for step in (1, 2, 4, 8, 16)[: count - 1]
    ]
    return np.stack([*made, np.zeros((*SIZE, 3))]).astype(np.uint8)


@pytest.fixture(scope="module")
def regarding():
    """One that looks at given regions."""
    return drawn("rcnn", 6, class_units=0.3, shift_units=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [None, 2])
def test_a_file_finds_what_keras_finds_in_given_regions(regarding, tmp_path, batch):
    write(regarding, tmp_path / "model.onnx", batch=batch)
    predictor, source = Predictor.load(tmp_path / "model.onnx", device="cpu", verify=True), KerasModel(*regarding)
    assert not {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node} & {"Loop", "If", "Scan"}
    for count in (1, 2, 5):
        pixels, regions = pictures(count), np.zeros((count, 300, 4), np.float32)
        for row, most in zip(regions, (60, 300, 1, 0, 17), strict=False):  # all places, one, none
            row[:most] = np.resize(windows_over(SIZE), (most, 4))
        regions[-1, 1:] = 0  # all regions of the black picture score alike, and rounding would choose among them
        expected = source.results(source.run({"image": pixels, "proposals": regions}), [PLACE] * count)
        boxes = [row[row[:, 2] > 0] for row in regions]
        received = predictor.predict_batch(list(pixels), proposals=boxes)
        assert sum(map(len, expected)) >= count
        for own, found in zip(expected, received, strict=True):
            rows = [np.column_stack([one.class_ids * 1000, one.boxes, one.scores * 100]) for one in (own, found)]
            if not len(own):
                assert not len(found)
                continue
            apart = np.abs(rows[0][:, np.newaxis] - rows[1]).max(axis=2)
            alone = [(apart.min(axis=axis) > 2e-2).sum() for axis in (0, 1)]
            assert max(alone) <= 0.05 * len(own), "rounding chooses among windows that overlap and score alike"


@pytest.mark.slow
def test_a_golden_sample_holds_the_regions_that_were_looked_at(regarding, tmp_path):
    write(regarding, tmp_path / "model.onnx")
    predictor = Predictor.load(tmp_path / "model.onnx", device="cpu")
    sample, *_ = predictor.claims.golden
    assert trace(predictor, sample.image_bytes, proposals=sample.proposals).inputs == sample.trace.inputs
    height, width = sample.trace.image_size
    others = [[0, 0, width / 2, height / 3], *sample.proposals[1:]]
    assert trace(predictor, sample.image_bytes, proposals=others).inputs != sample.trace.inputs
    claims = replace(predictor.claims, golden=(replace(sample, proposals=tuple(map(tuple, others))),))
    predictor.claims = claims
    assert not verify(predictor).passed


@pytest.mark.slow
def test_the_network_of_given_regions_computes_with_integers(regarding, tmp_path):
    write(regarding, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert not_of_image_alone(graph, "image") == ()
    assert not after_choice(graph)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [None, 2])
def test_a_file_finds_what_keras_finds_in_batches_and_in_a_black_picture(detector, tmp_path, batch):
    write(detector, tmp_path / "model.onnx", batch=batch)
    predictor, source = Predictor.load(tmp_path / "model.onnx", device="cpu"), KerasModel(*detector)
    assert not {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node} & {"Loop", "If", "Scan"}
    for count in (1, 2, 5):
        pixels = pictures(count)
        expected = source.results(source.run({"image": pixels}), [PLACE] * count)
        received = list(predictor.predict_batch(list(pixels)))
        assert sum(map(len, expected)) > count
        for own, found in zip(expected, received, strict=True):
            assert found.class_ids.tolist() == own.class_ids.tolist()
            np.testing.assert_allclose(found.scores, own.scores, atol=2e-5)
            np.testing.assert_allclose(found.boxes, own.boxes, atol=2e-2)
        assert len(expected[-1]) > 0, "the black picture"


@pytest.mark.slow
def test_an_export_says_where_the_time_goes(detector, tmp_path):
    report = write(detector, tmp_path / "model.onnx")
    assert tuple(report.shares) == PARTS
    assert sum(report.shares.values()) == pytest.approx(1, abs=1e-3)
    assert min(report.shares.values()) > 0
    assert json.loads(report.report_path.read_text())["shares"] == report.shares


@pytest.mark.slow
def test_a_float16_graph_ranks_in_float32(detector, tmp_path):
    write(detector, tmp_path / "model.onnx", batch=None)
    model = to_float16(onnx.load(tmp_path / "model.onnx"))
    candidate = Candidate.write(model, tmp_path / "half.onnx", detector[1], None)
    graph = onnx.load(tmp_path / "half.onnx").graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert {kinds[node.input[1]] for node in graph.node if node.op_type == "Conv"} == {onnx.TensorProto.FLOAT16}
    chosen = [node for node in graph.node if node.name in after_choice(graph)]
    assert {"TopK", "NonMaxSuppression", "MatMul"} <= {node.op_type for node in chosen}
    halves = {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT16}
    for node in graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT16:
            halves.update(node.output)
    assert not any(halves.intersection(node.input) for node in chosen if node.op_type != "Cast")
    boxes = candidate.load().run({"image": pictures(3)})["regions"]
    assert not np.array_equal(boxes, boxes.astype(np.float16)), "pixels keep their fractions"


@pytest.mark.slow
def test_regions_that_are_decoded_otherwise_than_keras_decodes_them_are_refused(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "REGION_DEVIATIONS", (0.1, 0.1, 0.1, 0.2))
    with pytest.raises(ParityError, match=r"parity\.(boxes|scores)"):
        write(detector, tmp_path / "model.onnx")


@pytest.mark.slow
def test_a_graph_that_suppresses_otherwise_than_keras_is_refused(detector, tmp_path, monkeypatch):
    written = ranking._write_suppression

    def laxer(context, node, name, given):
        node.input[4] = context.make_const(f"{name}/laxer", np.array(0.9, np.float32)).output[0]
        written(context, node, name, given)

    monkeypatch.setattr(ranking, "_write_suppression", laxer)
    with pytest.raises(ParityError, match=r"parity\.tensors"):
        write(detector, tmp_path / "model.onnx")


def test_suppression_in_the_graph_is_for_grids(detector, tmp_path):
    with pytest.raises(ExportError, match=r"--nms graph: expected .* received decoder 'regions'"):
        write(detector, tmp_path / "model.onnx", nms="graph")


@pytest.mark.slow
def test_a_file_agrees_with_its_source_on_every_region(detector, tmp_path):
    write(detector, tmp_path / "model.onnx", batch=None)
    predictor, source, pixels = (
        Predictor.load(tmp_path / "model.onnx", device="cpu"),
        KerasModel(*detector),
        pictures(5),
    )
    expected, received = source.run({"image": pixels}), predictor.session.run({"image": pixels})
    for name, values in expected.items():  # with no row brought into another order
        np.testing.assert_allclose(received[name], values, atol=1e-5 * np.abs(values).max(), err_msg=name)
