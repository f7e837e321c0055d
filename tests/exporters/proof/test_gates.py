import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_exporters.proof.gates import (
    HALF_TENSOR_BUDGET,
    RESULT_BUDGETS,
    SPREAD_BUDGETS,
    Compared,
    float32_gates,
    quantized_gates,
    upper_bound,
)
from edgecnn_runtime.evidence import MetricParity


def compared(drops=None, *, metric=True, **numbers):
    drops = None if drops is None else np.asarray(drops, np.float64)
    usual = {
        "images": 100,
        "non_finite": 0,
        "max_relative": 0.5,
        "spread_error": 0.03,
        "results": {"scores": 0.2},
        "disagreements": 3,
        "decided": 80,
        "decided_disagreement": 0.0,
    }
    return Compared(**usual | numbers, metric=MetricParity("accuracy", 100, 0.9, 0.8) if metric else None, drops=drops)


def failed(gates):
    return [gate.name for gate in gates if not gate.passed]


def dropped(worse, better=0, images=1000):
    return np.r_[np.ones(worse), -np.ones(better), np.zeros(images - worse - better)]


def test_quantized_gates_let_the_point_estimate_decide():
    gate = quantized_gates("int8", 0.01)(compared(dropped(10)))[-1]
    assert (gate.name, gate.budget, gate.value, gate.passed) == ("parity.accuracy_drop", 0.01, 0.01, True)
    assert not quantized_gates("int8", 0.01)(compared(dropped(11)))[-1].passed


@pytest.mark.parametrize(("worse", "decided"), [(0, True), (4, True), (9, False)])
def test_quantized_gates_say_where_the_bound_exceeds_the_budget(worse, decided):
    gate = quantized_gates("int8", 0.01)(compared(dropped(worse)))[-1]
    assert (gate.passed, gate.decided) == (True, decided)
    assert (gate.bound <= 0.01) == decided


def test_quantized_gates_take_a_gain_for_no_drop():
    gate = quantized_gates("int8", 0.0)(compared(dropped(0, better=5)))[-1]
    assert (gate.value, gate.passed) == (-0.005, True)


def test_quantized_gates_refuse_outputs_that_are_not_finite():
    gates = quantized_gates("int8", 0.01)(compared(dropped(0), non_finite=1))
    assert [gate.name for gate in gates if not gate.passed] == ["parity.non_finite_images"]


def test_quantized_gates_take_a_metric_that_is_no_mean_without_a_bound():
    gate = quantized_gates("int8", 0.2)(compared())[-1]
    assert (gate.value, gate.bound, gate.decided) == (0.1, None, True)


@pytest.mark.parametrize(("factor", "passed"), [(0.9, True), (1.1, False)])
def test_quantized_gates_judge_the_outputs_without_labels(factor, passed):
    numbers = compared(metric=False, max_relative=factor * HALF_TENSOR_BUDGET)
    assert quantized_gates("float16", 0.01)(numbers)[-1].passed is passed


@pytest.mark.parametrize(("precision", "budget"), SPREAD_BUDGETS.items())
@pytest.mark.parametrize("labels", [True, False])
def test_quantized_gates_judge_the_outputs_with_labels_or_without(precision, budget, labels):
    for factor, expected in ((0.9, []), (1.1, ["parity.outputs"])):
        numbers = compared(dropped(0), metric=labels, max_relative=0.0, spread_error=factor * budget)
        assert failed(quantized_gates(precision, 1.0)(numbers)) == expected


@pytest.mark.parametrize(
    ("decided", "part", "max_drop", "passed"),
    [
        *((100, 0.1, 0.0, True), (100, 0.11, 0.0, False)),
        *((100, 0.29, 0.2, True), (100, 0.31, 0.2, False)),  # what the metric may lose may be answered otherwise
        *((5, 0.2, 0.0, True), (5, 0.4, 0.0, False)),  # one image alone decides nothing
        (0, 0.0, 0.0, True),
    ],
)
def test_quantized_gates_judge_the_classes_of_which_the_source_is_sure(decided, part, max_drop, passed):
    numbers = compared(dropped(0), decided=decided, decided_disagreement=part)
    expected = [] if passed else ["parity.decided_disagreement"]
    assert failed(quantized_gates("int8", max_drop)(numbers)) == expected


@pytest.mark.parametrize(("factor", "expected"), [(0.9, []), (1.1, ["parity.scores"])])
def test_float32_gates_judge_the_scores(factor, expected):
    numbers = compared(
        metric=False, max_relative=0.0, disagreements=0, results={"scores": factor * RESULT_BUDGETS["scores"]}
    )
    assert failed(float32_gates(numbers)) == expected


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=200))
def test_upper_bound_is_above_the_mean_where_it_must_be(drops):
    drops = np.array(drops)
    assert upper_bound(drops) > drops.sum() / (len(drops) + 2)


def test_upper_bound_holds_for_about_19_of_20_samples():
    random = np.random.default_rng(0)
    samples = random.choice([-1.0, 0.0, 1.0], p=[0.01, 0.96, 0.03], size=(2000, 500))
    held = np.mean([upper_bound(sample) >= 0.02 for sample in samples])
    assert 0.93 <= held <= 0.98


def test_float32_gates_take_boxes_that_overlap_almost_wholly():
    close, apart = (float32_gates(compared(results={"scores": 0.0, "boxes": lack})) for lack in (0.01, 0.011))
    assert "parity.boxes" not in failed(close)
    assert "parity.boxes" in failed(apart)


@pytest.mark.parametrize(("part", "decided", "passed"), [(0.03, 80, True), (0.031, 80, False), (0.2, 2, False)])
def test_quantized_gates_count_pixels_of_class_maps_by_a_budget_of_their_own(part, decided, passed):
    """Of two images a single one would be half: an answer that turns a fifth of all pixels is none of rounding."""
    numbers = compared(results={"pixels": 0.04}, decided=decided, decided_disagreement=part)
    gates = quantized_gates("int8", 0.01)(numbers)
    assert ("parity.decided_disagreement" not in failed(gates)) is passed
