"""The built wheels alone: no TensorFlow, no onnx, and the same file gives the same answer."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EDGECNN = str(Path(sys.executable).with_name("edgecnn"))
TRAINING_SIDE = {"tensorflow", "keras", "onnx", "tf2onnx", "scikit-learn", "matplotlib", "edgecnn-exporters"}
LIST = (
    "from importlib.metadata import distributions; print(*sorted(d.metadata['Name'].lower() for d in distributions()))"
)


@pytest.fixture(scope="session")
def slim_python(made_once):
    """The Python of an environment with the wheels `edgecnn` and `edgecnn-runtime[cpu]`, and what they need."""

    def build(folder):
        command = [sys.executable, "benchmarks/slim_environment.py", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        (folder / "python.txt").write_text(done.stdout.strip())

    return Path((made_once("slim", build) / "python.txt").read_text())


def answers(edgecnn, model, image):
    """The answers without the times."""
    command = [str(edgecnn), "run", str(model), str(image), "--format", "json", "--device", "cpu", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [entry | {"speed_ms": None} for entry in json.loads(done.stdout)]


@pytest.mark.slow
def test_wheels_bring_nothing_of_the_training_side(slim_python):
    done = subprocess.run([str(slim_python), "-c", LIST], capture_output=True, text=True, check=True)
    assert {"edgecnn", "edgecnn-runtime", "onnxruntime"} <= set(done.stdout.split())
    assert not TRAINING_SIDE & set(done.stdout.split())


@pytest.mark.slow
def test_wheels_give_the_same_answer(slim_python, tmp_path):
    model, image = tmp_path / "model.onnx", tmp_path / "image.png"
    export = [EDGECNN, "export", "mnist_convnet", "--weights", "none", "-o", str(model)]
    subprocess.run(export, check=True, capture_output=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(image)
    assert answers(slim_python.with_name("edgecnn"), model, image) == answers(EDGECNN, model, image)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["train", "mnist_convnet", "--data", "digits"], ["export", "mnist_convnet", "--weights", "none"]]
)
def test_wheels_name_the_extra_that_training_needs(slim_python, tmp_path, command):
    edgecnn = slim_python.with_name("edgecnn")
    done = subprocess.run([edgecnn, *command, "-o", tmp_path / "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("edgecnn: tensorflow is not installed")
    assert 'pip install "edgecnn[train]"' in done.stderr


@pytest.mark.slow
def test_wheels_need_no_training_side_for_the_doctor_and_the_catalogue(slim_python):
    for arguments in (["doctor"], ["models"], ["--help"]):
        done = subprocess.run(
            [slim_python.with_name("edgecnn"), *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout
