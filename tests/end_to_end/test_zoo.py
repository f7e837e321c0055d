"""Networks of keras.applications as their users save them go through adopt, export, run and verify.

What the table of docs/own-model.md shows is measured by benchmarks/zoo.py, which trains them for longer.
"""

import importlib.util
import json
import sys
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
import pytest
from in_one_process import run_commands, said
from PIL import Image

_PATH = Path(__file__).parents[2] / "benchmarks" / "zoo.py"
_SPEC = importlib.util.spec_from_file_location("zoo", _PATH)
zoo = importlib.util.module_from_spec(_SPEC)
sys.modules["zoo"] = zoo  # its dataclass looks for its own module
_SPEC.loader.exec_module(zoo)

PICTURES = 300
STEPS = defaultdict(lambda: 30, ConvNeXtTiny=10)  # of three seconds each there, and without a batch norm to settle
MAX_DROP = 0.05  # of networks that have learned for seconds
LEAST_AGREEMENT = 0.9  # on the pictures of which the model itself is sure


def write_some(folder: Path) -> None:
    zoo.write_pictures(folder, PICTURES)


@pytest.fixture(scope="module")
def pictures(made_once) -> Path:
    return made_once("digits", write_some)


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_network_of_keras_applications_goes_the_whole_way(pictures, tmp_path, name):
    network = zoo.ZOO[name]
    saved, run_dir = tmp_path / "own.keras", tmp_path / "run"
    zoo.save_network(network, saved, steps=STEPS[name])
    float32, int8 = tmp_path / "own.onnx", tmp_path / "own.int8.onnx"
    shown = sorted((pictures / "test").glob("*/*.png"))[::2]
    fewer_bits = ("--quantize", "int8", "--max-drop", MAX_DROP, "--min-speedup", "0")
    commands = {
        "adopt": ("adopt", saved, "--data", pictures, "-o", run_dir, *network.options, "--format", "json"),
        "float32": ("export", run_dir, "-o", float32),
        "int8": ("export", run_dir, "-o", int8, *fewer_bits),
    }
    for kind, file in (("float32", float32), ("int8", int8)):
        commands[f"run {kind}"] = ("run", file, *shown, "--top-k", "10", "--format", "json", "--device", "cpu")
        commands[f"verify {kind}"] = ("verify", file, "--device", "cpu")
    run_commands(tmp_path, commands)
    results = said(tmp_path)
    assert {name: one["code"] for name, one in results.items()} == dict.fromkeys(commands, 0), [
        one["stderr"] for one in results.values() if one["code"]
    ]

    own = own_scores(network, saved, shown)
    answers = {kind: scores(json.loads(results[f"run {kind}"]["stdout"])) for kind in ("float32", "int8")}
    np.testing.assert_allclose(answers["float32"], own, atol=1e-4)
    ordered = np.sort(own, axis=1)
    sure = ordered[:, -1] > 2 * ordered[:, -2]
    assert sure.any(), "nothing would be compared"
    agreeing = answers["int8"].argmax(axis=1) == own.argmax(axis=1)
    assert agreeing[sure].sum() >= LEAST_AGREEMENT * sure.sum()
    adoption = json.loads(results["adopt"]["stdout"])
    assert adoption["input"]["scaled_inside"] == network.inside
    assert adoption["parity"]["decoded"]["top1_agreement"] == 1


def own_scores(network, saved: Path, shown: list[Path]) -> np.ndarray:
    """Returns what the network itself says of pictures, as its documentation has it asked."""
    pixels = np.stack([np.asarray(Image.open(path), np.float32) for path in shown])
    if not network.inside:
        pixels = getattr(keras.applications, network.module).preprocess_input(pixels)
    return keras.models.load_model(saved, compile=False).predict(pixels, verbose=0)


def scores(answers: list) -> np.ndarray:
    """Returns the scores of all classes in their order, (N, 10)."""
    return np.array([
        [one["confidence"] for one in sorted(answer["predictions"], key=lambda one: one["class"])] for answer in answers
    ])  # fmt: skip
