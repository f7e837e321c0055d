import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_exporters.gates import HALF_TENSOR_BUDGET, Compared, quantized_gates, upper_bound
from edgecnn_runtime.evidence import MetricParity


def compared(drops=None, *, non_finite=0, max_relative=0.5, images=100):
    drops = None if drops is None else np.asarray(drops, np.float64)
    metric = MetricParity("accuracy", images, 0.9, 0.8)
    return Compared(images, non_finite, max_relative, 3, metric, drops)


def dropped(worse, better=0, images=1000):
    return np.r_[np.ones(worse), -np.ones(better), np.zeros(images - worse - better)]


def test_quantized_gates_let_the_point_estimate_decide():
    gate = quantized_gates(0.01)(compared(dropped(10)))[-1]
    assert (gate.name, gate.budget, gate.value, gate.passed) == ("parity.accuracy_drop", 0.01, 0.01, True)
    assert not quantized_gates(0.01)(compared(dropped(11)))[-1].passed


@pytest.mark.parametrize(("worse", "decided"), [(0, True), (4, True), (9, False)])
def test_quantized_gates_say_where_the_bound_exceeds_the_budget(worse, decided):
    gate = quantized_gates(0.01)(compared(dropped(worse)))[-1]
    assert (gate.passed, gate.decided) == (True, decided)
    assert (gate.bound <= 0.01) == decided


def test_quantized_gates_take_a_gain_for_no_drop():
    gate = quantized_gates(0.0)(compared(dropped(0, better=5)))[-1]
    assert (gate.value, gate.passed) == (-0.005, True)


def test_quantized_gates_refuse_outputs_that_are_not_finite():
    gates = quantized_gates(0.01)(compared(dropped(0), non_finite=1))
    assert [gate.name for gate in gates if not gate.passed] == ["parity.non_finite_images"]


def test_quantized_gates_take_a_metric_that_is_no_mean_without_a_bound():
    gate = quantized_gates(0.2)(compared())[-1]
    assert (gate.value, gate.bound, gate.decided) == (0.1, None, True)


@pytest.mark.parametrize(("factor", "passed"), [(0.9, True), (1.1, False)])
def test_quantized_gates_judge_the_outputs_without_labels(factor, passed):
    numbers = Compared(32, 0, factor * HALF_TENSOR_BUDGET, 0, None, None)
    assert quantized_gates(0.01)(numbers)[-1].passed is passed


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=200))
def test_upper_bound_is_above_the_mean_where_it_must_be(drops):
    drops = np.array(drops)
    assert upper_bound(drops) > drops.sum() / (len(drops) + 2)


def test_upper_bound_holds_for_about_19_of_20_samples():
    random = np.random.default_rng(0)
    samples = random.choice([-1.0, 0.0, 1.0], p=[0.01, 0.96, 0.03], size=(2000, 500))
    held = np.mean([upper_bound(sample) >= 0.02 for sample in samples])
    assert 0.93 <= held <= 0.98
