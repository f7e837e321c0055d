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


def environment_of(extra, made_once):
    """The Python of an environment with the built wheels, an extra of `edgecnn`, and what they need."""

    def build(folder):
        command = [sys.executable, "benchmarks/slim_environment.py", str(folder), extra]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        (folder / "python.txt").write_text(done.stdout.strip())

    return Path((made_once(f"slim-{extra}", build) / "python.txt").read_text())


@pytest.fixture(scope="session")
def slim_python(made_once):
    return environment_of("cpu", made_once)


@pytest.fixture(scope="session")
def evaluate_python(made_once):
    return environment_of("evaluate", made_once)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export = [EDGECNN, "export", "mnist_convnet", "--weights", "none", "-o", str(path)]
    subprocess.run(export, check=True, capture_output=True)
    return path


def answers(edgecnn, model, image, *options):
    """The answers without the times."""
    command = [str(edgecnn), "run", str(model), str(image), "--format", "json", "--device", "cpu", "--threads", "1"]
    command += options
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [entry | {"speed_ms": None} for entry in json.loads(done.stdout)]


@pytest.mark.slow
def test_wheels_bring_nothing_of_the_training_side(slim_python):
    done = subprocess.run([str(slim_python), "-c", LIST], capture_output=True, text=True, check=True)
    assert {"edgecnn", "edgecnn-runtime", "onnxruntime"} <= set(done.stdout.split())
    assert not TRAINING_SIDE & set(done.stdout.split())


@pytest.mark.slow
def test_wheels_give_the_same_answer(slim_python, model_file, tmp_path):
    image = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(image)
    assert answers(slim_python.with_name("edgecnn"), model_file, image) == answers(EDGECNN, model_file, image)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--split",)])
def test_wheels_answer_a_question(slim_python, tmp_path, options):
    model, image = tmp_path / "vqa.onnx", tmp_path / "image.png"
    export = [EDGECNN, "export", "vqa_cnn_lstm", "--weights", "none", "--width", "0.1", "--image-size", "40,48"]
    subprocess.run([*export, *options, "-o", str(model)], check=True, capture_output=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(image)
    asked = ["--question", "What is it?", "--question", "and where"]
    found = answers(slim_python.with_name("edgecnn"), model, image, *asked)
    assert [entry["question"] for entry in found] == ["What is it?", "and where"]
    assert found == answers(EDGECNN, model, image, *asked)


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
    for arguments in (["doctor"], ["models"], ["models", "alexnet"], ["--help"]):
        done = subprocess.run(
            [slim_python.with_name("edgecnn"), *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Ten classes of random pictures, as an .npz and as a folder a class."""
    folder, random = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    pixels, class_ids = random.integers(0, 256, (40, 12, 9, 3), dtype=np.uint8), np.arange(40) % 10
    np.savez(folder / "set.npz", x_train=pixels, y_train=class_ids)
    for index, (image, class_id) in enumerate(zip(pixels, class_ids, strict=True)):
        (folder / f"set/{class_id}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"set/{class_id}/{index}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("data", ["digits", "set.npz", "set"])
def test_the_extra_evaluate_scores_a_file_to_the_same_numbers(evaluate_python, model_file, labelled, data):
    command = ["evaluate", model_file, "--data", data, "--device", "cpu", "--format", "json"]
    command += ["--save", "drawn"]
    here, there = (
        subprocess.run([edgecnn, *command], cwd=labelled, capture_output=True, text=True, check=True).stdout
        for edgecnn in (EDGECNN, evaluate_python.with_name("edgecnn"))
    )
    assert json.loads(here) == json.loads(there)
    assert json.loads(there)["images"] >= 40
    assert {path.name for path in (labelled / "drawn").iterdir()} == {"confusion.png", "worst.png"}


@pytest.mark.slow
def test_the_extra_evaluate_brings_nothing_that_trains(evaluate_python):
    done = subprocess.run([str(evaluate_python), "-c", LIST], capture_output=True, text=True, check=True)
    assert {"edgecnn", "onnxruntime", "scikit-learn"} <= set(done.stdout.split())
    assert not (TRAINING_SIDE - {"scikit-learn", "matplotlib"}) & set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixture", "data", "extra"),
    [("slim_python", "digits", "evaluate"), ("slim_python", "set", "evaluate"), ("evaluate_python", "mnist", "train")],
)
def test_evaluate_names_the_extra_that_is_missing(fixture, data, extra, model_file, labelled, request):
    edgecnn = request.getfixturevalue(fixture).with_name("edgecnn")
    command = [edgecnn, "evaluate", model_file, "--data", data]
    done = subprocess.run(command, cwd=labelled, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f'pip install "edgecnn[{extra}]"' in done.stderr.splitlines()[-1]
