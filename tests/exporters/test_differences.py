import numpy as np
import pytest

from edgecnn_exporters.differences import DecodedDifference, OutputDifference
from edgecnn_runtime.decoding import softmax
from edgecnn_runtime.results import Classification


def results(logits):
    return [Classification(row, None, (1, 1)) for row in softmax(np.float32(logits))]


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


def test_decoded_difference_counts_agreement_and_keeps_the_margin_of_the_others():
    reference, candidate = [[1, 3, 2], [5, 4.5, 0]], [[1, 3, 2], [4.5, 5, 0]]
    difference = DecodedDifference(images=2)
    difference.update(results(reference), results(candidate), np.float32(reference), np.array([4, 5]))
    assert difference.agreeing == 1
    assert difference.disagreements == [(5, pytest.approx(0.5))]
    assert difference.parity().top1_agreement == 0.5


def test_decoded_difference_takes_the_largest_score_difference():
    difference = DecodedDifference(images=1)
    difference.update(results([[0, 0]]), results([[0, np.log(3)]]), np.float32([[0, 0]]), np.array([0]))
    assert difference.max_score_difference == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize(("tolerance", "beyond"), [(0.4, (5,)), (0.6, ())])
def test_decoded_difference_forgives_what_the_tolerance_leaves_undecided(tolerance, beyond):
    assert DecodedDifference(disagreements=[(5, 0.5)]).beyond(tolerance) == beyond
