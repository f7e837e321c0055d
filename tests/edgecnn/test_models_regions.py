"""The layers of detectors in two stages: against ONNX Runtime's own RoiAlign, SciPy, and ten lines of suppression."""

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from onnx import TensorProto, helper
from scipy.ndimage import map_coordinates

from edgecnn.models.build import build_manifest, build_model, fitted_parts, get_spec
from edgecnn.models.faster_rcnn import that_answers, that_learns
from edgecnn.models.layers import Counted, InPlaces, Proposals, RoIAlign, Warped
from edgecnn.models.layers.region_costs import ProposingCost, RegionCost, RegionsAround, SampledRegions
from edgecnn.models.layers.regions import anchor_boxes, moved, shifts_between

SIZE, STRIDE, ANCHORS = (64, 96), 16, [(12.0, 18.0), (40.0, 30.0)]


def roi_align(features: np.ndarray, regions: np.ndarray, size: int) -> np.ndarray:
    """ONNX's operator, on one image."""
    node = helper.make_node(
        *("RoiAlign", ["x", "regions", "images"], ["y"]),
        output_height=size, output_width=size, sampling_ratio=2, spatial_scale=1 / STRIDE,
        coordinate_transformation_mode="half_pixel", mode="avg",
    )  # fmt: skip
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("regions", TensorProto.FLOAT, [None, 4]),
        helper.make_tensor_value_info("images", TensorProto.INT64, [None]),
    ]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {
        "x": features.transpose(2, 0, 1)[np.newaxis],
        "regions": regions,
        "images": np.zeros(len(regions), np.int64),
    }
    (found,) = session.run(None, feeds)
    return found.transpose(0, 2, 3, 1)


def random_boxes(random: np.random.Generator, shape: tuple[int, ...], least: float = 1.0) -> np.ndarray:
    first = random.uniform(0, 1, (*shape, 2)) * (np.array(SIZE[::-1]) - least)
    last = first + least + random.uniform(0, 1, (*shape, 2)) * (np.array(SIZE[::-1]) - least - first)
    return np.concatenate([first, last], axis=-1).astype(np.float32)


