import inspect

import pytest

import edgecnn_exporters
from edgecnn_exporters import errors
from edgecnn_runtime.errors import EdgeCNNError

ERRORS = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__]


def test_package_exports_what_it_lists():
    assert edgecnn_exporters.__all__ == sorted(edgecnn_exporters.__all__)
    assert all(hasattr(edgecnn_exporters, name) for name in edgecnn_exporters.__all__)


@pytest.mark.parametrize("cls", ERRORS)
def test_errors_stand_in_the_drawn_tree_with_their_exit_code(cls):
    line = next(line for line in errors.__doc__.splitlines() if f" {cls.__name__} " in line)
    assert line.split(cls.__name__)[1].split()[0] == str(cls.exit_code)


@pytest.mark.parametrize("cls", ERRORS)
def test_errors_have_a_kind_of_their_own(cls):
    assert issubclass(cls, EdgeCNNError)
    assert [other.kind for other in ERRORS].count(cls.kind) == 1


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if cls is not errors.ExportError])
def test_errors_are_caught_as_export_errors(cls):
    assert issubclass(cls, errors.ExportError)
