import dataclasses
import json
import math
import pickle
import sys

import numpy as np
import pytest

from edgecnn_runtime.decoders import OperatingPoint, OutputSpec, SuppressedDecoder, YoloDecoder, YoloScale
from edgecnn_runtime.errors import OutputError, SessionError
from edgecnn_runtime.evidence import DetectionParity
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement, Preprocessor
from edgecnn_runtime.tasks.boxes import iou
from edgecnn_runtime.tasks.detection import DETECTION, Detections
from edgecnn_runtime.tasks.table import decode, get_task

SCALES = (
    YoloScale("scale_16", 16, ((10.0, 14.0), (23.0, 27.0))),
    YoloScale("scale_32", 32, ((81.0, 82.0), (20.0, 40.0), (75.0, 78.0))),
)
CLASSES, SIZE = 3, (64, 96)
WHOLE = Placement(SIZE, (1.0, 1.0), (0.0, 0.0))


def make_manifest(labels=("cat", "dog", "cow"), **fields):
    outputs = tuple(
        OutputSpec(scale.output, (SIZE[0] // scale.stride, SIZE[1] // scale.stride, len(scale.anchors), 5 + CLASSES))
        for scale in SCALES
    )
    image = ImageInput("image", *SIZE, "rgb", "letterbox", pad_value=114)
    return Manifest("detection", ModelInfo("m", 1.0), (image,), labels, YoloDecoder(SCALES, **fields), outputs)


def nothing(images=1):
    """Raw outputs that mean no object anywhere."""
    return {o.name: np.full((images, *o.shape), -9, np.float32) for o in make_manifest().outputs}


def noise(seed, images=1):
    """Raw outputs of many objects, whose boxes are about those of their anchors."""
    random = np.random.default_rng(seed)
    outputs = {o.name: random.normal(-1, 2, (images, *o.shape)) for o in make_manifest().outputs}
    for grid in outputs.values():
        grid[..., :4] = grid[..., :4] * 0.1 + 0.1
    return {name: grid.astype(np.float32) for name, grid in outputs.items()}


def plain(manifest, outputs, image):
    """What the outputs mean, cell by cell in plain Python: boxes in input pixels, scores, class ids, best first."""

    def sigmoid(value):
        return 1 / (1 + math.exp(-value))

    decoder, found = manifest.decoder, []
    thresholds = {point.class_id: point.score for point in decoder.operating_points or ()}
    for scale in decoder.scales:
        grid = outputs[scale.output][image]
        for row, column, anchor in np.ndindex(grid.shape[:3]):
            tx, ty, tw, th, there, *classes = grid[row, column, anchor].tolist()
            x, y = (column + sigmoid(tx)) * scale.stride, (row + sigmoid(ty)) * scale.stride
            w, h = (side * math.exp(t) for side, t in zip(scale.anchors[anchor], (tw, th), strict=True))
            for class_id, logit in enumerate(classes):
                score = sigmoid(there) * sigmoid(logit)
                asked = decoder.classes is None or class_id in decoder.classes
                if asked and score >= thresholds.get(class_id, decoder.score_threshold):
                    found.append((score, class_id, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
    kept = []
    for score, class_id, box in sorted(found, key=lambda one: -one[0]):
        rivals = [other for _, known, other in kept if decoder.agnostic or known == class_id]
        if all(iou(np.array(box), np.array(other)) < decoder.iou_threshold for other in rivals):
            kept.append((score, class_id, box))
    return kept[: decoder.most]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"score_threshold": 0.0},
        {"agnostic": True, "iou_threshold": 0.3},
        {"most": 4},
        {"classes": (0, 2), "agnostic": True},
        {"operating_points": (OperatingPoint(1, 0.6, 0.5, 0.5), OperatingPoint(2, 0.1, 0.5, 0.5))},
    ],
)
def test_decode_gives_what_plain_python_gives(fields):
    manifest = make_manifest(**fields)
    for seed in range(5):
        outputs = noise(seed, images=2)
        for image, result in enumerate(decode(manifest, outputs, [WHOLE] * 2)):
            expected = plain(manifest, outputs, image)
            assert result.class_ids.tolist() == [one[1] for one in expected]
            np.testing.assert_allclose(result.scores, [one[0] for one in expected], atol=1e-6)
            boxes = np.array([one[2] for one in expected]).clip(0, [96, 64] * 2)
            wide = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)
            np.testing.assert_allclose(result.boxes[wide], boxes[wide], atol=1e-3)
            assert len(expected) > 3


