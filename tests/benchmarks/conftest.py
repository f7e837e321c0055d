"""The scripts of benchmarks/ import each other by name, as they do when they are run."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def script(monkeypatch):
    """Imports a script of benchmarks/; some load ONNX Runtime before edgecnn does."""
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module
