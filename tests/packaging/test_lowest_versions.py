"""An environment of exactly the lowest versions that the distributions allow, and what a device does in it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
RUNTIME = tomllib.loads((ROOT / "runtime/pyproject.toml").read_text())["project"]
TOOLCHAIN = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHON = RUNTIME["requires-python"].removeprefix(">=")
STATED = {
    item.name: item
    for item in map(
        Requirement,
        [*RUNTIME["dependencies"], *RUNTIME["optional-dependencies"]["cpu"], *TOOLCHAIN["dependencies"]],
    )
    if not item.name.startswith("edgecnn")
}
ANSWERS = """
import json, sys
from edgecnn_runtime import Predictor
predictor = Predictor.load(sys.argv[1], device="cpu", threads=1)
print(json.dumps([[score.label, score.score] for score in predictor.predict(sys.argv[2]).top(10)]))
"""
COMMANDS = """
import json, sys
from edgecnn.cli import main
for command in json.loads(sys.argv[1]):
    if code := main(command):
        sys.exit(code)
"""

pytestmark = pytest.mark.slow


def uv(*arguments, cwd):
    subprocess.run(["uv", "--quiet", *map(str, arguments)], cwd=cwd, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def lowest(tmp_path_factory):
    """The folder of the programs of that environment; apart from the checkout, whose constraints would be taken."""
    folder = tmp_path_factory.mktemp("lowest")
    for package in ("edgecnn", "edgecnn-runtime"):
        uv("build", "--wheel", "--package", package, "--out-dir", folder, cwd=ROOT)
    uv("venv", "--python", PYTHON, folder / "environment", cwd=folder)
    python = folder / "environment/bin/python"
    install = ["pip", "install", "--python", python, "--resolution", "lowest-direct", *folder.glob("*.whl")]
    uv(*install, *map(str, STATED.values()), cwd=folder)
    return python.parent


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A trained classifier of digits as a float32 and as an int8 file, and a picture of one."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("exported")
    train = ["train", "mnist_convnet", "--data", "digits", "--epochs", "2", "-o", folder / "run"]
    export = ["export", folder / "run", "-o"]
    int8 = ["--quantize", "int8", "--min-speedup", "0", "--max-drop", "0.5"]
    commands = [train, [*export, folder / "float.onnx"], [*export, folder / "int8.onnx", *int8]]
    output(sys.executable, "-c", COMMANDS, json.dumps(commands, default=str))
    Image.fromarray((load_digits().images[0] * 15.9).astype("uint8")).resize((64, 48)).save(folder / "digit.png")
    return folder


def output(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def test_the_environment_holds_the_stated_lowest_versions(lowest):
    script = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    held = dict(zip(STATED, output(lowest / "python", "-c", script, *STATED).split(), strict=True))
    stated = {name: next(iter(item.specifier)).version for name, item in STATED.items()}
    assert {name: Version(version) for name, version in stated.items()} == {n: Version(v) for n, v in held.items()}
    assert output(lowest / "python", "--version").split()[1].startswith(f"{PYTHON}.")


@pytest.mark.parametrize("name", ["float.onnx", "int8.onnx"])
def test_a_file_runs_proves_and_measures_with_the_lowest_versions(lowest, exported, name):
    edgecnn, file = lowest / "edgecnn", exported / name
    verified = json.loads(output(edgecnn, "verify", file, "--device", "cpu", "--format", "json"))
    assert verified["passed"]
    needs = json.loads(output(edgecnn, "inspect", file, "--format", "json"))["evidence"]["requirements"]
    assert needs["onnxruntime"] == next(iter(STATED["onnxruntime"].specifier)).version
    assert "milliseconds" in output(edgecnn, "bench", file, "--device", "cpu", "--runs", 2, "--starts", 1)


@pytest.mark.parametrize("name", ["float.onnx", "int8.onnx"])
def test_the_lowest_versions_answer_as_the_tested_ones(lowest, exported, name):
    arguments = ["-c", ANSWERS, exported / name, exported / "digit.png"]
    here, there = (json.loads(output(python, *arguments)) for python in (sys.executable, lowest / "python"))
    assert [label for label, _ in here] == [label for label, _ in there]
    assert [score for _, score in there] == pytest.approx([score for _, score in here], abs=0.01)
    run = json.loads(output(lowest / "edgecnn", "run", exported / name, exported / "digit.png", "--format", "json"))
    assert run[0]["predictions"][0]["name"] == here[0][0]
