import numpy as np
import pytest

from edgecnn_exporters.proof.differences import DecodedDifference, OutputDifference
from edgecnn_runtime.tasks.scores import compare_scores
from edgecnn_runtime.tasks.segmentation import SEGMENTATION, Segmentation


def scores(logits):
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def test_output_difference_is_relative_to_the_largest_reference_of_all_batches():
    difference = OutputDifference("logits")
    difference.update(np.float32([[1, -2]]), np.float32([[1, -2.5]]), np.array([0]))
    difference.update(np.float32([[4, 0]]), np.float32([[4, 0.25]]), np.array([1]))
    parity = difference.parity()
    assert (parity.output, parity.max_abs, parity.max_relative) == ("logits", 0.5, 0.125)


def test_output_difference_remembers_the_worst_image():
    difference = OutputDifference("logits")
    reference = np.zeros((3, 2, 2), np.float32)
    candidate = reference.copy()
    candidate[1, 0, 1], candidate[2, 1, 1] = -3, 2
    difference.update(reference, candidate, np.array([7, 8, 9]))
    assert difference.worst_image == 8


def test_output_difference_takes_an_empty_batch():
    difference = OutputDifference("logits")
    difference.update(np.zeros((0, 2)), np.zeros((0, 2)), np.arange(0))
    assert difference.max_relative == 0


def test_output_difference_of_an_output_that_is_zero_everywhere_is_finite():
    difference = OutputDifference("logits")
    difference.update(np.zeros((1, 2), np.float32), np.float32([[0, 1e-3]]), np.array([0]))
    assert 1e30 < difference.max_relative < np.inf


def test_spread_error_equals_the_formula_however_the_images_are_batched():
    random = np.random.default_rng(0)
    reference = random.normal(5, 1, (40, 3)) * [1, 2, 3]
    candidate = reference + random.normal(0, 0.1, reference.shape)
    difference = OutputDifference("logits")
    for first, last in ((0, 1), (1, 14), (14, 40)):
        difference.update(reference[first:last], candidate[first:last], np.arange(first, last))
    expected = np.linalg.norm(candidate - reference) / np.linalg.norm(reference - reference.mean(axis=0))
    assert difference.spread_error == pytest.approx(expected, rel=1e-9)


def test_spread_error_of_maps_of_unlike_sizes_is_over_all_their_places():
    random = np.random.default_rng(0)
    maps = [random.normal(5, 1, (count, *size, 3)) * [1, 2, 3] for count, size in ((2, (4, 6)), (1, (5, 3)))]
    difference, constant = OutputDifference("logits", any_size=True), OutputDifference("logits", any_size=True)
    for number, reference in enumerate(maps):
        errors = random.normal(0, 0.1, reference.shape)
        difference.update(reference, reference + errors, np.full(len(reference), number))
        constant.update(reference, np.full_like(reference, 7.5), np.full(len(reference), number))
        maps[number] = np.concatenate([reference.reshape(-1, 3), errors.reshape(-1, 3)], axis=1)
    places = np.concatenate(maps)
    about = np.linalg.norm(places[:, :3] - places[:, :3].mean(axis=0))
    assert difference.spread_error == pytest.approx(np.linalg.norm(places[:, 3:]) / about, rel=1e-9)
    assert constant.spread_error > 1


def test_spread_error_of_answers_that_hardly_differ_is_a_part_of_their_size():
    difference = OutputDifference("logits")
    difference.update(np.full((4, 2), 100.0), np.full((4, 2), 101.0), np.arange(4))
    assert difference.spread_error == pytest.approx(0.1)


def add(difference, reference, candidate, first=0):
    for number, rows in enumerate(zip(reference, candidate, strict=True), start=first):
        difference.update(compare_scores(*rows), number)


def test_decoded_difference_counts_agreement_and_keeps_the_margin_of_the_others():
    difference = DecodedDifference(images=2)
    add(difference, scores([[1, 3, 2], [5, 4.5, 0]]), scores([[1, 3, 2], [4.5, 5, 0]]), first=4)
    assert difference.agreeing == 1
    assert difference.disagreements == [(5, pytest.approx(0.5), 1)]
    assert (difference.decided, difference.decided_disagreement) == (1, 0)  # the margin of the other is below log 2


def test_decoded_difference_counts_disagreement_where_the_reference_is_sure():
    difference = DecodedDifference(images=4)
    add(difference, scores([[3, 0, 0]] * 4), scores([[3, 0, 0]] * 3 + [[0, 0, 3]]))
    assert (difference.decided, difference.decided_disagreement) == (4, 0.25)


def test_decoded_difference_takes_the_largest_difference_of_each_kind():
    difference = DecodedDifference(images=1)
    add(difference, scores([[0, 0], [0, 0]]), scores([[0, np.log(3)], [0, 0]]))
    assert difference.differences == pytest.approx({"scores": 0.25}, abs=1e-6)
    assert difference.relative == pytest.approx({"scores": 0.5}, abs=1e-6)


@pytest.mark.parametrize(("tolerance", "beyond"), [(0.4, (5,)), (0.6, ())])
def test_decoded_difference_forgives_what_the_tolerance_leaves_undecided(tolerance, beyond):
    assert DecodedDifference(disagreements=[(5, 0.5, 1.0)]).beyond(tolerance) == beyond


def test_decoded_difference_takes_scores_that_are_all_0():
    difference = DecodedDifference(images=1)
    add(difference, np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32))
    assert (difference.agreeing, difference.relative) == (1, {"scores": 0})


def test_of_class_maps_the_part_of_the_pixels_is_judged():
    """Of thin shapes int8 turns more than one pixel of a thousand on most images, and no class."""
    difference = DecodedDifference()
    for number, turned in enumerate((0, 50, 150)):  # of 10,000 pixels
        truth = np.zeros((100, 100), np.uint8)
        answer = truth.copy()
        answer.reshape(-1)[:turned] = 1
        expected, received = (Segmentation(one, labels=("a", "b"), shape=one.shape) for one in (truth, answer))
        difference.update(SEGMENTATION.agreement(expected, received), number)
    assert difference.decided == 3
    assert difference.decided_disagreement == pytest.approx(200 / 30_000)
    assert difference.beyond(0) == (1, 2)
