"""Detectors through the exporters: narrow ones with random weights, whose objects are likely."""

from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest

from edgecnn.cli import main
from edgecnn.data.scenes import KINDS, boxes_of, render
from edgecnn.data.shapes import scene_of
from edgecnn.data.targets import Boxes, Objects
from edgecnn.models import build_model, get_spec
from edgecnn.models.adapter import KerasModel
from edgecnn.models.build import build_manifest
from edgecnn.tasks.detection.losses import YoloLoss
from edgecnn.tasks.detection.metric import AveragePrecision
from edgecnn.tasks.detection.outputs import arrays
from edgecnn.tasks.detection.targets import encoder
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
from edgecnn_runtime.tasks import candidates, detection

SIZE, LABELS = (96, 128), ["cat", "dog", "owl"]
LAST = {"yolov3_tiny": ("conv9", "conv12"), "yolov3": ("conv58", "conv66", "conv74")}


def make_fresh(name):
    keras.utils.set_random_seed(3)
    model = build_model(name, image_size=SIZE, width=0.125, num_classes=len(LABELS))
    return model, build_manifest(get_spec(name), LABELS, image_size=SIZE, width=0.125)


def make_detector(name):
    model, manifest = make_fresh(name)
    for layer in (model.get_layer(layer) for layer in LAST[name]):
        layer.kernel.assign(layer.kernel.numpy() * 4)
        biases = layer.bias.numpy().reshape(3, -1)
        biases[:, 4] = 0.0  # where nothing is, a score of a quarter
        layer.bias.assign(biases.reshape(-1))
    return model, manifest


def make_learned(name):
    """A detector that saw four pictures a few times: it finds hardly anything."""
    model, manifest = make_fresh(name)
    scenes, scales = [scene_of("train", index, 6) for index in range(4)], manifest.decoder.scales
    truths = [Objects.of(boxes_of(one).tolist(), [KINDS.index(s.kind) % 3 for s in one.shapes]) for one in scenes]
    taught = encoder(scales)(arrays(Boxes(tuple(truths)), [Placement(SIZE, (1.0, 1.0), (0.0, 0.0))] * 4), SIZE)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=[YoloLoss(scale) for scale in scales])
    pixels = np.stack([render(scene) for scene in scenes])
    model.fit(pixels, [np.asarray(taught[scale.output]) for scale in scales], epochs=8, verbose=0)
    return model, manifest


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


def exchanged_in_the_runtime(monkeypatch):
    right = candidates.boxes_of
    monkeypatch.setattr(candidates, "boxes_of", lambda raw, cells: right(raw, cells)[:, [1, 0, 3, 2]])


def unsuppressed_in_the_runtime(monkeypatch):
    def every(_boxes, scores, _groups, **options):
        return np.argsort(-scores, kind="stable")[: options["most"]]

    monkeypatch.setattr(detection, "non_max_suppression", every)


def exchanged_in_the_graph(monkeypatch):
    right = suppression._decoded

    def decoded(steps, *given):
        boxes, scores = right(steps, *given)
        return steps.add("Gather", boxes, steps.integers(1, 0, 3, 2), axis=2), scores

    monkeypatch.setattr(suppression, "_decoded", decoded)


def unsuppressed_in_the_graph(monkeypatch):
    right = suppression._suppressed

    def every(steps, boxes, scores, *given):
        kept = right(steps, boxes, scores, *given)
        return steps.add("Max", steps.add("Reshape", scores, steps.add("Shape", kept)), kept)

    monkeypatch.setattr(suppression, "_suppressed", every)


@pytest.fixture(scope="module", params=["fresh", pytest.param("learned", marks=pytest.mark.slow)])
def finding_little(request):
    model, manifest = {"fresh": make_fresh, "learned": make_learned}[request.param]("yolov3_tiny")
    pixels = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)
    source = KerasModel(model, manifest)
    found = source.results(source.run({"image": pixels}), [Placement(SIZE, (1.0, 1.0), (0.0, 0.0))] * 4)
    assert sum(map(len, found)) < 20
    return model, manifest


@pytest.mark.parametrize(
    ("wrong", "nms"),
    [
        (exchanged_in_the_runtime, "runtime"),
        (unsuppressed_in_the_runtime, "runtime"),
        (exchanged_in_the_graph, "graph"),
        (unsuppressed_in_the_graph, "graph"),
    ],
)
@pytest.mark.slow
def test_a_detector_that_finds_hardly_anything_is_refused_where_it_is_decoded_wrongly(
    finding_little, tmp_path, monkeypatch, wrong, nms
):
    wrong(monkeypatch)
    with pytest.raises(ParityError, match=r"parity\.decided_disagreements"):
        write(finding_little, tmp_path / "m.onnx", nms=nms)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("nms", ["runtime", "graph"])
def test_a_detector_that_finds_hardly_anything_is_proven_by_what_it_thinks_likeliest(finding_little, tmp_path, nms):
    report = write(finding_little, tmp_path / "m.onnx", nms=nms)
    decoded = report.evidence.parity.decoded
    assert (decoded.agreement, decoded.unmatched) == (1.0, 0)
    assert decoded.compared == report.parity.compared > 500
    assert f"{decoded.compared} compared" in decoded.summary()
    kept = Predictor.load(tmp_path / "m.onnx", device="cpu").manifest.decoder
    assert (kept.score_threshold, kept.iou_threshold) == (0.25, 0.6)


def test_an_export_says_that_nothing_was_compared(tmp_path, caplog):
    model, manifest = make_fresh("yolov3_tiny")
    for layer in LAST["yolov3_tiny"]:
        model.get_layer(layer).bias.assign(np.full(model.get_layer(layer).bias.shape, -60.0))
    report = write((model, manifest), tmp_path / "m.onnx")
    assert report.parity.compared == 0
    assert report.evidence.parity.decoded.summary() == (
        "no box to compare on 32 images: how boxes are decoded is not proven"
    )
    assert "no answer could be compared with the model's on 32 images: there are none" in caplog.text


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
    calibration = CalibrationImages([{"image": images}])
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
