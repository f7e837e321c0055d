"""Detectors through the exporters: narrow ones with random weights, whose objects are likely."""

from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest

from edgecnn.cli import main
from edgecnn.data.targets import Objects
from edgecnn.models import build_model, get_spec
from edgecnn.models.adapter import KerasModel
from edgecnn.models.build import build_manifest
from edgecnn.tasks.detection.metric import AveragePrecision
from edgecnn_exporters import CalibrationImages, ParityError, QuantizationConfig, export
from edgecnn_exporters.graph import suppression
from edgecnn_exporters.graph.convert import convert
from edgecnn_exporters.graph.publish import finish
from edgecnn_exporters.graph.suppression import in_graph
from edgecnn_runtime import Predictor
from edgecnn_runtime.decoders import OperatingPoint
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.preprocessing import Placement

SIZE, LABELS = (96, 128), ["cat", "dog", "owl"]
LAST = {"yolov3_tiny": ("conv9", "conv12"), "yolov3": ("conv58", "conv66", "conv74")}


def make_detector(name):
    keras.utils.set_random_seed(3)
    model = build_model(name, image_size=SIZE, width=0.125, num_classes=len(LABELS))
    for layer in (model.get_layer(layer) for layer in LAST[name]):
        layer.kernel.assign(layer.kernel.numpy() * 4)
        biases = layer.bias.numpy().reshape(3, -1)
        biases[:, 4] = 0.0  # where nothing is, a score of a quarter
        layer.bias.assign(biases.reshape(-1))
    return model, build_manifest(get_spec(name), LABELS, image_size=SIZE, width=0.125)


@pytest.fixture(scope="module")
def tiny():
    return make_detector("yolov3_tiny")


def write(tiny, path, **options):
    model, manifest = tiny
    return export(model, manifest, path, reference=KerasModel(model, manifest), golden_samples=2, **options)


@pytest.fixture(scope="module")
def files(tiny, tmp_path_factory):
    """The raw file and the one that suppresses, of any batch, with a point for a class of its own."""
    folder = tmp_path_factory.mktemp("detectors")
    model, manifest = tiny
    decoder = replace(manifest.decoder, operating_points=(OperatingPoint(1, 0.6, None, None),))
    detector = model, replace(manifest, decoder=decoder)
    return {nms: write(detector, folder / f"{nms}.onnx", batch=None, nms=nms).path for nms in ("runtime", "graph")}