def test_an_empty_picture_has_no_boxes():
    (result,) = decode(make_manifest(), nothing(), [WHOLE])
    assert (result.boxes.shape, result.scores.shape, result.class_ids.shape) == ((0, 4), (0,), (0,))
    assert (result.boxes.dtype, result.scores.dtype, result.class_ids.dtype) == (np.float32, np.float32, np.int64)
    assert (result.predictions(), result.lines()) == ([], ["nothing"])
    assert DETECTION.hold(result, 5).numbers == {"weight of the best box": 0, "weight of all": 0}
    drawn = result.draw(np.zeros((400, 400, 3), np.uint8))
    assert not np.asarray(drawn).any()


def test_a_score_of_just_the_threshold_is_answered():
    outputs = nothing()
    outputs["scale_16"][0, 1, 1, 0, 4:6] = 0  # .5 times .5
    assert decode(make_manifest(score_threshold=0.25), outputs, [WHOLE])[0].scores.tolist() == [0.25]
    above = np.nextafter(np.float32(0.25), np.float32(1)).item()
    assert not len(decode(make_manifest(score_threshold=above), outputs, [WHOLE])[0])


def test_a_threshold_near_one_loses_no_score_that_rounds_to_it():
    outputs = nothing()
    outputs["scale_16"][0, 1, 1, 0, 4:6] = 40  # rounds to 1
    outputs["scale_16"][0, 3, 4, 0, 4:6] = 15  # .9999994
    assert len(decode(make_manifest(score_threshold=0.999999), outputs, [WHOLE])[0]) == 2


def test_boxes_lie_in_the_displayed_image():
    pixels = Preprocessor(make_manifest().image_input)
    _, placement = pixels(np.zeros((50, 200, 3), np.uint8))
    outputs = nothing()
    outputs["scale_32"][0, 1, 1, 1] = [0, 0, 0, 0, 9, 9, -9, -9]  # 20 x 40 at (48, 48): scaled by .48, 20 below the top
    (result,) = decode(make_manifest(), outputs, [placement])
    np.testing.assert_allclose(result.boxes, [[38 / 0.48, (28 - 20) / 0.48, 58 / 0.48, 50]], atol=1e-3)
    assert result.shape == (50, 200)


def test_a_size_beyond_any_picture_is_its_edge():
    outputs = nothing()
    outputs["scale_32"][0, 0, 0, 0] = [0, 0, 1e30, 3e38, 9, 9, -9, -9]
    assert decode(make_manifest(), outputs, [WHOLE])[0].boxes.tolist() == [[0, 0, 96, 64]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_objects_number_that_is_not_finite_is_no_answer(value):
    outputs = nothing()
    outputs["scale_32"][0, 1, 2, 1, 4] = value
    with pytest.raises(
        OutputError, match="output 'scale_32': expected finite numbers, received 1 NaN or infinite of 18"
    ):
        decode(make_manifest(), outputs, [WHOLE])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("number", [0, 3, 5, 7])
def test_a_number_that_is_not_finite_is_no_answer_where_an_object_is_likely(value, number):
    outputs = nothing()
    outputs["scale_32"][0, 1, 2, 1, number] = value
    assert decode(make_manifest(), outputs, [WHOLE])[0].boxes.tolist() == []  # of it nothing is made
    outputs["scale_32"][0, 1, 2, 1, 4] = 0
    with pytest.raises(
        OutputError, match="output 'scale_32': expected finite numbers, received 1 NaN or infinite of 8"
    ):
        decode(make_manifest(), outputs, [WHOLE])


def test_an_output_that_is_missing_or_of_another_shape_is_refused():
    with pytest.raises(SessionError, match="expected 'scale_32', received"):
        decode(make_manifest(), {"scale_16": nothing()["scale_16"]}, [WHOLE])
    with pytest.raises(SessionError, match="expected shape"):
        decode(make_manifest(), {**nothing(), "scale_32": np.zeros((1, 2, 3, 2, 9), np.float32)}, [WHOLE])


def test_boxes_are_compared_by_the_files_own_thresholds_where_enough_pass():
    manifest = make_manifest(operating_points=(OperatingPoint(1, 0.3, None, None),))
    assert len(decode(manifest, noise(0), [WHOLE])[0]) > 3
    assert DETECTION.compared_by(manifest, noise(0, images=4)) is manifest


def test_boxes_are_compared_by_lower_thresholds_where_few_pass():
    outputs = noise(0, images=4)
    for grid in outputs.values():
        grid[..., 4] -= 8
    point = OperatingPoint(2, 0.9, None, None)
    manifest = make_manifest(operating_points=(point,), classes=(0, 2), most=9)
    assert not any(map(len, decode(manifest, outputs, [WHOLE] * 4)))
    lower = DETECTION.compared_by(manifest, outputs)
    assert lower == dataclasses.replace(
        manifest,
        decoder=dataclasses.replace(
            manifest.decoder,
            score_threshold=lower.decoder.score_threshold,
            iou_threshold=0.3,
            operating_points=None,
        ),
    )
    every = dataclasses.replace(lower, decoder=dataclasses.replace(lower.decoder, iou_threshold=1.0, most=1000))
    counts = [len(result) for result in decode(every, outputs, [WHOLE] * 4)]
    assert sorted(counts)[1] <= 51 <= sorted(counts)[-1] + 1
    assert {class_id for one in decode(every, outputs, [WHOLE] * 4) for class_id in one.class_ids} == {0, 2}


def test_no_box_is_asked_of_a_network_that_says_nothing_clearly():
    outputs = {name: np.full_like(grid, -40) for name, grid in nothing(2).items()}
    assert not any(map(len, decode(DETECTION.compared_by(make_manifest(), outputs), outputs, [WHOLE] * 2)))


def found(*rows, needed=(0.25, 0.25, 0.25), shape=(100, 200)):
    """Detections of (class id, score, box)."""
    return Detections(
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int64),
        needed=None if needed is None else np.array(needed, np.float32),
        labels=("cat", "dog", "cow"),
        shape=shape,
    )


