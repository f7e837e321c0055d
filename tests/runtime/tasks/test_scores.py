import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgecnn_runtime.tasks.scores import sigmoid, softmax, top_k

LOGITS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
)


def test_softmax_equals_hand_computed_values():
    np.testing.assert_allclose(
        softmax(np.log(np.array([[1, 2, 5], [3, 3, 2]], dtype=np.float32))),
        [[0.125, 0.25, 0.625], [0.375, 0.375, 0.25]],
        rtol=1e-6,
    )


@given(LOGITS)
def test_softmax_is_a_distribution_without_warning_for_any_finite_logits(logits):
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        scores = softmax(logits)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


@given(LOGITS)
def test_softmax_keeps_the_order(logits):
    scores = softmax(logits)
    rows = np.arange(len(logits))
    assert (scores[rows, logits.argmax(axis=1)] == scores.max(axis=1)).all()


def test_softmax_ignores_a_common_offset():
    logits = np.array([[1, 2, 3]], dtype=np.float32)
    np.testing.assert_array_equal(softmax(logits), softmax(logits + np.float32(1024)))


def test_softmax_computes_float16_logits_in_float32():
    logits = np.array([[-60000, 60000]], dtype=np.float16)
    assert softmax(logits).tolist() == [[0.0, 1.0]]


def test_softmax_leaves_the_logits_as_they_are():
    logits = np.array([[1, 2]], dtype=np.float32)
    softmax(logits)
    assert logits.tolist() == [[1, 2]]


@given(LOGITS)
def test_sigmoid_equals_the_formula_in_more_digits_without_warning(logits):
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        scores = sigmoid(logits)
    assert scores.dtype == np.float32
    wide = np.clip(logits.astype(np.float64), -700, 700)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-wide)), rtol=1e-6, atol=1e-37)


def test_sigmoid_computes_float16_logits_in_float32_and_leaves_them_as_they_are():
    logits = np.array([[-60000, 0, 10, 60000]], dtype=np.float16)
    assert sigmoid(logits)[0] == pytest.approx([0, 0.5, 0.9999546, 1], abs=1e-7)
    assert logits.tolist() == [[-60000, 0, 10, 60000]]


@pytest.mark.parametrize(("k", "expected"), [(1, [2]), (2, [2, 0]), (3, [2, 0, 1]), (9, [2, 0, 1])])
def test_top_k_gives_the_best_first(k, expected):
    assert top_k(np.array([0.3, 0.1, 0.6], dtype=np.float32), k).tolist() == expected


def test_top_k_gives_the_lower_class_id_first_when_equal():
    assert top_k(np.array([0.2, 0.4, 0.4, 0.2], dtype=np.float32), 4).tolist() == [1, 2, 0, 3]


@given(hnp.arrays(np.float32, st.integers(1, 30), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.integers(1, 30))
def test_top_k_equals_sorting_by_score_and_class_id(scores, k):
    expected = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:k]
    assert top_k(scores, k).tolist() == expected


def test_top_k_refuses_none():
    with pytest.raises(ValueError, match="k: expected 1 or more, received 0"):
        top_k(np.ones(3, dtype=np.float32), 0)
