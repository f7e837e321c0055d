import os

import pytest

from edgecnn import extras
from edgecnn.cli import tensorflow
from edgecnn.errors import MissingDependencyError


def test_load_tensorflow_names_the_extra_when_it_is_missing(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"edgecnn\[train\]"):
        tensorflow.load_tensorflow()


def test_native_stderr_comes_back_after_the_block(capfd):
    with tensorflow._native_stderr_silenced():
        os.write(2, b"banner")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_native_stderr_comes_back_when_the_block_fails(capfd):
    with pytest.raises(ImportError), tensorflow._native_stderr_silenced():
        raise ImportError
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
