"""What is wrong with a command is said before TensorFlow is loaded: here its import ends the command."""

import json
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from edgecnn.models import CATALOG, build_manifest, get_spec
from edgecnn.training import run_folder
from edgecnn.training.config import TrainConfig
from edgecnn.training.history import EpochMetrics
from edgecnn.training.record import DataRecord, RunRecord

POISONED = """
import contextlib, io, json, sys
from importlib.machinery import ModuleSpec

class Poison:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name.partition(".")[0] in ("tensorflow", "keras", "tf2onnx") else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise SystemExit(f"{module.__name__} was loaded")

sys.meta_path.insert(0, Poison())
from edgecnn.cli import main
ends = {}
for name, arguments in json.load(sys.stdin).items():
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    ends[name] = [code, said.getvalue()]
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(ends, file)
"""
LOADS = "tensorflow was loaded"
RECORD = RunRecord(TrainConfig("mnist_convnet", "digits", epochs=1), DataRecord("gone.npz", "f" * 64, 9, 3), {})
TRAIN = ["train", "mnist_convnet", "--data", "digits", "-o", "new"]
EXPORT = ["export", "mnist_convnet", "--weights", "none", "-o", "new.onnx"]
MAPS = ["feature-maps", "finished", "image.png", "-o", "maps.png"]
WRONG = {  # the command, its exit code, and what it says
    "train, an unknown model": (["train", "nix", *TRAIN[2:]], 2, "unknown model 'nix'"),
    "train, unknown data": ([*TRAIN, "--data", "nix"], 2, "unknown data 'nix'"),
    "train, data without pictures": ([*TRAIN, "--data", "empty"], 2, "holds no data that is known"),
    "train, forced data that are missing": ([*TRAIN, "--data", "npz:nix.npz"], 1, "expected an .npz file"),
    "train, an option out of range": ([*TRAIN, "--epochs", "0"], 2, "epochs: expected at least 1"),
    "train, options that contradict": ([*TRAIN, "--resume", "--overwrite"], 2, "received both"),
    "train, another task's option": ([*TRAIN, "--class-weight", "0.5"], 2, "class_weight: it cannot take effect"),
    "train, augmentation": ([*TRAIN, "--augment", "nix"], 2, "augment: expected names"),
    "train, no weights to keep": ([*TRAIN, "--freeze", "backbone"], 2, "expected weights to keep"),
    "train, a model without backbone": (
        [*TRAIN, "--freeze", "backbone", "--weights", "w.weights.h5"],
        2,
        "mnist_convnet has no backbone",
    ),
    "train, no such layer": (
        ["train", "vgg16", *TRAIN[2:], "--weights", "w.weights.h5", "--unfreeze-from", "99"],
        2,
        "expected to unfreeze from a layer from 0 to 18, received 99",
    ),
    "train, no such ImageNet weights": ([*TRAIN, "--weights", "imagenet"], 2, "has no ImageNet weights"),
    "train, weights of no kind": ([*TRAIN, "--weights", "image.png"], 2, "expected weights from imagenet"),
    "train, missing weights": ([*TRAIN, "--weights", "nix.weights.h5"], 1, "expected a weights file"),
    "train, damaged weights": ([*TRAIN, "--weights", "damaged.weights.h5"], 1, "expected weights that"),
    "train, damaged .keras weights": ([*TRAIN, "--weights", "damaged.keras"], 1, "expected a whole .keras archive"),
    "train, a small image": ([*TRAIN, "--image-size", "2,2"], 2, "expected an image size of at least"),
    "train, one class": ([*TRAIN, "--classes", "1"], 2, "expected at least 2 classes"),
    "train, a fixed width": (["train", "lenet5", *TRAIN[2:], "--width", "2"], 2, "one published size"),
    "train, a folder that is not empty": ([*TRAIN[:-1], "classes"], 2, "expected an empty folder"),
    "train, into its data": ([*TRAIN, "--data", "classes", "-o", "classes/run"], 2, "apart from what is read"),
    "train, into a run folder": ([*TRAIN[:-1], "finished/new"], 2, "outside run folders"),
    "train, a file for a folder": ([*TRAIN[:-1], "image.png"], 2, "expected a folder for the run"),
    "train, nothing to resume": ([*TRAIN, "--resume"], 2, "no such folder"),
    "train, no run to resume": ([*TRAIN[:-1], "classes", "--resume"], 1, "expected a run to resume"),
    "export, a missing file": (["export", "nix.keras", "-o", "new.onnx"], 1, "expected a .keras file"),
    "export, a missing path": (["export", "runs/nix", "-o", "new.onnx"], 2, "received nothing there"),
    "export, an unknown name": (["export", "nix", "-o", "new.onnx"], 2, "unknown model 'nix'"),
    "export, no weights": (["export", "mnist_convnet", "-o", "new.onnx"], 2, "--weights none"),
    "export, a folder without a run": (["export", "classes", "-o", "new.onnx"], 1, "not a whole run folder"),
    "export, an unfinished run": (["export", "begun", "-o", "new.onnx"], 1, "training was interrupted"),
    "export, a damaged run": (["export", "broken", "-o", "new.onnx"], 1, "expected a whole .keras archive"),
    "export, no manifest": (["export", "alone/model.keras", "-o", "new.onnx"], 2, "needs its manifest"),
    "export, a damaged manifest": (
        ["export", "alone/model.keras", "--manifest", "labels.txt", "-o", "new.onnx"],
        6,
        "labels.txt",
    ),
    "export, a damaged archive": (["export", "damaged.keras", "-o", "new.onnx"], 1, "expected a whole .keras archive"),
    "export, code in an archive": (["export", "code.keras", "-o", "new.onnx"], 1, "which can run code"),
    "export, an idle option": (["export", "finished", "-o", "new.onnx", "--width", "2"], 2, "cannot take effect"),
    "export, options that contradict": ([*EXPORT, "--max-drop", "0.1"], 2, "cannot take effect with --quantize none"),
    "export, golden samples": ([*EXPORT, "--golden-samples", "5"], 2, "expected 0 to 4"),
    "export, opset": ([*EXPORT, "--opset", "999"], 2, "less than or equal to 18"),
    "export, batch": ([*EXPORT, "--batch", "0"], 2, "expected a number from 1 or 'dynamic'"),
    "export, a small image": ([*EXPORT, "--image-size", "2,2"], 2, "expected an image size of at least"),
    "export, a missing list of labels": ([*EXPORT, "--labels", "nix.txt"], 2, "nix.txt cannot be read"),
    "export, an empty list of labels": ([*EXPORT, "--labels", "none.txt"], 2, "expected one label a line"),
    "export, labels twice": ([*EXPORT, "--labels", "twice.txt"], 6, "labels"),
    "export, labels of ImageNet": (
        ["export", "vgg16", "--weights", "imagenet", "--labels", "labels.txt", "-o", "new.onnx"],
        2,
        "expected none with --weights imagenet",
    ),
    "export, weights of no kind": ([*EXPORT, "--weights", "image.png"], 2, "expected weights from imagenet"),
    "export, missing weights": ([*EXPORT, "--weights", "nix.weights.h5"], 1, "expected a weights file"),
    "export, unknown data": ([*EXPORT, "--data", "nix"], 2, "unknown data 'nix'"),
    "export, int8 without data": ([*EXPORT, "--quantize", "int8"], 2, "it needs images"),
    "export, int8 of a run whose data are gone": (
        ["export", "finished", "-o", "new.onnx", "--quantize", "int8"],
        2,
        "the run's own data cannot be read",
    ),
    "export, into a run folder": ([*EXPORT[:-1], "finished/new.onnx"], 2, "outside run folders"),
    "export, over what is read": ([*EXPORT, "--labels", "labels.txt", "-o", "labels.txt"], 2, "never overwritten"),
    "evaluate, a missing file": (["evaluate", "nix.onnx", "--data", "digits"], 6, "nix.onnx"),
    "evaluate, no model": (["evaluate", "image.png", "--data", "digits"], 6, "image.png"),
    "evaluate, unknown data": (["evaluate", "finished", "--data", "nix"], 2, "unknown data 'nix'"),
    "evaluate, an unfinished run": (["evaluate", "begun", "--data", "digits"], 1, "training was interrupted"),
    "evaluate, a damaged run": (["evaluate", "broken", "--data", "digits"], 1, "expected a whole .keras archive"),
    "evaluate, other classes": (["evaluate", "finished", "--data", "digits"], 2, "labels do not fit the model"),
    "evaluate, no such part": (
        ["evaluate", "finished", "--data", "digits", "--split", "val"],
        2,
        "--split val: expected train or test or all",
    ),
    "evaluate, damaged data": (["evaluate", "finished", "--data", "damaged.npz"], 1, "damaged.npz"),
    "evaluate, a device": (["evaluate", "finished", "--data", "digits", "--device", "cpu"], 2, "a Keras model runs on"),
    "evaluate, a picture in a run": (
        ["evaluate", "finished", "--data", "digits", "--save", "finished/a"],
        2,
        "outside run folders",
    ),
    "feature-maps, nothing there": (["feature-maps", "nix", *MAPS[2:]], 1, "expected a .keras file, received nothing"),
    "feature-maps, an unfinished run": (["feature-maps", "begun", *MAPS[2:]], 1, "training was interrupted"),
    "feature-maps, no picture": (["feature-maps", "finished", "labels.txt", *MAPS[3:]], 1, "labels.txt"),
    "feature-maps, a missing picture": (["feature-maps", "finished", "nix.png", *MAPS[3:]], 1, "nix.png"),
    "feature-maps, another suffix": ([*MAPS[:-1], "maps.jpg"], 2, "ends in .png"),
    "feature-maps, into a run folder": ([*MAPS[:-1], "finished/maps.png"], 2, "outside run folders"),
    "demo, a stranger's folder": (["demo", "-o", "taken"], 2, "whose contents the demo did not make"),
    "demo, a stranger's folder for another task": (
        ["demo", "--task", "detection", "-o", "shaped"],
        2,
        "whose contents the demo did not make",
    ),
    "demo, a task without one": (["demo", "--task", "localization"], 2, "'classification', 'detection'"),
    "demo, a run folder": (["demo", "-o", "finished"], 2, "outside run folders"),
    "bench, a missing file": (["bench", "nix.onnx"], 6, "nix.onnx"),
    "bench, a missing report": (["bench", "nix.onnx", "--compare", "nix.json"], 1, "nix.json"),
    "bench, options that contradict": (["bench", "nix.onnx", "--runs", "1", "--duration", "1"], 2, "it contradicts"),
    "models, an unknown name": (["models", "nix"], 2, "unknown model 'nix'"),
    "models, a small image": (["models", "alexnet", "--image-size", "2,2"], 2, "expected an image size of at least"),
    "models, a fixed width": (["models", "lenet5", "--width", "2"], 2, "one published size"),
}
RIGHT = {
    **{f"models, {name}": (["models", name], 0, "") for name in CATALOG},
    "models, as json": (["models", "vgg16", "--format", "json"], 0, ""),
    "models, the published size": (["models", "alexnet", "--image-size", "227,227", "--classes", "1000"], 0, ""),
}
LATE = {  # what is right loads it: the poison works
    "train": (TRAIN, LOADS, ""),
    "export": (EXPORT, LOADS, ""),
    "evaluate": (["evaluate", "finished", "--data", "set.npz"], LOADS, ""),
    "feature-maps": (MAPS, LOADS, ""),
    "demo": (["demo"], LOADS, ""),
    "demo, of another task": (["demo", "--task", "detection"], LOADS, ""),
    "models": (["models", "mnist_convnet", "--classes", "3"], LOADS, ""),
}
CASES = {**WRONG, **RIGHT, **LATE}


