import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from keras import layers
from own_models import LABELS, colour_model, colours, write_colours
from PIL import Image

from edgecnn.cli import main


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    colour_model().save("own.keras")
    write_colours(Path("colours.npz"))
    return tmp_path


@pytest.mark.usefixtures("place")
def test_adopt_goes_to_export_and_run_without_any_json(capfd):
    assert main(["adopt", "own.keras", "--data", "colours.npz"]) == 0
    said = capfd.readouterr().out
    assert said.startswith("runs/own-1: functional")
    for line in ("pixels      scaled by the model itself, Rescaling", "labels      red, green, blue, dark"):
        assert line in said
    assert "score       accuracy 1.0000 on 160 test images" in said
    assert main(["export", "runs/own-1", "-o", "own.onnx"]) == 0
    Image.fromarray(colours(1)[0][0]).save("red.png")
    capfd.readouterr()
    assert main(["run", "own.onnx", "red.png", "--format", "json", "--device", "cpu"]) == 0
    (answer,) = json.loads(capfd.readouterr().out)
    assert answer["predictions"][0]["name"] == "red"
    assert main(["evaluate", "runs/own-1", "--data", "colours.npz"]) == 0
    assert main(["feature-maps", "runs/own-1", "red.png", "--layer", "normalization", "-o", "maps.png"]) == 0
    assert main(["adopt", "own.keras", "--data", "colours.npz"]) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["own-1", "own-2"]


def test_adopt_says_all_of_it_as_json(place, capfd):
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3))
    keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.Flatten()(image))).save("two.keras")
    command = ["adopt", "two.keras", "--labels", "cat,dog", "--mean", "10,20,30", "--std", "50", "--color", "bgr"]
    assert main([*command, "--resize", "letterbox", "-o", "out", "--format", "json"]) == 0
    tree = json.loads(capfd.readouterr().out)
    assert tree["input"] == {
        "image_size": [12, 12],
        "color": "bgr",
        "pixels": "(pixel - 10, 20, 30) / 50, blue first",
        "scaling": {"mean": [10.0, 20.0, 30.0], "std": [50.0], "bgr": True},
        "scaled_inside": False,
    }
    assert (tree["labels"], tree["decoder"], tree["evaluation"]) == (["cat", "dog"], "probabilities", None)
    manifest = json.loads((place / "out" / "manifest.json").read_text())
    assert manifest["inputs"][0]["pad_value"] == 114
    assert manifest["model"] == {"name": "two", "width": 1.0}


@pytest.mark.usefixtures("place")
def test_adopt_writes_over_nothing(capfd):
    Path("full").mkdir()
    Path("full/file").touch()
    for folder, message in (("full", "missing or empty, received full"), ("own.keras", "own.keras")):
        assert main(["adopt", "own.keras", "--labels", ",".join(LABELS), "-o", folder]) == 2
        assert message in capfd.readouterr().err
    Path("pictures/a").mkdir(parents=True)
    Image.fromarray(colours(1)[0][0]).save("pictures/a/red.png")
    assert main(["adopt", "own.keras", "--data", "pictures", "-o", "pictures/run"]) == 2
    assert "which is or lies in pictures of --data" in capfd.readouterr().err


def test_adopt_leaves_no_folder_behind_what_it_refuses(place):
    assert main(["adopt", "own.keras"]) == 2
    assert main(["adopt", "own.keras", "--data", "colours.npz", "--labels", "a,b,c,d"]) == 2
    assert not Path("runs").exists()
    assert sorted(path.name for path in place.iterdir()) == ["colours.npz", "own.keras"]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "boxes"], "expected NAME=TENSOR"),
        (["--output", "a=b", "--output", "a=c"], "each NAME once"),
        (["--mean", "x"], "expected a number, or three"),
        (["--anchors", "1 2"], "expected 'W,H W,H …'"),
        (["--labels", "one"], "names with commas"),
        (["--vocabulary", "missing.txt"], "cannot be read"),
    ],
)
def test_adopt_refuses_options_that_it_cannot_read(capfd, options, message):
    assert main(["adopt", "own.keras", *options]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.usefixtures("place")
def test_train_does_not_go_on_in_a_folder_that_was_adopted(capfd):
    assert main(["adopt", "own.keras", "--labels", ",".join(LABELS), "-o", "run"]) == 0
    code = main(["train", "mnist_convnet", "--data", "digits", "-o", "run", "--resume"])
    assert code == 1
    assert "was adopted" in capfd.readouterr().err


@pytest.mark.usefixtures("place")
def test_what_needs_no_tensorflow_is_refused_without_it():
    """Loads neither TensorFlow nor Keras, whose import alone would take seconds."""
    code = (
        "import sys; from edgecnn.cli import main; code = main(['adopt', 'own.keras']); "
        "print([name for name in ('tensorflow', 'keras', 'onnx') if name in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout.strip()) == (2, "[]")
    assert "Type: edgecnn adopt own.keras --labels FILE|A,B,…" in done.stderr
