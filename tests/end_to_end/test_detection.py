"""A detector the whole way from the command line: a narrow YOLOv3-tiny that learns a few drawings by heart."""

import csv
import io
import json
import subprocess
import sys

import pytest
from drawn_shapes import write_yolo

from edgecnn.data.scenes import KINDS, boxes_of
from edgecnn.data.shapes import scene_of

pytestmark = pytest.mark.slow
TRAIN, TEST = 24, 12  # the first ones of the train part are tested, so that there is something to be found
# One process, because TensorFlow takes seconds to start; prints what each command said.
WHOLE_WAY = """
import contextlib, io, json, os, sys
from pathlib import Path

from edgecnn.cli import main

folder, done = Path(sys.argv[1]), {}
data, run = folder / "data", folder / "run"

def command(name, *arguments):
    with (folder / "stdout").open("w+b") as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
        kept = os.dup(1)
        os.dup2(stdout.fileno(), 1)
        code = main([str(argument) for argument in arguments])
        os.dup2(kept, 1)
        stdout.seek(0)
        done[name] = {"code": code, "stdout": stdout.read().decode(), "stderr": stderr.getvalue()}

command("data", "data", data, "--format", "json")
size = ("--image-size", "96,128")
command("anchors", "anchors", data, "--count", "6", *size, "--format", "json")
learned = ("--epochs", "80", "--batch-size", "4", "--learning-rate", "0.004", "--schedule", "cosine", "--seed", "1")
command("train", "train", "yolov3_tiny", "--data", data, "--width", "0.25", *size, *learned, "-o", run)
command("evaluate", "evaluate", run, "--data", data, "--format", "json", "--save", folder / "drawn")
command("float32", "export", run, "-o", folder / "float32.onnx", "--data", data)
bits = ("--quantize", "int8", "--min-speedup", "0")
command("int8", "export", run, "-o", folder / "int8.onnx", "--data", data, *bits)
data.rename(folder / "moved")
command("without", "export", run, "-o", folder / "without.onnx")
(folder / "moved").rename(data)
(folder / "done.json").write_text(json.dumps(done))
"""