@pytest.mark.parametrize("count", [3, 120])  # at once, and in parts
def test_roi_align_is_the_operator_of_onnx(count):
    random = np.random.default_rng(0)
    features = random.normal(size=(2, SIZE[0] // STRIDE, SIZE[1] // STRIDE, 5)).astype(np.float32)
    regions = random_boxes(random, (2, count))
    found = RoIAlign(7, STRIDE)(features, regions).numpy()
    assert found.shape == (2, count, 7, 7, 5)
    for image in range(2):
        np.testing.assert_allclose(found[image], roi_align(features[image], regions[image], 7), atol=2e-5)


def greedy(boxes: np.ndarray, scores: np.ndarray, looked_at: int, count: int, threshold: float) -> np.ndarray:
    """The boxes that stay, likeliest first, compared one by one."""
    kept: list[np.ndarray] = []
    for index in np.argsort(-scores, kind="stable")[:looked_at]:
        box = np.clip(boxes[index], 0, np.array(SIZE[::-1] * 2))
        if (box[2:] - box[:2]).min() < 1:
            continue
        sides = [np.maximum(np.minimum(box[2:], one[2:]) - np.maximum(box[:2], one[:2]), 0) for one in kept]
        areas = [
            np.prod(one[2:] - one[:2]) + np.prod(box[2:] - box[:2]) - np.prod(s)
            for one, s in zip(kept, sides, strict=True)
        ]
        if all(np.prod(shared) <= threshold * area for shared, area in zip(sides, areas, strict=True)):
            kept.append(box)
    return np.array(kept[:count]).reshape(-1, 4)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_proposals_are_those_of_a_greedy_loop(batch):
    random, rows, columns = np.random.default_rng(batch), SIZE[0] // STRIDE, SIZE[1] // STRIDE
    layer = Proposals(ANCHORS, SIZE, STRIDE, 20, looked_at=40, iou_threshold=0.5)
    objectness = random.normal(size=(batch, rows, columns, 2)).astype(np.float32)
    objectness[-1] = 0.25  # as of a black picture: all alike, the first anchors come first
    shifts = random.normal(0, 0.3, size=(batch, rows, columns, 8)).astype(np.float32)
    shifts[0, 0, 0, :4] = (-40, 0, 0, 0)  # out of the picture
    objectness[0, 0, 0, 0] = 9
    regions, valid = (part.numpy() for part in layer(objectness, shifts))
    assert regions.shape == (batch, 20, 4)
    anchors = anchor_boxes(ANCHORS, (rows, columns), STRIDE)
    for image in range(batch):
        boxes = moved(anchors, shifts[image].reshape(-1, 4)).numpy()
        expected = greedy(boxes, objectness[image].reshape(-1), 40, 20, 0.5)
        assert valid[image] == len(expected) > 5
        np.testing.assert_allclose(regions[image, : len(expected)], expected, atol=1e-4)
        assert not regions[image, len(expected) :].any()


def test_anchors_stand_in_the_middle_of_their_cells():
    boxes = anchor_boxes(ANCHORS, (4, 6), STRIDE).reshape(4, 6, 2, 4)
    np.testing.assert_allclose(boxes[1, 2, 0], [40 - 6, 24 - 9, 40 + 6, 24 + 9])
    np.testing.assert_allclose(boxes[3, 5, 1], [88 - 20, 56 - 15, 88 + 20, 56 + 15])


def test_shifts_between_boxes_move_one_onto_the_other():
    random = np.random.default_rng(0)
    boxes, others = random_boxes(random, (50,)), random_boxes(random, (50,))
    np.testing.assert_allclose(moved(boxes, shifts_between(boxes, others)), others, atol=1e-3)


def cost_by_hand(anchors, logits, numbers, boxes, class_ids, positive, negative):
    """Objectness and boxes of one image, over given anchors."""
    drawn = positive | negative
    entropy = np.log1p(np.exp(logits)) - positive * logits
    total = 0.0
    for index in np.flatnonzero(positive):
        overlaps = [
            iou_of(anchors[index], box) if label >= 0 else 0 for box, label in zip(boxes, class_ids, strict=True)
        ]
        to = boxes[int(np.argmax(overlaps))]
        size, other = anchors[index, 2:] - anchors[index, :2], to[2:] - to[:2]
        way = ((to[:2] + to[2:]) - (anchors[index, :2] + anchors[index, 2:])) / 2 / size
        errors = np.abs(numbers[index] - np.concatenate([way, np.log(other / size)]))
        total += np.where(errors < 1 / 9, errors**2 * 4.5, errors - 1 / 18).sum()
    return entropy[drawn].sum() / max(drawn.sum(), 1), total / max(drawn.sum(), 1)


def iou_of(one, other):
    sides = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
    shared = np.prod(sides)
    union = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared
    return shared / union if union else 0.0


def test_what_proposals_cost_is_what_each_anchor_costs():
    random = np.random.default_rng(3)
    anchors = anchor_boxes(ANCHORS, (4, 6), STRIDE)  # 48: fewer than are drawn, so that none is left out
    logits, numbers = random.normal(size=(2, 48)).astype("f"), random.normal(size=(2, 48, 4)).astype("f")
    boxes = np.float32(
        [[[10, 10, 50, 40], [60, 20, 72, 40], [0, 0, 0, 0]], [[0, 0, 96, 64], [30, 30, 44, 50], [4, 4, 9, 9]]]
    )
    class_ids = np.array([[1, 0, 0], [-1, 2, 0]])
    regions = np.zeros((2, 4, 4), np.float32)
    regions[0, 0], regions[1, 1], regions[1, 3] = (12, 10, 50, 40), (30, 30, 45, 50), (4, 4, 9, 9)
    layer = ProposingCost(anchors.tolist())
    found = layer(
        logits.reshape(2, 4, 6, 2), numbers.reshape(2, 4, 6, 8), regions, np.float32([1, 3]), boxes, class_ids
    ).numpy()
    for image in range(2):
        overlaps = np.array(
            [
                [iou_of(a, b) if label >= 0 else 0 for b, label in zip(boxes[image], class_ids[image], strict=True)]
                for a in anchors
            ]
        )
        best = overlaps.max(axis=1)
        nearest = ((overlaps == overlaps.max(axis=0)) & (overlaps > 0)).any(axis=1)
        positive = (best >= 0.7) | nearest
        crowd = [box for box, label in zip(boxes[image], class_ids[image], strict=True) if label < 0]
        inside = np.array([any(part_inside(a, box) > 0.5 for box in crowd) for a in anchors])
        negative = ~positive & ~inside & (best < 0.3)
        expected = cost_by_hand(
            anchors, logits[image], numbers[image], boxes[image], class_ids[image], positive, negative
        )
        np.testing.assert_allclose(found[image, :2], expected, rtol=1e-4)
    assert found[:, 2].tolist() == [0.5, 0.5]  # the third object of the second image is reached by no valid region


def part_inside(box, other):
    sides = np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0)
    return np.prod(sides) / np.prod(box[2:] - box[:2])


@pytest.mark.parametrize(
    ("boxes", "class_ids"),
    [
        (np.zeros((1, 1, 4)), [[0]]),  # nothing is there
        ([[[0, 0, 96, 64]]], [[1]]),  # all of the regions show the one object
        ([[[0, 0, 96, 64]]], [[-1]]),  # nothing is learned, and nothing denied
    ],
    ids=["no positives", "no negatives", "neither"],
)
def test_a_batch_without_positives_or_without_negatives_trains(boxes, class_ids):
    boxes, class_ids = np.float32(boxes), np.array(class_ids)
    regions = np.float32([[[0, 0, 96, 60], [0, 0, 90, 64], [2, 0, 96, 64]]])
    taught = SampledRegions(3)
    _, shown, shifts = taught(regions, np.float32([3]), boxes, class_ids)
    expected = {0: {3}, 1: {1}, -1: set()}[int(class_ids[0, 0])]
    assert set(shown.numpy().reshape(-1).tolist()) - {-1} == expected
    logits, numbers = tf.Variable(tf.zeros((1, 128, 4))), tf.Variable(tf.zeros((1, 128, 3, 4)))
    with tf.GradientTape() as tape:
        cost = RegionCost()(logits, numbers, shown, shifts)
        total = tf.reduce_sum(cost[:, :2])
    gradients = tape.gradient(total, [logits, numbers])
    assert all(np.isfinite(one.numpy()).all() for one in (cost, *map(tf.convert_to_tensor, gradients)))
    assert bool(expected) == (float(cost[0, 0]) > 0)


def test_sampled_regions_show_the_objects_they_overlap_most():
    random = np.random.default_rng(0)
    boxes, class_ids = np.float32([[[10, 10, 40, 40], [50, 20, 90, 60], [0, 0, 0, 0]]]), np.array([[2, 0, 0]])
    regions = random_boxes(random, (1, 300), least=8)
    regions[0, :40] = boxes[0, 0] + random.uniform(-3, 3, (40, 4))
    drawn, shown, shifts = (part.numpy()[0] for part in SampledRegions(3)(regions, np.float32([200]), boxes, class_ids))
    assert len(drawn) == 128
    assert np.count_nonzero(np.isin(shown, (0, 2))) == 32  # at most a quarter shows objects
    assert np.count_nonzero(shown == 3) == 96
    known = {tuple(one) for one in np.concatenate([regions[0, :200], boxes[0, :2]]).tolist()}
    assert {tuple(one) for one in drawn.tolist()} <= known
    for region, label, shift in zip(drawn, shown, shifts, strict=True):
        overlaps = [iou_of(region, box) for box in boxes[0, :2]]
        assert label == (3 if max(overlaps) < 0.5 else class_ids[0, int(np.argmax(overlaps))])
        if label < 3:
            to = moved(region, shift * np.float32([0.1, 0.1, 0.2, 0.2])).numpy()
            np.testing.assert_allclose(to, boxes[0, int(np.argmax(overlaps))], atol=1e-3)


def test_the_same_seed_draws_the_same_regions():
    given = (random_boxes(np.random.default_rng(0), (1, 300), least=8), np.float32([300]))
    boxes, class_ids = np.float32([[[10, 10, 40, 40]]]), np.array([[1]])
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(SampledRegions(3)(*given, boxes, class_ids)[0].numpy())
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_model_that_answers_comes_back_from_the_one_that_learns():
    spec = get_spec("faster_rcnn")
    manifest = build_manifest(spec, ["a", "b"], image_size=SIZE, width=0.1)
    model = build_model("faster_rcnn", image_size=SIZE, num_classes=2, width=0.1, anchors=ANCHORS, seed=1)
    learner = that_learns(model, 2)
    again = that_answers(learner, manifest)
    assert again.name == model.name
    assert again.output_names == model.output_names == [output.name for output in manifest.outputs]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    for one, other in zip(model(pixels), again(pixels), strict=True):
        assert np.array_equal(one, other)
    assert that_answers(model, manifest) is model


def test_anchors_of_the_manifest_are_those_of_the_network():
    spec = get_spec("faster_rcnn")
    manifest = build_manifest(spec, ["a", "b"], image_size=SIZE, width=0.1)
    model = build_model("faster_rcnn", image_size=SIZE, num_classes=2, width=0.1, seed=1, **fitted_parts(manifest))
    sides = model.get_layer("proposals").boxes[: len(manifest.decoder.anchors)]
    np.testing.assert_allclose(sides[:, 2:] - sides[:, :2], manifest.decoder.anchors, rtol=1e-5)


def regions_with_gaps(random: np.random.Generator) -> np.ndarray:
    """Seven places in each of three images: five regions, two, and none."""
    regions = np.zeros((3, 7, 4), np.float32)
    regions[0, :5], regions[1, 1:3] = random_boxes(random, (5,), 3.0), random_boxes(random, (2,), 3.0)
    regions[1, 0] = (5, 5, 5.5, 30)  # half a pixel wide
    return regions


def test_warped_is_scipys_interpolation_of_the_region_and_what_is_around_it():
    random, size = np.random.default_rng(3), 9
    image = random.integers(0, 256, (3, *SIZE, 3)).astype(np.uint8)
    regions = regions_with_gaps(random)
    found = Warped(size)(image, regions).numpy()
    looked_at = [(0, place) for place in range(5)] + [(1, 0), (1, 1), (1, 2), (2, 0)]  # an image's first always
    assert found.shape == (len(looked_at), size, size, 3)
    for crop, (number, place) in zip(found, looked_at, strict=True):
        x1, y1, x2, y2 = regions[number, place].astype(np.float64)
        context = 16 / 195
        points = (np.arange(size) + 0.5) / size * (1 + 2 * context) - context
        down, across = np.meshgrid(y1 + points * (y2 - y1) - 0.5, x1 + points * (x2 - x1) - 0.5, indexing="ij")
        for channel in range(3):
            expected = map_coordinates(
                image[number, ..., channel].astype(np.float64), [down, across], order=1, mode="nearest"
            )
            np.testing.assert_allclose(crop[..., channel], expected, atol=2e-3)


def test_rows_come_back_to_the_places_of_their_regions():
    regions = regions_with_gaps(np.random.default_rng(3))
    rows = np.arange(1, 19, dtype=np.float32).reshape(9, 2)
    placed = InPlaces()(rows, regions).numpy()
    assert placed[0].tolist() == [*rows[:5].tolist(), [0, 0], [0, 0]]
    assert placed[1].tolist() == [*rows[5:8].tolist(), *[[0, 0]] * 4]
    assert placed[2].tolist() == [rows[8].tolist(), *[[0, 0]] * 6]
    assert Counted()(regions).numpy().tolist() == [5, 2, 0]


def test_regions_around_objects_are_near_and_far_and_in_the_picture():
    boxes = np.zeros((2, 3, 4), np.float32)
    boxes[0, 0], boxes[0, 2] = (20, 10, 40, 30), (60, 30, 90, 60)
    regions, count = RegionsAround(SIZE)(boxes)
    regions = regions.numpy()
    assert count.numpy().tolist() == [regions.shape[1]] * 2
    assert regions.min() >= 0
    assert (regions.max(axis=(0, 1)) <= np.tile(SIZE[::-1], 2)).all()
    assert (regions[..., 2:] >= regions[..., :2]).all()
    best = [iou_of(boxes[0, 0], region) for region in regions[0]]
    assert sum(value >= 0.5 for value in best) >= 4
    assert sum(0.1 < value < 0.5 for value in best) >= 4
    empty = [iou_of(np.float32([20, 10, 40, 30]), region) for region in regions[1]]
    assert sum(value >= 0.5 for value in empty) <= 4, "nothing is near what is not there"
    again, _ = RegionsAround(SIZE)(boxes)
    assert not np.array_equal(again, regions)
