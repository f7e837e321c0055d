import importlib

import pytest

from edgecnn.cli import main
from edgecnn_runtime.evidence import LEAST_ONNXRUNTIME


def test_inspect_names_the_lowest_onnxruntime_that_was_tested(write_model, capfd):
    assert main(["inspect", write_model()]) == 0
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "ONNX Runtime" in line]
    assert " ".join(line.split()) == f"ONNX Runtime {LEAST_ONNXRUNTIME} or later: the lowest version that was tested"


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        ("1.12", LEAST_ONNXRUNTIME),  # what files of earlier releases state
        ("1.9", LEAST_ONNXRUNTIME),
        (LEAST_ONNXRUNTIME, LEAST_ONNXRUNTIME),
        ("1.100.0", "1.100.0"),
        ("2.0", "2.0"),
        ("", LEAST_ONNXRUNTIME),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_inspect_shows_no_version_that_this_release_was_not_tested_with(stated, shown):
    module = importlib.import_module("edgecnn.cli.inspect")  # the package has a function of that name
    assert module._tested_from(stated) == shown
