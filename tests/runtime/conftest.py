import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import model_files
import pytest
from PIL import Image

from edgecnn_runtime import Predictor
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.golden import GoldenSample
from edgecnn_runtime.manifest import Manifest


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., bytes]:
    return model_files.make_graph


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    return model_files.make_manifest


@pytest.fixture(scope="session")
def make_evidence() -> Callable[[bytes], Evidence]:
    return model_files.make_evidence


@pytest.fixture(scope="session")
def make_golden() -> Callable[..., tuple[GoldenSample, ...]]:
    return model_files.make_golden


@pytest.fixture(scope="session")
def stamp() -> Callable[..., bytes]:
    return model_files.stamp


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Path]:
    return model_files.write_model


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return model_files.encode


@pytest.fixture(scope="session")
def photo() -> Callable[..., Image.Image]:
    return model_files.photo


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    """A stamped file of the default graph and manifest."""
    return model_files.write_model(tmp_path / "model.onnx")


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The default graph (8 x 6, gray, three classes), loaded once."""
    return Predictor.load(
        model_files.write_model(tmp_path_factory.mktemp("model") / "model.onnx"), device="cpu", threads=1
    )


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Predictor]:
    """Loads a predictor of the default graph and manifest with changes."""

    def load(graph: Mapping[str, object] | None = None, manifest: Mapping[str, object] | None = None) -> Predictor:
        payload = model_files.make_graph(**(graph or {}))
        path = model_files.write_model(
            tmp_path / "changed.onnx", payload, model_files.make_manifest(**(manifest or {}))
        )
        return Predictor.load(path, device="cpu")

    return load


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python code in a fresh process; a signal would show as a negative return code."""

    def run(code: str, *arguments: str, env: Mapping[str, str] | None = None, **options: object):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            check=False,
            **options,
        )

    return run
