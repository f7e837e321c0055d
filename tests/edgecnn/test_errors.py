import inspect

import pytest

import edgecnn.errors
from edgecnn import extras
from edgecnn.errors import MissingDependencyError, UnknownModelError
from edgecnn_runtime.errors import EdgeCNNError

CLASSES = [value for _, value in inspect.getmembers(edgecnn.errors, inspect.isclass)]
OURS = [error for error in CLASSES if issubclass(error, EdgeCNNError) and error is not EdgeCNNError]


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_docstring_draws_every_error_with_its_exit_code(error):
    lines = [line.split() for line in edgecnn.errors.__doc__.splitlines()]
    assert [words[words.index(error.__name__) + 1] for words in lines if error.__name__ in words] == [
        str(error.exit_code)
    ]


def test_errors_have_a_kind_each():
    assert len({error.kind for error in OURS}) == len(OURS)


def test_unknown_model_error_lists_all_models_when_none_is_near():
    assert "expected one of alexnet, lenet5" in str(UnknownModelError.near("zzz", ["lenet5", "alexnet"]))


def test_missing_dependency_error_names_the_command():
    assert 'pip install "edgecnn[train]"' in str(MissingDependencyError.of("keras"))


def test_missing_dependency_error_brings_no_second_wheel_of_onnxruntime_beside_the_gpus(monkeypatch):
    assert 'pip install "edgecnn[evaluate]"' in str(MissingDependencyError.of("sklearn"))
    monkeypatch.setattr(extras, "version", {"onnxruntime-gpu": "1.31.1"}.__getitem__)
    assert str(MissingDependencyError.of("sklearn")).endswith("Run: pip install scikit-learn")
    assert 'pip install "edgecnn[train]"' in str(MissingDependencyError.of("keras"))
