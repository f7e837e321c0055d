import json
import re
import sys
import urllib.error

import pytest
from keras.src.utils import file_utils

from edgecnn.cli import main
from edgecnn.models import build_model
from edgecnn.training import RunFolder, TrainConfig


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "run"


def train(npz, run_dir, *options, model="simple_cnn"):
    narrow = ["--image-size", "10,10", "--width", "0.05", "--epochs", "1"]
    return main(["train", model, "--data", str(npz), "-o", str(run_dir), *narrow, *options])


def test_train_has_the_defaults_of_the_config(npz, run_dir, capfd):
    assert train(npz, run_dir) == 0
    assert RunFolder.open(run_dir).record.config == TrainConfig(
        "simple_cnn", str(npz), epochs=1, image_size=(10, 10), width=0.05, validation=0.1
    )
    assert capfd.readouterr().out.startswith(f"{run_dir}: epoch 1 of 1: loss ")


def test_train_records_every_option(npz, run_dir, tmp_path):
    weights = str(tmp_path / "weights.keras")
    build_model("simple_cnn", image_size=(10, 10), num_classes=3, width=0.05).save(weights)
    options = {
        "--augment": "shift,flip",
        "--schedule": "plateau",
        "--optimizer": "sgd",
        "--validation": "0.25",
        "--early-stopping": "3",
        "--learning-rate": "0.5",
        "--batch-size": "9",
        "--strategy": "mirrored",
        "--classes": "3",
        "--seed": "7",
        "--warm-up": "5",
        "--ema": "0.75",
        "--weights": weights,
    }
    assert train(npz, run_dir, "--balance", *(word for option in options.items() for word in option)) == 0
    recorded = json.loads((run_dir / "config.json").read_text())["config"]
    assert recorded == {
        **{"model": "simple_cnn", "data": str(npz), "epochs": 1, "image_size": [10, 10], "width": 0.05},
        **{"augment": ["shift", "flip"], "schedule": "plateau", "optimizer": "sgd", "validation": 0.25},
        **{"early_stopping": 3, "learning_rate": 0.5, "batch_size": 9, "strategy": "mirrored", "num_classes": 3},
        **{"warm_up": 5, "ema": 0.75, "multi_scale": None, "window": None},
        **{"seed": 7, "class_weight": None, "weights": weights, "balance": True, "freeze": None, "unfreeze_from": None},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--augment", "shift,mirror"], "augment: expected names of shift, flip, .*, received 'mirror'"),
        (["--freeze", "backbone", "--weights", "w.keras"], "simple_cnn has no backbone: expected one of alexnet, "),
        (["--unfreeze-from", "3"], "unfreeze_from: expected weights to keep, received none"),
        (["--classes", "4"], "classes: expected 3, those of .*, received 4"),
        (["--schedule", "plateau", "--validation", "0"], "schedule plateau: expected a validation part"),
        (["--weights", "imagenet"], "simple_cnn has no ImageNet weights: expected one of "),
        (["--image-size", "9,9"], "simple_cnn: expected an image size of at least 10,10, received 9,9"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses_on_one_line_and_writes_nothing(npz, run_dir, capfd, options, message):
    assert train(npz, run_dir, *options) == 2
    assert_refused(capfd.readouterr(), message, run_dir)


def assert_refused(captured, message, run_dir):
    """The reason is the last line, stdout is empty, and the folder was not made."""
    assert re.search(message, captured.err.splitlines()[-1]), captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet5", {}, r"layer 'conv1': expected shapes \(3, 3, 1, 2\), .*, received no such layer"),
        ("mnist_convnet", {"width": 0.05}, r"layer 'dense': expected shapes \(27, 51\), .*, received shapes \(3, 3\)"),
        ("simple_cnn", {"width": 0.1}, r"layer 'conv1': expected shapes \(3, 3, 1, 2\), .*, received .*\(3, 3, 1, 3\)"),
        ("simple_cnn", {"num_classes": 4, "width": 0.05}, r"layer 'logits': expected .*\(3,\), received .*\(4,\)"),
    ],
    ids=["lenet5", "mnist_convnet", "another width", "another head"],
)
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_train_refuses_weights_of_another_architecture(npz, tmp_path, capfd, name, options, message, suffix):
    size = {} if name == "lenet5" else {"image_size": (18, 18)}
    model = build_model(name, **size, **{"num_classes": 3} | options)
    path = tmp_path / f"other{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    run_dir = tmp_path / "runs" / "of" / "today"
    assert train(npz, run_dir, "--image-size", "18,18", "--weights", str(path)) == 1
    assert_refused(capfd.readouterr(), f"{path}: not the weights of this simple_cnn: {message}", run_dir)
    assert not (tmp_path / "runs").exists()


