from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_exporters.report import report_path, round_up, rounded, versions
from edgecnn_runtime.evidence import MetricParity, Parity, ScoresParity, TensorParity


@given(st.floats(1e-12, 1e12))
def test_round_up_never_claims_less_and_at_most_a_tenth_more(value):
    assert value <= round_up(value) <= value * 1.1 * (1 + 1e-15)


@given(st.floats(1e-12, 1e12))
def test_round_up_leaves_a_rounded_number_alone(value):
    assert round_up(round_up(value)) == round_up(value)


def test_rounded_rounds_differences_and_leaves_counts_and_metrics_exact():
    parity = Parity(
        "synthetic",
        (TensorParity("logits", 1.2345e-7, 3.21e-8),),
        ScoresParity(10000, 0.9999, 5.5555e-9),
        MetricParity("accuracy", 10000, 0.99123, 0.99124),
    )
    expected = Parity(
        "synthetic",
        (TensorParity("logits", 1.3e-7, 3.3e-8),),
        ScoresParity(10000, 0.9999, 5.6e-9),
        MetricParity("accuracy", 10000, 0.99123, 0.99124),
    )
    assert rounded(parity) == expected


@pytest.mark.parametrize(
    ("file", "report"),
    [("a/mnist.onnx", "a/mnist.report.json"), ("m.int8.onnx", "m.int8.report.json"), ("m", "m.report.json")],
)
def test_report_path_stands_beside_the_file(file, report):
    assert report_path(Path(file)) == Path(report)


def test_versions_names_everything_that_took_part():
    assert {"keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "edgecnn-exporters"} <= versions().keys()
