import json
import re

import pytest

from edgecnn.cli import main
from edgecnn.training import RunFolder, TrainConfig


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "run"


def train(npz, run_dir, *options):
    narrow = ["--image-size", "10,10", "--width", "0.05", "--epochs", "1"]
    return main(["train", "simple_cnn", "--data", str(npz), "-o", str(run_dir), *narrow, *options])


def test_train_has_the_defaults_of_the_config(npz, run_dir, capfd):
    assert train(npz, run_dir) == 0
    assert RunFolder.open(run_dir).record.config == TrainConfig(
        "simple_cnn", str(npz), epochs=1, image_size=(10, 10), width=0.05
    )
    assert capfd.readouterr().out.startswith(f"{run_dir}: epoch 1 of 1: loss ")


def test_train_records_every_option(npz, run_dir, tmp_path):
    train(npz, run_dir)
    weights = str(run_dir / "model.keras")
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
        "--weights": weights,
    }
    second = tmp_path / "second"
    assert train(npz, second, "--balance", *(word for option in options.items() for word in option)) == 0
    recorded = json.loads((second / "config.json").read_text())["config"]
    assert recorded == {
        **{"model": "simple_cnn", "data": str(npz), "epochs": 1, "image_size": [10, 10], "width": 0.05},
        **{"augment": ["shift", "flip"], "schedule": "plateau", "optimizer": "sgd", "validation": 0.25},
        **{"early_stopping": 3, "learning_rate": 0.5, "batch_size": 9, "strategy": "mirrored", "num_classes": 3},
        **{"seed": 7, "weights": weights, "balance": True, "freeze": None, "unfreeze_from": None},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--augment", "shift,mirror"], "augment: expected names of shift, flip, .*, received 'mirror'"),
        (["--freeze", "backbone", "--weights", "w.keras"], "simple_cnn has no backbone: expected one of alexnet, "),
        (["--unfreeze-from", "3"], "unfreeze_from: expected weights to keep, received none"),
        (["--classes", "4"], "classes: expected 3, those of .*, received 4"),
        (["--schedule", "plateau"], "schedule plateau: expected a validation part"),
        (["--weights", "imagenet"], "simple_cnn has no ImageNet weights: expected one of "),
        (["--image-size", "9,9"], "simple_cnn: expected an image size of at least 10,10, received 9,9"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses_on_one_line_and_writes_nothing(npz, run_dir, capfd, options, message):
    assert train(npz, run_dir, *options) == 2
    captured = capfd.readouterr()
    assert re.search(message, captured.err.splitlines()[-1])
    assert captured.out == ""
    assert not run_dir.exists()