def test_train_refuses_weights_that_are_not_there(npz, run_dir, tmp_path, capfd):
    assert train(npz, run_dir, "--weights", str(tmp_path / "absent.keras")) == 1
    assert_refused(capfd.readouterr(), r"absent\.keras: expected a \.keras file, received nothing", run_dir)
    assert train(npz, run_dir, "--weights", "imagenett") == 2
    assert_refused(capfd.readouterr(), "imagenett: expected weights from imagenet, none, or a ", run_dir)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("alexnet", ["--image-size", "66,67"], "alexnet: expected an image size of at least 67,67, received 66,67"),
        ("xception", ["--width", "1", "--image-size", "32,32"], "at least 71,71, received 32,32"),
        ("lenet5", ["--image-size", "28,28", "--width", "0.5"], r"a width multiplier of 1\.0, received 0\.5"),
        ("lenet5", ["--unfreeze-from", "3", "--weights", "w.keras"], "lenet5 has no backbone: expected one of alexnet"),
        ("yolov3_tiny", ["--image-size", "96,100"], "image size of multiples of 32, .* received 96,100"),
        (
            "yolov3_tiny",
            ["--image-size", "96,128", "--multi-scale", "65,95"],
            "a multiple of 32 between .* received 65,95",
        ),
    ],
)
def test_train_refuses_what_the_model_cannot_be(npz, run_dir, capfd, monkeypatch, model, options, message):
    """Before the first picture is read."""
    monkeypatch.setattr(sys.modules["edgecnn.training.train"], "load_dataset", None)
    assert train(npz, run_dir, *options, model=model) == 2
    assert_refused(capfd.readouterr(), message, run_dir)


def test_train_refuses_an_index_that_no_layer_of_the_backbone_has(npz, run_dir, capfd):
    options = ["--image-size", "67,67", "--weights", "w.keras", "--unfreeze-from", "11"]
    assert train(npz, run_dir, *options, model="alexnet") == 2
    assert_refused(capfd.readouterr(), "expected to unfreeze from a layer from 0 to 10, received 11", run_dir)


def test_train_says_which_extra_brings_tensorflow_datasets(run_dir, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert train("tfds:mnist", run_dir) == 1
    message = r'tensorflow-datasets is not installed: .* pip install "edgecnn\[tfds\]"'
    assert_refused(capfd.readouterr(), message, run_dir)


@pytest.mark.slow
def test_train_says_what_to_do_without_a_network(npz, run_dir, tmp_path, capfd, monkeypatch):
    def urlretrieve(*_):
        raise urllib.error.URLError(OSError(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr(file_utils, "urlretrieve", urlretrieve)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path / "home"))
    options = ["--image-size", "32,32", "--width", "1", "--weights", "imagenet"]
    assert train(npz, run_dir, *options, model="resnet50") == 1
    message = "the ImageNet weights of resnet50: expected a network or Keras' cached file, received .*name resolution"
    assert_refused(capfd.readouterr(), message, run_dir)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_train_and_evaluate_say_which_part_they_take_and_what_they_leave_out(
    tmp_path, write_classes, run_dir, capfd, caplog
):
    data = write_classes(tmp_path / "set", cat=8, dog=8)
    (data / "cat" / "3.png").write_bytes(b"half")
    assert train(data, run_dir) == 1
    assert_refused(
        capfd.readouterr(), r"cat/3\.png: .*\(1 bad picture of 12; go on without it with --skip-bad\)", run_dir
    )
    assert train(data, run_dir, "--skip-bad") == 0
    assert (run_dir / "skipped.csv").exists()
    capfd.readouterr()
    assert main(["evaluate", str(run_dir), "--data", str(data), "--skip-bad", "--format", "json"]) == 0
    captured = capfd.readouterr()
    tree = json.loads(captured.out)
    assert (tree["split"], tree["images"], tree["skipped"], tree["learned"]) == ("all", 15, 1, 12)
    assert tree["warnings"] == [
        "12 of these images are those that the model was trained on: score others with --split test"
    ]
    assert f"edgecnn: {tree['warnings'][0]}" in captured.err
    assert "scoring all of set: 16 images" in caplog.messages  # at the level that main sets
    assert main(["evaluate", str(run_dir), "--data", str(data), "--split", "val"]) == 2
    assert "--split val: expected train or test or all, what set has" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_commands_refuse_data_of_other_classes(npz, write_npz, arrays, run_dir, tmp_path, capfd, command):
    assert train(npz, run_dir) == 0
    other = write_npz("other.npz", **arrays, labels=["cat", "dog", "emu"])
    capfd.readouterr()
    output = tmp_path / "model.onnx"
    options = ["-o", str(output)] if command == "export" else []
    assert main([command, str(run_dir), "--data", str(other), *options]) == 2
    message = r"expected \['cat', 'dog', 'owl'\], received \['cat', 'dog', 'emu'\]"
    assert_refused(capfd.readouterr(), message, output)