LEFT, RIGHT = (10, 10, 50, 50), (100, 10, 150, 90)


def test_results_that_are_equal_agree():
    one = found((0, 0.9, LEFT), (1, 0.5, RIGHT))
    same = DETECTION.agreement(one, one)
    assert (same.same, same.differences) == (True, {"scores": 0, "boxes": 0, "unmatched": 0})
    assert same.margin == pytest.approx(math.log(0.9 / 0.25))
    assert same.largest_log == pytest.approx(-math.log(0.5))
    empty = DETECTION.agreement(found(), found())
    assert (empty.same, empty.margin) == (True, math.inf)


def test_partners_are_found_whatever_their_order():
    one, other = found((0, 0.9, LEFT), (0, 0.89, RIGHT)), found((0, 0.895, RIGHT), (0, 0.88, LEFT))
    agreement = DETECTION.agreement(one, other)
    assert agreement.same
    assert agreement.differences == pytest.approx({"scores": 0.02, "boxes": 0, "unmatched": 0}, abs=1e-6)
    assert agreement.relative == pytest.approx({"scores": 0.02 / 0.9, "boxes": 0}, abs=1e-6)


def test_a_box_that_lies_elsewhere_counts_by_its_iou():
    moved = found((0, 0.9, (10, 10, 50, 40)))
    assert DETECTION.agreement(found((0, 0.9, LEFT)), moved).differences["boxes"] == pytest.approx(0.25)


