import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.data.targets import IGNORE
from edgecnn.errors import UsageError
from edgecnn.tasks.segmentation.boundaries import count_boundary
from edgecnn.tasks.segmentation.metric import ClassMapIoU
from edgecnn_runtime.decoders import ClassMapDecoder, OutputSpec
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.tasks.segmentation import Segmentation

LABELS = ("ground", "cell", "wall")


def manifest_of(labels=LABELS):
    outputs = (OutputSpec("logits", (4, 6, 3)),)
    return Manifest(
        "segmentation", ModelInfo("m", 1.0), (ImageInput("image", 4, 6, "gray"),), labels, ClassMapDecoder(), outputs
    )


def answered(class_map):
    return Segmentation(np.array(class_map, np.uint8), labels=LABELS, shape=np.shape(class_map))


def fed(pairs, labels=LABELS):
    metric = ClassMapIoU(manifest_of(labels))
    for truth, answer in pairs:
        metric.update([answered(answer)], [np.array(truth, np.uint8)])
    return metric


def test_evaluation_is_the_one_counted_by_hand():
    truth = [[0, 0, 1, 1], [0, 1, 1, IGNORE]]
    answer = [[0, 1, 1, 1], [0, 1, 0, 2]]
    found = fed([(truth, answer)]).evaluation(skipped=2)
    # ground: 2 right, 3 true, 3 answered; cell: 3 right, 4 true, 4 answered; wall: nowhere that counts
    assert found.confusion.tolist() == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]
    assert [entry.iou for entry in found.per_class] == [2 / 4, 3 / 5, None]
    assert [entry.dice for entry in found.per_class] == [4 / 6, 6 / 8, None]
    assert [entry.pixels for entry in found.per_class] == [3, 4, 0]
    assert found.mean_iou == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert found.mean_dice == pytest.approx((4 / 6 + 6 / 8) / 2)
    assert found.pixel_accuracy == 5 / 7
    assert (found.images, found.skipped) == (1, 2)
    assert found.headline().startswith("mean IoU 0.5500")
    assert found.to_dict()["per_class"][0] == {
        **{"name": "ground", "class": 0, "iou": 0.5, "dice": 4 / 6, "pixels": 3},
        "boundary_f1": found.per_class[0].boundary_f1,
    }


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_value_is_that_of_keras(seed):
    random = np.random.default_rng(seed)
    truths = random.choice([0, 1, 2, IGNORE], (3, 5, 7))
    answers = random.integers(0, 3, (3, 5, 7))
    oracle = keras.metrics.MeanIoU(3, ignore_class=IGNORE)
    oracle.update_state(truths, answers)
    metric = fed(zip(truths, answers, strict=True))
    assert metric.value() == pytest.approx(float(oracle.result()), abs=1e-6)
    each = []
    for truth, answer in zip(truths, answers, strict=True):
        oracle.reset_state()
        oracle.update_state(truth, answer)
        each.append(float(oracle.result()))
    assert metric.image_scores() == pytest.approx(each, abs=1e-6)


def test_pixels_are_counted_over_all_images_and_not_in_the_mean_of_images():
    large, small = np.zeros((10, 10)), np.ones((1, 1))
    metric = fed([(large, large), (small, np.zeros((1, 1)))])
    assert metric.value() == pytest.approx((100 / 101 + 0) / 2)
    assert metric.scores() is None
    assert metric.image_scores().tolist() == [1.0, 0.0]


def test_an_image_of_which_nothing_is_said_costs_nothing():
    said, unsaid = ([[0, 1]], [[0, 0]]), (np.full((2, 2), IGNORE), np.zeros((2, 2)))
    assert fed([said, unsaid]).value() == fed([said]).value() == pytest.approx(1 / 4)
    assert fed([said, unsaid]).image_scores().tolist() == [1 / 4, 1.0]


