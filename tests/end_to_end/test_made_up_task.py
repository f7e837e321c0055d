"""A task is its own files and a few rows: one that edgecnn does not have goes from training to a device."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PACKAGES = ("edgecnn", "runtime/edgecnn_runtime", "exporters/edgecnn_exporters")
OWN = {
    "reading.py": "runtime/edgecnn_runtime/tasks/reading.py",
    "toolchain.py": "edgecnn/tasks/reading.py",
}
_CATALOG_ROW = """    ModelSpec(
        name="reading_cnn",
        task="reading",
        builder="edgecnn.tasks.reading:build",
        image_size=(16, 16),
        color="gray",
        num_classes=1,
        parameters=1649,
        trainable_parameters=1649,
        smallest_size=3,
        summary="",
        reference="",
    ),
)

CATALOG"""
_TASK_ROW = """    "reading": TaskRow(
        own_results="edgecnn.tasks.reading:own_results",
        narrow="edgecnn.tasks.reading:narrow",
        metric="edgecnn.tasks.reading:Closeness",
        outputs="edgecnn.tasks.reading:outputs",
        arrays="edgecnn.tasks.reading:arrays",
        trainee="edgecnn.tasks.reading:trainee",
        better="lower",
    ),
}


def load"""
_DECODER = """@dataclass(frozen=True, slots=True)
class ReadingDecoder(Kind):
    task: ClassVar[TaskName] = "reading"
    reads: ClassVar[Reads] = "numbers"
    takes: ClassVar[Takes] = "nothing"
    least_units: ClassVar[int] = 1
    output: str = "value"
    kind: Literal["reading"] = "reading"


Decoder = ReadingDecoder | """
_RECORD = """@dataclass(frozen=True, slots=True)
class ReadingParity(DecodedRecord):
    images: int
    agreement: float
    max_reading_difference: float
    kind: Literal["reading"] = "reading"

    def summary(self) -> str:
        return f"readings agree on {self.agreement:.4f} of {self.images}"


DecodedParity = ReadingParity | """
ROWS = (  # file, what stands there once, what stands there then
    ("runtime/edgecnn_runtime/decoder_kind.py", "TaskName = Literal[", 'TaskName = Literal["reading", '),
    ("runtime/edgecnn_runtime/decoders.py", "Decoder = ", _DECODER),
    ("runtime/edgecnn_runtime/evidence.py", "DecodedParity = ", _RECORD),
    (
        "runtime/edgecnn_runtime/tasks/table.py",
        "_TASKS: Mapping[TaskName, str] = {",
        '_TASKS: Mapping[TaskName, str] = {\n    "reading": "edgecnn_runtime.tasks.reading:READING",',
    ),
    ("exporters/edgecnn_exporters/proof/gates.py", '"pixels": 1e-3}', '"pixels": 1e-3, "readings": 1e-3}'),
    ("edgecnn/tasks/table.py", "}\n\n\ndef load", _TASK_ROW),
    ("edgecnn/models/catalog.py", ")\n\nCATALOG", _CATALOG_ROW),
)
HEIGHTS = 13  # of a bar, 0 to 12 of 16 rows


def draw(height, random):
    """Returns a dark noisy picture with a bright bar of that height on its floor: the reading is height / 12."""
    pixels = random.integers(0, 60, (16, 16), dtype=np.uint8)
    pixels[16 - height :, 4:12] = 220
    return pixels


@pytest.fixture(scope="module")
def edgecnn(tmp_path_factory):
    """The command line of a copy of this checkout with the task in it."""
    copy = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, place in OWN.items():
        assert not (copy / place).exists()
        shutil.copy(ROOT / "tests" / "makers" / "reading_task" / name, copy / place)
    for name, before, after in ROWS:
        text = (copy / name).read_text(encoding="utf-8")
        assert text.count(f"\n{before}" if before[0].isalpha() else before) == 1, (name, before)
        (copy / name).write_text(text.replace(before, after, 1), encoding="utf-8")
    path = os.pathsep.join(str((copy / package).parent) for package in PACKAGES)

    def run(*words, code=0):
        command = [sys.executable, "-m", "edgecnn", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=copy)
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_a_made_up_task_goes_from_training_to_a_device(edgecnn, tmp_path):
    random = np.random.default_rng(0)
    pixels = {part: [] for part in ("train", "test")}
    for part, times in (("train", 16), ("test", 4)):
        pixels[part] = np.array([draw(height, random) for height in list(range(HEIGHTS)) * times])
    heights = {part: np.tile(np.arange(HEIGHTS), len(found) // HEIGHTS) for part, found in pixels.items()}
    data, run, file, small = (tmp_path / name for name in ("set.npz", "run", "reading.onnx", "small.onnx"))
    np.savez(
        *(data,),
        **{
            "x_train": pixels["train"],
            "y_train": heights["train"],
            "x_test": pixels["test"],
            "y_test": heights["test"],
        },
    )
    assert "reading_cnn" in edgecnn("models")
    options = ["--epochs", 24, "--batch-size", 16, "--learning-rate", 0.003, "--schedule", "cosine", "--seed", 1]
    told = edgecnn("train", "reading_cnn", "--data", data, "-o", run, "--validation", 0.2, *options)
    assert "error 0.0" in told
    history = list(csv.DictReader((run / "history.csv").read_text(encoding="utf-8").splitlines()))
    assert list(history[0]) == ["epoch", "loss", "error", "val_loss", "val_error"]
    errors = [float(row["val_error"]) for row in history]
    assert f"; the best is epoch {errors.index(min(errors)) + 1}\n" in told

    edgecnn("export", run, "-o", file)
    edgecnn("export", run, "-o", small, "--quantize", "int8", "--min-speedup", 0)
    evidence = json.loads(edgecnn("inspect", file, "--format", "json"))["evidence"]
    assert evidence["parity"]["decoded"]["kind"] == "reading"
    assert evidence["parity"]["decoded"]["agreement"] == 1.0
    assert evidence["parity"]["decoded"]["max_reading_difference"] < 1e-4
    assert "parity.readings" in [gate["name"] for gate in evidence["gates"]]

    scored = {
        source: json.loads(edgecnn("evaluate", source, "--data", data, "--format", "json"))["closeness"]
        for source in (run, file, small)
    }
    assert scored[run] > 0.95  # .73 where the mean is answered always
    assert scored[file] == pytest.approx(scored[run], abs=1e-5)
    assert scored[small] == pytest.approx(scored[run], abs=0.01)

    pictures = [tmp_path / f"{height}.png" for height in (0, 5, 12)]
    for picture in pictures:
        Image.fromarray(draw(int(picture.stem), random)).save(picture)
    answers = json.loads(edgecnn("run", file, *pictures, "--save", tmp_path / "shown", "--format", "json"))
    for picture, answer in zip(pictures, answers, strict=True):
        assert answer["task"] == "reading"
        assert answer["predictions"][0]["value"] == pytest.approx(int(picture.stem) / 12, abs=0.1)
        Image.open(tmp_path / "shown" / picture.name).load()
    rows = list(csv.DictReader(edgecnn("run", file, *pictures, "--format", "csv").splitlines()))
    assert [float(row["value"]) for row in rows] == pytest.approx([one["predictions"][0]["value"] for one in answers])
    assert "golden" in edgecnn("verify", file)
    edgecnn("bench", small, "--runs", 3)

    edgecnn("train", "reading_cnn", "--data", "shapes", "-o", tmp_path / "no", "--class-weight", 0.5, code=2)