def pictures():
    """Noise of several sizes and a black one, in which nothing is found."""
    random = np.random.default_rng(0)
    noise = [
        random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((96, 128), (50, 70), (130, 90), (200, 300))
    ]
    return [*noise[:2], np.zeros((96, 128, 3), np.uint8), *noise[2:]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_file_that_suppresses_answers_as_the_raw_one(files, count):
    raw, inside = (Predictor.load(files[nms], device="cpu", threads=1) for nms in ("runtime", "graph"))
    found = []
    for one, other in zip(raw.predict_batch(pictures()[:count]), inside.predict_batch(pictures()[:count]), strict=True):
        found.append(len(one))
        assert type(other) is type(one)
        assert other.class_ids.tolist() == one.class_ids.tolist()
        np.testing.assert_allclose(other.scores, one.scores, rtol=1e-5)
        np.testing.assert_allclose(other.boxes, one.boxes, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(other.needed, one.needed, rtol=1e-6)
    assert max(found) > 2


def test_a_file_that_suppresses_finds_nothing_where_nothing_is(files):
    inside = Predictor.load(files["graph"], device="cpu")
    best = max(float(result.scores.max(initial=0.0)) for result in inside.predict_batch(pictures()))
    decoder = replace(inside.manifest.decoder, score_threshold=(1 + best) / 2, operating_points=None)
    strict = inside.with_decoder(decoder)
    assert [len(result) for result in strict.predict_batch(pictures())] == [0] * 5


def test_a_file_that_suppresses_says_what_was_proven_of_its_raw_outputs_and_its_answers(files):
    loaded = {nms: Predictor.load(path, device="cpu") for nms, path in files.items()}
    raw, inside = (loaded[nms].evidence for nms in ("runtime", "graph"))
    assert [tensor.output for tensor in inside.parity.tensors] == ["scale_16", "scale_32"]
    assert {gate.name for gate in inside.gates} == {gate.name for gate in raw.gates}
    assert (inside.parity.decoded.agreement, inside.parity.decoded.images) == (1.0, 32)
    assert {"NonMaxSuppression", "TopK"} <= set(inside.requirements.operators)
    assert not {"Loop", "If", "Scan", "Tile"} & set(inside.requirements.operators)
    assert loaded["graph"].manifest.decoder.thresholds(3) == loaded["runtime"].manifest.decoder.thresholds(3)
    samples = inside.golden
    assert [output.name for output in samples[0].trace.outputs] == ["detections", "valid"]
    assert Predictor.load(files["graph"], device="cpu", verify=True).verification.passed


def test_a_graph_that_decodes_otherwise_is_refused(tiny, tmp_path, monkeypatch):
    def swapped(*given):
        cells = suppression_cells(*given)
        return cells._replace(corners=cells.corners[:, ::-1])

    suppression_cells = suppression.cells_at
    monkeypatch.setattr(suppression, "cells_at", swapped)
    with pytest.raises(ParityError, match=r"parity\."):
        write(tiny, tmp_path / "m.onnx", nms="graph")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(("most", "iou"), [(300, 0.45), (4, 0.6)])
def test_a_metric_is_fed_what_lies_below_the_files_own_threshold(tiny, tmp_path, most, iou):
    """A graph's thresholds are inputs: AP is measured from .001 on, whatever the file answers from."""
    model, manifest = tiny
    decoder = replace(manifest.decoder, score_threshold=0.95, most=most, iou_threshold=iou)
    manifest = replace(manifest, decoder=decoder)
    report = write((model, manifest), tmp_path / "m.onnx", nms="graph", **judged(model, manifest))
    assert report.evidence.parity.metric.source > 0
    assert report.evidence.parity.metric.file == pytest.approx(
        report.evidence.parity.metric.source, abs=1e-3
    )  # as the gate allows


def judged(model, manifest, count=6):
    """Pictures whose objects are what the model finds from .3 on, so that it has an AP."""
    pixels = np.random.default_rng(1).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)
    placements = [Placement(SIZE, (1.0, 1.0), (0.0, 0.0))] * count
    source = KerasModel(model, manifest)
    least = replace(manifest, decoder=replace(manifest.decoder, score_threshold=0.3))
    found = source.results(source.run({"image": pixels}), placements, least)
    truths = [Objects.of(one.boxes[::2].tolist(), one.class_ids[::2].tolist()) for one in found]
    return {
        "evaluation": [Batch({"image": pixels}, placements, truths)],
        "metric": lambda: AveragePrecision(manifest),
    }


@pytest.mark.slow
def test_an_int8_file_suppresses_in_float(tiny, tmp_path):
    model, manifest = tiny
    images = np.random.default_rng(2).integers(0, 256, (32, *SIZE, 3), dtype=np.uint8)
    config = QuantizationConfig("int8", max_drop=1.0, min_speedup=0.0)
    calibration = CalibrationImages([images])
    options = judged(model, manifest) | {"quantization": config, "calibration": calibration}
    report = write(tiny, tmp_path / "m.onnx", nms="graph", **options)
    graph = onnx.load(tmp_path / "m.onnx").graph
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("TopK", "NonMaxSuppression", "GatherND", "Exp", "ScatterND", "Sigmoid"):
            assert "QuantizeLinear" not in {producers[name].op_type for name in node.input if name in producers}
    assert report.evidence.precision == "int8"
    assert report.evidence.quantization.layers == 11
    assert report.evidence.quantization.float_layers == ("conv12/Conv", "conv9/Conv")
    assert "parity.ap50_drop" in {gate.name for gate in report.evidence.gates}
    assert Predictor.load(tmp_path / "m.onnx", device="cpu", verify=True).verification.passed


@pytest.mark.slow
def test_a_float16_file_suppresses_in_float32(tiny, tmp_path):
    report = write(tiny, tmp_path / "m.onnx", nms="graph", quantization=QuantizationConfig("float16"))
    assert report.evidence.precision == "float16"
    found = Predictor.load(tmp_path / "m.onnx", device="cpu", verify=True).predict(pictures()[0])
    assert len(found) > 2


def test_a_keras_model_has_no_manifest_of_a_graph_that_suppresses(tiny):
    model, manifest = tiny
    raw = {output.name: np.zeros((1, *output.shape), np.float32) for output in manifest.outputs}
    with pytest.raises(ManifestError, match="expected decoder 'yolo' of raw outputs, received 'detections'"):
        KerasModel(model, manifest).results(raw, [Placement(SIZE, (1.0, 1.0), (0.0, 0.0))], in_graph(manifest))


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize(("name", "resized"), [("yolov3_tiny", 1), pytest.param("yolov3", 2, marks=pytest.mark.slow)])
def test_a_detector_upsamples_by_resize_whatever_the_batch(name, resized, batch, tmp_path):
    """A free batch left the Tiles in, because the shapes of the copies were calculated."""
    model, manifest = make_detector(name)
    names = [output.name for output in manifest.outputs]
    converted = convert(model, output_names=names, batch=batch)
    finish(converted, tmp_path / "m.onnx", input_names=["image"], output_names=names, batch=batch)
    operators = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert operators.count("Resize") == resized
    assert not {"Tile", "Shape", "Slice", "Loop", "If"} & set(operators)


def test_export_refuses_suppression_where_there_is_none(tmp_path, capfd):
    words = ["export", "mnist_convnet", "--weights", "none", "-o", str(tmp_path / "m.onnx"), "--nms", "graph"]
    assert main(words) == 2
    assert "--nms graph: it cannot take effect on mnist_convnet" in capfd.readouterr().err