def test_no_score_is_given_where_nothing_is_said_of_any_image():
    """Test parts whose truth is kept secret have such masks, and any answer would be a perfect one."""
    metric = fed([(np.full((2, 2), IGNORE), np.zeros((2, 2)))] * 3)
    for ask in (metric.value, metric.evaluation):
        with pytest.raises(UsageError, match="expected a pixel to judge by that is not ignored, received none in 3"):
            ask()
    outlines = fed([([[IGNORE, IGNORE, 0, 0]], [[0, 1, 0, 0]])]).evaluation()
    assert (outlines.boundary_f1, outlines.mean_iou) == (None, 1.0)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected a mask of \(1, 2\), received \(2, 1\)"):
        fed([(np.zeros((2, 1)), np.zeros((1, 2)))])


def near_by_brute_force(some, others, reach):
    hits = [
        any(np.hypot(y - other_y, x - other_x) <= reach for other_y, other_x in zip(*np.nonzero(others), strict=True))
        for y, x in zip(*np.nonzero(some), strict=True)
    ]
    return np.mean(hits) if hits else None


def outline(mask):
    """Pixels of a mask that have a neighbour in the image, of four, which is none of it."""
    found = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        for step_y, step_x in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            row, column = y + step_y, x + step_x
            if 0 <= row < len(mask) and 0 <= column < len(mask[0]) and not mask[row, column]:
                found[y, x] = True
    return found


def test_boundaries_are_met_as_by_brute_force():
    random = np.random.default_rng(1)
    for _ in range(30):
        truth, answer = (np.kron(random.integers(0, 3, (4, 5)), np.ones((3, 4))).astype(np.uint8) for _ in range(2))
        counts = count_boundary(truth, answer, 3)
        reach = max(1.0, 0.0075 * np.hypot(*truth.shape))
        for class_id in range(3):
            true, given = (outline(one == class_id) for one in (truth, answer))
            precision, recall = near_by_brute_force(given, true, reach), near_by_brute_force(true, given, reach)
            assert (counts.answered[class_id], counts.shown[class_id]) == (given.any(), true.any())
            assert counts.precision[class_id] == pytest.approx(precision or 0.0)
            assert counts.recall[class_id] == pytest.approx(recall or 0.0)


def test_f1_of_boundaries_is_that_of_the_mean_precision_and_the_mean_recall():
    """Precision over the images in which a class was answered, recall over those that show it."""
    first = np.zeros((1, 9), np.uint8), np.zeros((1, 9), np.uint8)
    first[0][0, 6:], first[1][0, 3:] = 1, 1  # of the boundary 5|6, answered as 2|3: out of reach
    second = np.zeros((1, 9), np.uint8), np.zeros((1, 9), np.uint8)
    second[0][0, 4:] = second[1][0, 4:] = 1
    third = np.zeros((1, 9), np.uint8), np.zeros((1, 9), np.uint8)
    third[1][0, 1:3] = 2  # answered, and nowhere true
    found = fed([first, second, third]).evaluation()
    # cell: precision (0 + 1) / 2, recall (0 + 1) / 2; ground: precision (0 + 1 + 0) / 3, recall (0 + 1) / 2
    assert [entry.boundary_f1 for entry in found.per_class] == [
        pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),
        pytest.approx(1 / 2),
        0.0,
    ]
    assert found.boundary_f1 == pytest.approx((0.4 + 0.5 + 0) / 3)
    assert fed([second, second]).evaluation().boundary_f1 == 1


def test_a_boundary_is_met_within_a_part_of_the_diagonal():
    for shift, met in ((1, True), (3, True), (4, False)):  # .75 % of the diagonal of 300 x 400 is 3.75
        truth, answer = (np.zeros((300, 400), np.uint8) for _ in range(2))
        truth[:, 200:], answer[:, 200 + shift :] = 1, 1
        assert count_boundary(truth, answer, 2).recall.tolist() == [met, met]


def test_boundaries_beside_what_is_ignored_do_not_count():
    truth = np.uint8([[0] * 6, [0, 0, IGNORE, IGNORE, 1, 1], [0] * 6])
    counts = count_boundary(truth, np.zeros_like(truth), 2)
    assert counts.shown.tolist() == [1, 1]
    truth[1] = IGNORE
    assert count_boundary(truth, np.zeros_like(truth), 2).shown.tolist() == [0, 0]


def test_labels_are_left_out_where_there_are_none():
    assert [entry.title for entry in fed([([[0]], [[1]])], labels=None).evaluation().per_class] == [
        *("class 0", "class 1", "class 2")
    ]