def write_archive(path, config):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", b"")


def write_run(folder, *, finished=True):
    (folder / "unfinished").mkdir(parents=True)
    run_folder.begin(folder, RECORD, build_manifest(get_spec("mnist_convnet"), ("a", "b", "c")))
    if finished:
        history = (EpochMetrics(1, 1.0, {"accuracy": 0.5}),)
        run_folder.save_checkpoint(folder, history, lambda path: write_archive(path, {}))
        run_folder.finish(folder, RECORD)


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """How each command of the tables ended, in one process in which TensorFlow cannot be loaded."""
    place = tmp_path_factory.mktemp("early")
    for folder in ("empty", "alone", "taken", "shaped", "classes/a", "classes/b"):
        (place / folder).mkdir(parents=True)
    write_run(place / "finished")
    write_run(place / "broken")
    (place / "broken/model.keras").write_bytes(b"PK")
    write_run(place / "begun", finished=False)
    write_archive(place / "alone/model.keras", {})
    write_archive(place / "code.keras", {"class_name": "Lambda", "config": {"name": "trick"}})
    for name in ("damaged.keras", "damaged.weights.h5", "damaged.npz", "taken/digits.onnx", "shaped/shapes.onnx"):
        (place / name).write_bytes(b"damaged")
    (place / "labels.txt").write_text("a\nb\n")
    (place / "twice.txt").write_text("a\na\n")
    (place / "none.txt").write_text("\n")
    with h5py.File(place / "w.weights.h5", "w") as file:
        file.create_group("layers")
    pixels, class_ids = np.zeros((6, 4, 4), np.uint8), np.arange(6) % 3
    pixels += class_ids[:, None, None].astype(np.uint8) + np.arange(6, dtype=np.uint8)[:, None, None]
    np.savez(place / "set.npz", x_train=pixels, y_train=class_ids, labels=np.array(["a", "b", "c"]))
    for name in ("image.png", "classes/a/1.png", "classes/b/1.png"):
        Image.fromarray(pixels[0]).save(place / name)
    commands = json.dumps({name: arguments for name, (arguments, _, _) in CASES.items()})
    done = subprocess.run(
        [sys.executable, "-c", POISONED, "ends.json"],
        input=commands,
        text=True,
        check=False,
        cwd=place,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((place / "ends.json").read_text())


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line_before_tensorflow_is_loaded(ends, name):
    code, said = ends[name]
    assert (code, WRONG[name][2] in said) == (WRONG[name][1], True), said
    assert len([line for line in said.splitlines() if line != "edgecnn: loading 1 file"]) == 1


@pytest.mark.parametrize("name", RIGHT)
def test_models_at_the_published_size_needs_no_tensorflow(ends, name):
    assert ends[name] == [0, ""]


@pytest.mark.parametrize("name", LATE)
def test_what_is_right_goes_on_to_tensorflow(ends, name):
    assert ends[name][0] == LOADS