@pytest.mark.parametrize("other", [(), ((1, 0.9, LEFT),), ((0, 0.9, RIGHT),)], ids=["missing", "class", "place"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_clear_box_without_partner_is_a_disagreement(other, swapped):
    pair = (found((0, 0.9, LEFT)), found(*other))
    agreement = DETECTION.agreement(*(pair[::-1] if swapped else pair))
    assert not agreement.same
    assert agreement.margin == pytest.approx(math.log(0.9 / 0.25))
    assert agreement.differences["unmatched"] == 1 + len(other)


def test_a_box_at_the_threshold_may_be_on_one_side_alone():
    one = found((0, 0.9, LEFT), (1, 0.2501, RIGHT))
    for pair in ((one, found((0, 0.9, LEFT))), (found((0, 0.9, LEFT)), one)):
        assert DETECTION.agreement(*pair).same
        assert DETECTION.agreement(*pair).differences["unmatched"] == 0
    assert not DETECTION.agreement(found((0, 0.9, LEFT), (1, 0.253, RIGHT)), found((0, 0.9, LEFT))).same
    low = found((0, 0.01, LEFT), needed=(0.007,) * 3)
    assert not DETECTION.agreement(low, found(needed=(0.007,) * 3)).same
    # where more is found than an image may have, the last score is what a box needs
    full = found((0, 0.9, LEFT), needed=(0.895,) * 3)
    assert DETECTION.agreement(found((0, 0.9, LEFT), (1, 0.9, RIGHT), needed=None), full).same


def test_of_ten_boxes_a_tie_may_settle_one_otherwise():
    rows = [(0, 0.9, (20 * i, 0, 20 * i + 10, 10)) for i in range(10)]
    moved = [(0, 0.9, (0, 0, 10, 8)), *rows[1:]]
    agreement = DETECTION.agreement(found(*rows), found(*moved))
    assert (agreement.differences["boxes"], agreement.relative["boxes"]) == (pytest.approx(0.2), 0)
    assert DETECTION.agreement(found(*rows[:9]), found(*moved[:9])).relative["boxes"] == pytest.approx(0.2)
    assert DETECTION.agreement(found(*rows), found(*rows[1:])).same
    assert not DETECTION.agreement(found(*rows), found(*rows[2:])).same


def test_a_missing_suppression_is_no_agreement():
    outputs = nothing()
    outputs["scale_32"][0, 0, 1, [0, 2]] = [[0, 0, 0, 0, 9, 9, -9, -9], [0, 0, 0, 0, 5, 5, -9, -9]]
    good, bad = (decode(make_manifest(iou_threshold=least), outputs, [WHOLE])[0] for least in (0.6, 1.0))
    assert (len(good), len(bad)) == (1, 2)
    assert not DETECTION.agreement(good, bad).same


def test_parity_is_the_record_of_the_evidence():
    record = DETECTION.parity(4, 3, {"scores": 0.1, "boxes": 0.2, "unmatched": 2.0}, 9)
    assert record == DetectionParity(4, 0.75, 0.1, 0.8, 2, 9)
    assert "same boxes on 0.7500 of 4 images, 9 compared, least IoU 0.8000" in record.summary()
    nothing_found = DETECTION.parity(4, 4, {}, 0)
    assert nothing_found == DetectionParity(4, 1.0, 0.0, 1.0, 0, 0)
    assert nothing_found.summary().startswith("no box to compare on 4 images")


def held(result, other):
    """The largest difference of what a sample of one result holds, on a device that gives the other."""
    sample, device = DETECTION.hold(result, 5), DETECTION.hold(other)
    assert {what: device.words[what] for what in sample.words} == sample.words
    return max(abs(device.numbers[what] - number) for what, number in sample.numbers.items())


def test_what_is_held_moves_a_little_where_boxes_do():
    one = found((0, 0.9, LEFT), (0, 0.89, RIGHT), (2, 0.5, LEFT))
    swapped = found((0, 0.9, RIGHT), (0, 0.89, LEFT), (2, 0.5, LEFT))
    edge = found((0, 0.9, LEFT), (0, 0.89, RIGHT), (2, 0.5, LEFT), (1, 0.2501, RIGHT))
    assert held(one, one) == 0
    for pair in ((one, swapped), (one, edge), (edge, one)):
        assert held(*pair) < 0.02
    moved = found((0, 0.9, LEFT), (0, 0.89, (90, 10, 140, 90)), (2, 0.5, LEFT))
    assert 0.01 < held(one, moved) < 0.1


@pytest.mark.parametrize(
    "other",
    [
        (),
        ((0, 0.9, LEFT),),
        ((1, 0.9, LEFT), (1, 0.89, RIGHT)),
        ((0, 0.9, LEFT), (0, 0.89, RIGHT), (2, 0.9, RIGHT)),
        ((0, 0.9, (110, 10, 150, 50)), (0, 0.89, RIGHT)),
        ((0, 0.9, LEFT), (0, 0.4, RIGHT)),
    ],
)
def test_what_is_held_moves_far_where_the_answer_is_another(other):
    assert held(found((0, 0.9, LEFT), (0, 0.89, RIGHT)), found(*other)) > 0.08


def test_a_sample_without_any_box_is_held_too():
    assert held(found(), found()) == 0
    assert held(found(), found((0, 0.26, LEFT))) < 0.02
    assert held(found(), found((0, 0.9, LEFT))) > 0.1


def test_predictions_lines_and_names():
    result = found((0, 0.75, LEFT), (1, 0.5, RIGHT), (0, 0.25, LEFT))
    box = dict(zip(("x1", "y1", "x2", "y2"), map(float, LEFT), strict=True))
    assert result.predictions()[0] == {"name": "cat", "class": 0, "confidence": 0.75, "box": box}
    assert [one["class"] for one in result.predictions(2)] == [0, 1]
    assert result.lines() == ["2 cat 0.7500 to 0.2500", "dog 0.5000 at (100.0, 10.0, 150.0, 90.0)"]
    assert result.lines(1) == ["cat 0.7500 at (10.0, 10.0, 50.0, 50.0)"]
    assert set(DETECTION.columns) == {"name", "class", "confidence", *box}
    assert json.loads(json.dumps(result.to_dict()))["task"] == "detection"
    assert dataclasses.replace(result, labels=None).predictions(1)[0]["name"] is None
    with pytest.raises(ValueError, match="limit: expected 1 or more, received 0"):
        result.predictions(0)
    again = pickle.loads(pickle.dumps(result))
    assert again.predictions() == result.predictions()


def test_a_picture_shows_all_boxes_by_default():
    result, black = found((0, 0.75, LEFT), (1, 0.5, RIGHT), shape=(400, 400)), np.zeros((400, 400, 3), np.uint8)
    all_boxes, best = np.asarray(result.draw(black)), np.asarray(result.draw(black, limit=1))
    assert all_boxes[80, 100].any()
    assert not best[:, 100:].any()
    assert best[49, 30].any()


def test_supervision_takes_the_fields():
    supervision = pytest.importorskip("supervision")
    result = found((0, 0.75, LEFT), (1, 0.5, RIGHT))
    for one in (result, found()):
        taken = supervision.Detections(xyxy=one.xyxy, confidence=one.confidence, class_id=one.class_id)
        assert len(taken) == len(one)
    assert taken.xyxy.shape == (0, 4)


def test_detection_is_imported_only_for_a_detector(run_python):
    code = (
        "import sys, edgecnn_runtime\n"
        "from edgecnn_runtime.tasks.table import get_task\n"
        "assert 'edgecnn_runtime.tasks.detection' not in sys.modules\n"
        "get_task('classification')\n"
        "assert not {'edgecnn_runtime.tasks.detection', 'edgecnn_runtime.tasks.anchors'} & sys.modules.keys()\n"
        "print(get_task('detection').name)\n"
    )
    assert run_python(code).stdout.strip() == "detection"
    assert get_task("detection") is DETECTION
    assert "edgecnn_runtime.tasks.detection" in sys.modules


def rows_manifest(rows=4, **fields):
    image = ImageInput("image", *SIZE, "rgb", "letterbox", pad_value=114)
    outputs = (OutputSpec("detections", (rows, 6)), OutputSpec("valid", ()))
    decoder = SuppressedDecoder(**{"scored": CLASSES, "most": rows, **fields})
    return Manifest("detection", ModelInfo("m", 1.0), (image,), ("cat", "dog", "cow"), decoder, outputs)


def rows_of(*images, rows=4):
    """Outputs of a graph that suppresses; the rows of each image, and how many there are."""
    found = np.zeros((len(images), rows, 6), np.float32)
    for index, image in enumerate(images):
        found[index, : len(image)] = np.array(image, np.float32).reshape(-1, 6)
    return {"detections": found, "valid": np.array([len(image) for image in images], np.float32)}


def test_rows_of_a_graph_are_put_into_the_displayed_image():
    dog, cow = [10, 20, 30, 40, 0.75, 1], [-50, 20, 30, 400, 0.5, 2]
    placement = Placement((100, 200), (0.5, 0.5), (7.0, 0.0))
    nothing_found, found = decode(rows_manifest(score_threshold=0.5), rows_of([], [dog, cow]), [WHOLE, placement])
    assert (len(nothing_found), nothing_found.boxes.shape, nothing_found.shape) == (0, (0, 4), SIZE)
    assert found.boxes.tolist() == [[20, 26, 60, 66], [0, 26, 60, 100]]
    assert (found.scores.tolist(), found.class_ids.tolist()) == ([0.75, 0.5], [1, 2])
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int64)
    assert found.needed.tolist() == [0.5] * 3
    assert found.name_of(1) == "dog"


def test_rows_of_a_graph_are_the_best_where_fewer_are_asked_for():
    outputs = rows_of([[0, 0, 9, 9, score, 0] for score in (0.875, 0.75, 0.625)])
    found = decode(rows_manifest(most=2), outputs, [WHOLE])[0]
    assert found.scores.tolist() == [0.875, 0.75]
    assert found.needed.tolist() == [0.75] * 3  # that much was needed to be among the two
    assert decode(rows_manifest(), outputs, [WHOLE])[0].needed.tolist() == [0.25] * 3


@pytest.mark.parametrize("valid", [-1.0, 5.0, 0.5, np.nan])
def test_rows_of_a_graph_are_refused_where_their_number_means_nothing(valid):
    outputs = rows_of([[0, 0, 9, 9, 0.5, 0]]) | {"valid": np.array([valid], np.float32)}
    with pytest.raises(OutputError, match="output 'valid': expected"):
        decode(rows_manifest(), outputs, [WHOLE])


@pytest.mark.parametrize("class_id", [-1.0, 3.0, 0.5, 1e30])
def test_rows_of_a_graph_are_refused_where_there_is_no_such_class(class_id):
    with pytest.raises(OutputError, match="output 'detections': expected class ids from 0 to 2"):
        decode(rows_manifest(), rows_of([[0, 0, 9, 9, 0.5, class_id]]), [WHOLE])