@pytest.fixture(scope="session")
def gone(made_once):
    """A folder with data, a run, its files, and what each command said."""

    def go(folder):
        write_yolo(folder / "data", {"train": TRAIN, "test": TEST}, 3, from_part="train")
        done = subprocess.run([sys.executable, "-c", WHOLE_WAY, folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return made_once("detector", go)


@pytest.fixture(scope="session")
def said(gone):
    return json.loads((gone / "done.json").read_text())


@pytest.fixture(scope="session")
def pictures(gone):
    return gone / "data" / "images" / "test"


def points_of(edgecnn, file):
    decoder = json.loads(edgecnn("inspect", file, "--format", "json").stdout)["manifest"]["decoder"]
    return decoder["operating_points"]


def answered(edgecnn, file, pictures, *options):
    """Every answer: (image's number, class, score, box), by `run`."""
    done = edgecnn("run", file, pictures, "--device", "cpu", "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    return [
        (number, one["class"], one["confidence"], [*one["box"].values()])
        for number, answer in enumerate(json.loads(done.stdout))
        for one in answer["predictions"]
    ]


def overlap(a, b):
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def counted(answers, class_id):
    """Right answers, answers and objects of a class: the best answer takes the object that it overlaps most."""
    right, free = 0, {}
    for number in range(TEST):
        scene = scene_of("train", number, 3)
        boxes = zip(scene.shapes, boxes_of(scene).tolist(), strict=True)
        free[number] = [box for shape, box in boxes if KINDS.index(shape.kind) == class_id]
    objects, own = sum(map(len, free.values())), [one for one in answers if one[1] == class_id]
    for number, _, _, box in sorted(own, key=lambda one: -one[2]):
        best = max(free[number], key=lambda truth: overlap(box, truth), default=None)
        if best is not None and overlap(box, best) >= 0.5:
            right += 1
            free[number].remove(best)
    return right, len(own), objects


def test_every_step_ends_well(said, gone):
    failed = {name: one["stderr"] for name, one in said.items() if one["code"] != 0}
    assert failed == {}
    assert json.loads(said["data"]["stdout"])["targets"] == "boxes"
    assert json.loads(said["evaluate"]["stdout"])["ap50"] > 0.95
    drawn = {path.name for path in (gone / "drawn").iterdir()}
    assert drawn == {"precision_recall.png", "ap.png", "f1.png", "worst.png"}
    assert "ap50 drop 0.0" in said["int8"]["stdout"]  # within the default budget


def test_training_stands_on_the_anchors_that_the_command_finds(said, gone):
    shown = json.loads(said["anchors"]["stdout"])["anchors"]
    scales = json.loads((gone / "run" / "manifest.json").read_text())["decoder"]["scales"]
    held = [anchor for scale in scales for anchor in scale["anchors"]]
    assert len(held) == 6
    assert held == shown


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_no_threshold_of_the_files_own_answers_has_a_better_f1_than_the_stored_one(edgecnn, gone, pictures, name):
    points = points_of(edgecnn, gone / f"{name}.onnx")
    everything = answered(edgecnn, gone / f"{name}.onnx", pictures, "--score-threshold", "0.001")
    assert points
    for point in points:
        scores = sorted({one[2] for one in everything if one[1] == point["class_id"]})

        def f1(least, class_id=point["class_id"]):
            right, given, objects = counted([one for one in everything if one[2] >= least], class_id)
            return 2 * right / (given + objects)

        assert f1(point["score"]) == max(map(f1, scores))


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_the_stored_precision_and_recall_are_those_of_what_the_device_answers(edgecnn, gone, pictures, name):
    points = points_of(edgecnn, gone / f"{name}.onnx")
    answers = answered(edgecnn, gone / f"{name}.onnx", pictures)
    for point in points:
        right, given, objects = counted(answers, point["class_id"])
        assert (point["precision"], point["recall"]) == pytest.approx((right / given, right / objects))
        assert min(one[2] for one in answers if one[1] == point["class_id"]) >= point["score"]
    done = edgecnn("evaluate", gone / f"{name}.onnx", "--data", gone / "data", "--format", "json")
    classes = json.loads(done.stdout)["per_class"]
    for point in points:
        shown = classes[point["class_id"]]
        held = [point[name] for name in ("score", "precision", "recall")]
        assert [shown[name] for name in ("score_threshold", "precision", "recall")] == pytest.approx(held)


def test_the_two_files_have_points_of_their_own(edgecnn, gone):
    first, second = (points_of(edgecnn, gone / f"{name}.onnx") for name in ("float32", "int8"))
    assert [point["score"] for point in first] != [point["score"] for point in second]


def test_a_number_overrules_the_points_and_inspect_shows_them(edgecnn, gone, pictures):
    file = gone / "float32.onnx"
    few = answered(edgecnn, file, pictures, "--score-threshold", "0.97")
    assert (
        len(few)
        < len(answered(edgecnn, file, pictures))
        < len(answered(edgecnn, file, pictures, "--score-threshold", "0.001"))
    )
    lines = edgecnn("inspect", file).stdout.splitlines()
    for point in points_of(edgecnn, file):
        told = f"{KINDS[point['class_id']]}: from score {point['score']:.4f}, precision {point['precision']:.4f}"
        assert any(told in line for line in lines)


def test_without_data_there_are_no_points(edgecnn, gone):
    tree = json.loads(edgecnn("inspect", gone / "without.onnx", "--format", "json").stdout)
    assert tree["evidence"]["parity"]["images_from"] == "synthetic"
    assert tree["manifest"]["decoder"]["operating_points"] is None


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_verify_proves_the_file_with_its_points(edgecnn, gone, name):
    done = edgecnn("verify", gone / f"{name}.onnx", "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_run_on_a_folder_gives_every_format_pictures_and_crops(edgecnn, gone, pictures, tmp_path):
    file = gone / "int8.onnx"
    answers = answered(edgecnn, file, pictures, "--save", tmp_path / "saved", "--crop", tmp_path / "cropped")
    assert len(list((tmp_path / "saved").iterdir())) == TEST
    assert len(list((tmp_path / "cropped").iterdir())) == len(answers)
    command = ["run", file, pictures, "--device", "cpu", "--format"]
    rows = list(csv.DictReader(io.StringIO(edgecnn(*command, "csv").stdout)))
    assert [float(row["confidence"]) for row in rows if row["confidence"]] == [one[2] for one in answers]
    lines = [json.loads(line) for line in edgecnn(*command, "jsonl").stdout.splitlines()]
    assert sum(len(line["predictions"]) for line in lines) == len(answers)
    coco = json.loads(edgecnn(*command, "coco").stdout)
    assert [one["score"] for one in coco] == pytest.approx([one[2] for one in answers])
    for one, (number, class_id, _, (x1, y1, x2, y2)) in zip(coco, answers, strict=True):
        assert (one["image_id"], one["category_id"]) == (number, class_id + 1)
        assert one["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=1e-3)
    yolo = [line.split() for line in edgecnn(*command, "yolo").stdout.splitlines() if not line.startswith("#")]
    for row, (_, class_id, _, (x1, y1, x2, y2)) in zip(yolo, answers, strict=True):
        assert int(row[0]) == class_id
        parts = [(x1 + x2) / 2 / 128, (y1 + y2) / 2 / 96, (x2 - x1) / 128, (y2 - y1) / 96]
        assert [float(part) for part in row[1:5]] == pytest.approx(parts, abs=1e-4)
    assert "from score" not in edgecnn(*command, "text").stdout
