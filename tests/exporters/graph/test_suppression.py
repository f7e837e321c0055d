"""Suppression in the graph: plain ONNX Runtime against ten lines of brute force and against the runtime's decoding."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.graph import suppression
from edgecnn_exporters.graph.suppression import append_suppression, in_graph
from edgecnn_runtime.decoders import OperatingPoint, OutputSpec, SoftmaxDecoder, YoloDecoder, YoloScale
from edgecnn_runtime.errors import ManifestError, OutputError
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.table import decode

SIZE, CLASSES = (64, 96), 3
SCALES = (YoloScale("scale_16", 16, ((16.0, 24.0), (40.0, 8.0))), YoloScale("scale_32", 32, ((40.0, 40.0),)))


def make_manifest(*, num_classes=CLASSES, size=SIZE, scales=SCALES, **fields):
    outputs = tuple(
        OutputSpec(
            scale.output, (size[0] // scale.stride, size[1] // scale.stride, len(scale.anchors), 5 + num_classes)
        )
        for scale in scales
    )
    image = ImageInput("image", *size, "rgb", "letterbox", pad_value=114)
    labels = tuple(f"class {number}" for number in range(num_classes))
    return Manifest("detection", ModelInfo("grids", 1.0), (image,), labels, YoloDecoder(scales, **fields), outputs)


def make_graph(manifest, *, batch=None, opset=17):
    """Raw outputs that are inputs: what a network gives is given by the test."""
    given = [
        helper.make_tensor_value_info(f"given {output.name}", TensorProto.FLOAT, [batch, *output.shape])
        for output in manifest.outputs
    ]
    outputs = [
        helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [batch, *output.shape])
        for output in manifest.outputs
    ]
    nodes = [helper.make_node("Identity", [f"given {output.name}"], [output.name]) for output in manifest.outputs]
    graph = helper.make_graph(nodes, "raw", given, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def open_graph(manifest, **options):
    """Returns what answers raw outputs by name, with plain ONNX Runtime, and inputs with a default besides."""
    model = append_suppression(make_graph(manifest, **options), manifest)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(raw, **settings):
        feeds = {f"given {name}": values for name, values in raw.items()}
        return dict(zip(("detections", "valid"), session.run(["detections", "valid"], feeds | settings), strict=True))

    return run


def draw_raw(manifest, random, count, *, bias=-1.0, spread=3.0, levels=None):
    """Raw outputs of `count` images; with few levels many scores and boxes are the same."""
    raw = {}
    for output in manifest.outputs:
        values = random.normal(0, spread, (count, *output.shape))
        values[..., 4] += bias
        values[..., 2:4] /= 4
        raw[output.name] = (values if levels is None else np.rint(values * levels) / levels).astype(np.float32)
    return raw


def brute_force(manifest, raw):
    """Rows of one image, all classes and cells in order, by the definition."""
    decoder, found = manifest.decoder, []
    for scale in decoder.scales:
        for (row, column, anchor), numbers in (
            (at[:3], raw[scale.output][at[:3]]) for at in np.ndindex(*raw[scale.output].shape[:3])
        ):
            tx, ty, tw, th, *logits = numbers.astype(np.float64)
            x, y = (column + sigmoid(tx)) * scale.stride, (row + sigmoid(ty)) * scale.stride
            w, h = (side * np.exp(min(t, 10)) for side, t in zip(scale.anchors[anchor], (tw, th), strict=True))
            found += [
                (sigmoid(logits[0]) * sigmoid(logit), class_id, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
                for class_id, logit in enumerate(logits[1:])
            ]
    least = decoder.thresholds(manifest.num_classes)
    found = sorted(
        (one for one in found if np.float32(one[0]) >= np.float32(least[one[1]])), key=lambda one: -np.float32(one[0])
    )
    kept = []
    for one in found:
        if all(
            (not decoder.agnostic and other[1] != one[1]) or overlap(other[2], one[2]) < decoder.iou_threshold
            for other in kept
        ):
            kept.append(one)
    return [(*box, score, class_id) for score, class_id, box in kept[: decoder.most]]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def images_of(raw):
    count = len(next(iter(raw.values())))
    return [{name: values[index] for name, values in raw.items()} for index in range(count)]


def placements(count):
    """Of pictures that were made smaller and have a border, each of another size."""
    return [Placement((100 + 10 * n, 200 + n), (0.4, 0.45), (3.0, 8.0)) for n in range(count)]


def assert_same_results(manifest, raw, answered, **changes):
    """The runtime makes of the graph's rows what it makes of the raw outputs, object by object."""
    read_by = dataclasses.replace(manifest, decoder=dataclasses.replace(manifest.decoder, **changes))
    places = placements(len(answered["valid"]))
    inside = in_graph(manifest)
    inside = dataclasses.replace(inside, decoder=dataclasses.replace(inside.decoder, **changes))
    expected, received = decode(read_by, raw, places), decode(inside, answered, places)
    for one, other in zip(expected, received, strict=True):
        assert type(one) is type(other)
        assert other.class_ids.tolist() == one.class_ids.tolist()
        assert (other.class_ids.dtype, other.scores.dtype, other.boxes.dtype) == (np.int64, np.float32, np.float32)
        np.testing.assert_allclose(other.scores, one.scores, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(other.boxes, one.boxes, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(other.needed, one.needed, rtol=1e-5)
        assert (other.labels, other.shape) == (one.labels, one.shape)
    return received


def assert_rows(manifest, raw, answered):
    """The rows are those of brute force, in their order, and zeros behind."""
    for rows, count, image in zip(answered["detections"], answered["valid"], images_of(raw), strict=True):
        expected = np.array(brute_force(manifest, image)).reshape(-1, 6)
        assert count == len(expected)
        np.testing.assert_allclose(rows[: len(expected)], expected, rtol=1e-4, atol=1e-3)
        assert not rows[len(expected) :].any()


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("batch", [None, 1, 2, 5])
def test_append_suppression_gives_the_rows_of_brute_force_and_of_the_runtime(batch, agnostic):
    manifest = make_manifest(agnostic=agnostic, most=12)  # of up to 90 that pass
    run, random, found = open_graph(manifest, batch=batch), np.random.default_rng(batch or 0), []
    for number, bias in enumerate(np.linspace(-9, 3, 9)):
        raw = draw_raw(manifest, random, batch or 1 + number % 5, bias=bias)
        answered = run(raw)
        assert answered["detections"].shape == (len(answered["valid"]), 12, 6)
        assert {values.dtype for values in answered.values()} == {np.dtype(np.float32)}
        assert_rows(manifest, raw, answered)
        assert_same_results(manifest, raw, answered)
        found += answered["valid"].tolist()
    assert {0, 12} < set(found)  # nothing, something, and more than there is room for


@pytest.mark.parametrize("agnostic", [False, True])
def test_append_suppression_settles_ties_as_the_runtime(agnostic, monkeypatch):
    monkeypatch.setattr(suppression, "MOST_CELLS", 40)  # of 54, so that cells are chosen first
    manifest = make_manifest(agnostic=agnostic)
    run, random = open_graph(manifest), np.random.default_rng(1)
    for _ in range(40):
        raw = draw_raw(manifest, random, 3, bias=-5.0, levels=0.5)
        for values in raw.values():  # equal boxes in many cells, with equal scores
            values[..., :4] = 0.0
        assert_same_results(manifest, raw, run(raw))


def test_append_suppression_looks_at_the_cells_of_the_likeliest_objects(monkeypatch):
    monkeypatch.setattr(suppression, "MOST_CELLS", 10)
    manifest = make_manifest(iou_threshold=1.0)
    raw = draw_raw(manifest, np.random.default_rng(2), 2, bias=-30.0)
    for values in raw.values():
        values[..., 5:] = 9.0
    raw["scale_16"][0, :2, :4, :, 4] = np.arange(16).reshape(2, 4, 2) / 4  # 16 in the first image, 7 in the other
    raw["scale_32"][1].reshape(-1, 8)[:, 4] = [1, -30, 2, 1, -30, 3]
    raw["scale_16"][1, 0, :3, 1, 4] = 0.5
    answered = run_once(manifest, raw)
    assert answered["valid"].tolist() == [30, 21]  # three classes each
    assert answered["detections"][0, :30, 4].min() > 1 / (1 + np.exp(-1.4))
    assert_same_results(
        manifest,
        {name: values[1:] for name, values in raw.items()},
        {name: values[1:] for name, values in answered.items()},
    )


def run_once(manifest, raw, **settings):
    return open_graph(manifest)(raw, **settings)


@pytest.mark.parametrize(("height", "shared"), [(24.0, 0.6), (20.0, 0.5)])
def test_append_suppression_drops_from_the_threshold_on(height, shared):
    """Of 40 x 40 pixels 40 x 24 are an IoU of .6, which no float32 is: ONNX would leave the box."""
    scales = (YoloScale("scale_16", 16, ((40.0, 40.0), (40.0, height))),)
    manifest = make_manifest(num_classes=1, scales=scales, iou_threshold=shared)
    raw = {"scale_16": np.full((1, 4, 6, 2, 6), -20, np.float32)}
    raw["scale_16"][0, 1, 1] = [[0, 0, 0, 0, 9, 9], [0, 0, 0, 0, 8, 9]]
    answered = run_once(manifest, raw)
    assert answered["valid"] == 1
    assert_same_results(manifest, raw, answered)
    above = np.nextafter(np.float32(shared), np.float32(1))
    assert run_once(manifest, raw, iou_threshold=np.array([above]))["valid"] == 2


def test_append_suppression_takes_a_score_at_its_threshold():
    manifest = make_manifest(num_classes=1)
    raw = {output.name: np.full((1, *output.shape), -20, np.float32) for output in manifest.outputs}
    raw["scale_32"][0, 0, 0, 0] = [0, 0, 0, 0, 0, 0]  # exactly .25
    for threshold, count in ((0.25, 1), (np.nextafter(np.float32(0.25), np.float32(1)), 0)):
        assert run_once(manifest, raw, score_thresholds=np.array([threshold], np.float32))["valid"] == count


@pytest.mark.parametrize("most", [300, 7])
def test_append_suppression_of_few_cells_fills_all_rows(most):
    manifest = make_manifest(
        num_classes=1, size=(32, 32), scales=(YoloScale("scale_32", 32, ((9.0, 9.0),)),), most=most
    )
    raw = {"scale_32": np.full((2, 1, 1, 1, 6), 3, np.float32)}
    answered = run_once(manifest, raw)
    assert answered["detections"].shape == (2, most, 6)
    assert answered["valid"].tolist() == [1, 1]
    assert_rows(manifest, raw, answered)


def test_append_suppression_gives_at_most_as_many_rows_as_the_decoder_says():
    manifest = make_manifest(size=(416, 416), iou_threshold=1.0)
    raw = draw_raw(manifest, np.random.default_rng(3), 1, bias=6.0)
    answered = run_once(manifest, raw)
    assert answered["valid"] == 300
    assert_same_results(manifest, raw, answered)


def test_append_suppression_of_boxes_that_all_overlap_leaves_one_of_a_form():
    manifest = make_manifest(agnostic=True)
    raw = {output.name: np.zeros((1, *output.shape), np.float32) for output in manifest.outputs}
    for values in raw.values():
        values[..., 2:4], values[..., 4:] = 9.0, 5.0  # thousands of pixels wide
    answered = run_once(manifest, raw)
    assert answered["valid"] == 3  # the three anchors share little with each other
    assert_same_results(manifest, raw, answered)


def test_append_suppression_takes_thresholds_that_are_given():
    manifest = make_manifest()
    run, raw = open_graph(manifest), draw_raw(manifest, np.random.default_rng(4), 5, bias=0.0)
    for changes in (
        {"score_threshold": 0.6},
        {"score_threshold": 0.001, "iou_threshold": 0.2},
        {"classes": (1,)},
        {"operating_points": (OperatingPoint(2, 0.9, 0.5, 0.5), OperatingPoint(0, 0.01, None, None))},
        {"most": 3},
    ):
        changed = dataclasses.replace(in_graph(manifest).decoder, **changes)
        settings = {name: np.array(values, np.float32) for name, values in changed.settings().items()}
        answered = run(raw, **settings)
        received = assert_same_results(manifest, raw, answered, **changes)
        assert any(len(result) for result in received)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_append_suppression_says_where_the_network_answered_with_no_numbers(number):
    """As the runtime refuses such raw outputs; the other images are answered."""
    manifest = make_manifest()
    raw = draw_raw(manifest, np.random.default_rng(5), 3)
    raw["scale_32"][1, 0, 0, 0, 2] = number
    answered = run_once(manifest, raw)
    assert np.isnan(answered["valid"]).tolist() == [False, True, False]
    with pytest.raises(OutputError, match="'valid': expected finite numbers"):
        decode(in_graph(manifest), answered, placements(3))
    whole = {name: values[[0, 2]] for name, values in raw.items()}
    assert_same_results(manifest, whole, {name: values[[0, 2]] for name, values in answered.items()})


@pytest.mark.parametrize("opset", [13, 18])
def test_append_suppression_knows_older_and_newer_operators(opset, monkeypatch):
    monkeypatch.setattr(suppression, "MOST_CELLS", 50)
    manifest = make_manifest()
    raw = draw_raw(manifest, np.random.default_rng(6), 2)
    assert_same_results(manifest, raw, open_graph(manifest, opset=opset)(raw))
    operators = {node.op_type for node in append_suppression(make_graph(manifest, opset=opset), manifest).graph.node}
    assert not operators & {"Loop", "If", "Scan", "Tile"}


def test_in_graph_keeps_all_that_is_said_of_thresholds():
    points = (OperatingPoint(1, 0.4, 0.5, 0.6),)
    manifest = make_manifest(score_threshold=0.3, iou_threshold=0.45, most=20, classes=(0, 1), operating_points=points)
    inside = in_graph(manifest)
    assert inside.decoder.thresholds(CLASSES) == manifest.decoder.thresholds(CLASSES)
    assert inside.decoder.settings() == {"score_thresholds": (0.3, 0.4, 2.0), "iou_threshold": (0.45,)}
    assert (inside.num_classes, inside.labels, inside.inputs) == (CLASSES, manifest.labels, manifest.inputs)
    assert {output.name: output.shape for output in inside.outputs} == {"detections": (20, 6), "valid": ()}
    assert Manifest.from_json(inside.to_json()) == inside


def test_in_graph_refuses_what_is_no_detector_with_raw_outputs():
    manifest = make_manifest()
    with pytest.raises(ExportError, match="--nms graph: expected a detector with raw outputs"):
        in_graph(in_graph(manifest))
    image = ImageInput("image", 8, 8, "gray")
    outputs = (OutputSpec("logits", (2,)),)
    with pytest.raises(ExportError, match="received decoder 'softmax'"):
        in_graph(Manifest("classification", ModelInfo("tiny", 1.0), (image,), None, SoftmaxDecoder(), outputs))
    free = dataclasses.replace(
        manifest,
        inputs=(ImageInput("image", None, None, "rgb", "letterbox", pad_value=114, multiple_of=32),),
        outputs=tuple(OutputSpec(one.name, (None, None, *one.shape[2:])) for one in manifest.outputs),
    )
    with pytest.raises(ExportError, match="expected a fixed height and width"):
        in_graph(free)
    with pytest.raises(ManifestError, match="most: expected up to 300 boxes an image, the graph's rows"):
        dataclasses.replace(in_graph(manifest), decoder=dataclasses.replace(in_graph(manifest).decoder, most=301))
