import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from edgecnn.data.load import load_dataset
from edgecnn_runtime.container import METADATA_SHA256_KEY, append_metadata, read_model_file
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.evidence import Evidence, payload_sha256
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST_KEY

EDGECNN = Path(sys.executable).with_name("edgecnn")
TRAIN = ["train", "mnist_convnet", "--data", "digits", "--epochs", "10", "--width", "0.25", "--seed", "1"]
Command = Callable[..., subprocess.CompletedProcess[str]]


def run_edgecnn(
    *arguments: str | Path, wrapper: Sequence[str] = (), env: dict[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Runs the installed command to its end.

    Args:
        arguments: of edgecnn.
        wrapper: a command that runs it, for example ("unshare", "-n").
        env: changes of the environment; an empty value removes the variable.
        options: of subprocess.run.
    """
    changed = {**os.environ, **(env or {})}
    environment = {name: value for name, value in changed.items() if (env or {}).get(name) != ""}
    command = [*wrapper, str(EDGECNN), *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "errors": "surrogateescape", **options}
    return subprocess.run(command, env=environment, check=False, **settings)


@pytest.fixture(scope="session")
def edgecnn() -> Command:
    return run_edgecnn


@pytest.fixture(scope="session")
def run_folder(made_once) -> Path:
    """A run folder of a narrow network, trained once for all tests."""

    def train(folder: Path) -> None:
        done = run_edgecnn(*TRAIN, "-o", folder / "run")
        assert done.returncode == 0, done.stderr

    return made_once("trained", train) / "run"


@pytest.fixture(scope="session")
def model_file(made_once, run_folder) -> Path:
    """The model file of `run_folder`."""

    def export(folder: Path) -> None:
        done = run_edgecnn("export", run_folder, "-o", folder / "digits.onnx", "--data", "digits")
        assert done.returncode == 0, done.stderr

    return made_once("exported", export) / "digits.onnx"


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """A folder with one PNG of each digit, out of the test part: 0.png to 9.png."""
    folder = tmp_path_factory.mktemp("digits")
    test = load_dataset("digits").test
    for class_id in range(10):
        pixels, _ = test[int(np.flatnonzero(test.targets.ids == class_id)[0])]
        Image.fromarray(pixels.squeeze()).save(folder / f"{class_id}.png")
    return folder


@pytest.fixture(scope="session")
def restamp() -> Callable[..., Path]:
    """Writes a copy of a model file with a changed graph or manifest and right hashes, as a faulty exporter would.

    Called with (source, target), and `graph`, which changes a ModelProto, or `manifest`, an (old, new) pair of text, or
    changed fields of the evidence.
    """

    def write(
        source: Path,
        target: Path,
        *,
        graph: Callable[[onnx.ModelProto], object] | None = None,
        manifest: tuple[str, str] | None = None,
        **evidence_fields: object,
    ) -> Path:
        file = read_model_file(source)
        payload, metadata = file.payload.read(), dict(file.metadata)
        del metadata[METADATA_SHA256_KEY]
        if graph is not None:
            proto = onnx.load_from_string(payload)
            graph(proto)
            payload = proto.SerializeToString()
        if manifest is not None:
            assert manifest[0] in metadata[MANIFEST_KEY]
            metadata[MANIFEST_KEY] = metadata[MANIFEST_KEY].replace(*manifest, 1)
        evidence = Evidence.from_json(metadata[EVIDENCE_KEY])
        changed = dataclasses.replace(evidence, payload_sha256=payload_sha256(payload), **evidence_fields)
        metadata[EVIDENCE_KEY] = changed.to_json()
        target.write_bytes(append_metadata(payload, metadata))
        return target

    return write


@pytest.fixture(scope="session")
def one_line() -> Callable[..., None]:
    """Checks that stderr ends with our one line, that it holds the words it must, and that there is no traceback."""

    def check(stderr: str, *words: str) -> None:
        assert "Traceback" not in stderr
        last = stderr.rstrip("\n").split("\n")[-1]
        assert last.startswith("edgecnn: ")
        assert [word for word in words if word not in last] == [], last

    return check
