"""A detector the whole way from the command line: the demonstration, and what else one does with its files."""

import csv
import io
import json

import pytest
from in_one_process import run_commands
from in_one_process import said as what_they_said
from PIL import Image

from edgecnn.data.scenes import KINDS, boxes_of, render
from edgecnn.data.shapes import MOST, scene_of

pytestmark = pytest.mark.slow
TEST = 300  # pictures of the test part, all of them: the points are of these


@pytest.fixture(scope="session")
def gone(made_once):
    """A folder with the demonstration, pictures of its test part, and what each command said."""

    def go(folder):
        (folder / "pictures").mkdir()
        for index in range(TEST):
            Image.fromarray(render(scene_of("test", index, MOST))).save(folder / "pictures" / f"{index:03}.png")
        demo, size = folder / "demo", ("--image-size", "192,256")
        shapes, drawn = ("--data", "shapes", "--format", "json"), folder / "drawn"
        run_commands(
            folder,
            {
                "demo": ("demo", "--task", "detection", "-o", demo),
                "data": ("data", "shapes", "--format", "json"),
                "anchors": ("anchors", "shapes", "--count", "6", *size, "--format", "json"),
                "evaluate": ("evaluate", demo / "run", *shapes, "--save", drawn),
                "without": ("export", demo / "run" / "model.keras", "-o", folder / "without.onnx"),
            },
        )

    return made_once("detector", go)


@pytest.fixture(scope="session")
def said(gone):
    return what_they_said(gone)


@pytest.fixture(scope="session", params=["float32", "int8"])
def file(request, gone):
    return gone / "demo" / ("shapes.int8.onnx" if request.param == "int8" else "shapes.onnx")


@pytest.fixture(scope="session")
def pictures(gone):
    return gone / "pictures"


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


@pytest.fixture(scope="module")
def truths():
    """What each picture shows, by class: [{class: boxes}]."""
    shown = []
    for number in range(TEST):
        scene = scene_of("test", number, MOST)
        boxes = list(zip(scene.shapes, boxes_of(scene).tolist(), strict=True))
        shown.append({
            class_id: [box for shape, box in boxes if shape.kind == kind] for class_id, kind in enumerate(KINDS)
        })  # fmt: skip
    return shown


def counted(answers, truths, class_id):
    """After each answer of a class, the best first: its score, right answers and answers so far; and its objects.

    An answer takes the object that it overlaps most of those that are free, by half or more.
    """
    free, steps, right = [list(one[class_id]) for one in truths], [], 0
    own = sorted((one for one in answers if one[1] == class_id), key=lambda one: -one[2])
    for given, (number, _, score, box) in enumerate(own, 1):
        best = max(free[number], key=lambda truth: overlap(box, truth), default=None)
        if best is not None and overlap(box, best) >= 0.5:
            right += 1
            free[number].remove(best)
        steps.append((score, right, given))
    return steps, sum(len(one[class_id]) for one in truths)


def test_every_step_ends_well(said, gone):
    failed = {name: one["stderr"] for name, one in said.items() if one["code"] != 0}
    assert failed == {}
    assert json.loads(said["data"]["stdout"])["targets"] == "boxes"
    drawn = {path.name for path in (gone / "drawn").iterdir()}
    assert drawn == {"precision_recall.png", "ap.png", "f1.png", "worst.png"}


def test_the_demonstration_finds_most_shapes_and_ends_with_their_picture(said, gone):
    shown = said["demo"]["stdout"]
    ap = next(line for line in shown.splitlines() if line.startswith("AP50 of the file"))
    assert min(map(float, ap.split()[4:])) >= 0.8
    assert json.loads(said["evaluate"]["stdout"])["ap50"] >= 0.8
    picture = gone / "demo" / "annotated.png"
    assert f"{picture}: 12 test images as the int8 file answers them" in shown
    with Image.open(picture) as drawn:
        drawn.load()


def test_training_stands_on_the_anchors_that_the_command_finds(said, gone):
    shown = json.loads(said["anchors"]["stdout"])["anchors"]
    scales = json.loads((gone / "demo" / "run" / "manifest.json").read_text())["decoder"]["scales"]
    held = [anchor for scale in scales for anchor in scale["anchors"]]
    assert len(held) == 6
    assert held == shown


def test_no_threshold_of_the_files_own_answers_has_a_better_f1_than_the_stored_one(edgecnn, file, pictures, truths):
    points = points_of(edgecnn, file)
    everything = answered(edgecnn, file, pictures, "--score-threshold", "0.001")
    assert [point["class_id"] for point in points] == list(range(len(KINDS)))
    for point in points:
        steps, objects = counted(everything, truths, point["class_id"])
        f1 = {score: 2 * right / (given + objects) for score, right, given in steps}  # of equal scores the last one
        assert f1[min(score for score in f1 if score >= point["score"])] == max(f1.values())


def test_the_stored_precision_and_recall_are_those_of_what_the_device_answers(edgecnn, file, pictures, truths):
    points = points_of(edgecnn, file)
    answers = answered(edgecnn, file, pictures)
    for point in points:
        steps, objects = counted(answers, truths, point["class_id"])
        least, right, given = steps[-1]
        assert (point["precision"], point["recall"]) == pytest.approx((right / given, right / objects))
        assert least >= point["score"]
    classes = json.loads(edgecnn("evaluate", file, "--data", "shapes", "--format", "json").stdout)["per_class"]
    for point in points:
        shown = classes[point["class_id"]]
        held = [point[name] for name in ("score", "precision", "recall")]
        assert [shown[name] for name in ("score_threshold", "precision", "recall")] == pytest.approx(held)


def test_the_two_files_have_points_of_their_own(edgecnn, gone):
    first, second = (points_of(edgecnn, gone / "demo" / f"{name}.onnx") for name in ("shapes", "shapes.int8"))
    assert [point["score"] for point in first] != [point["score"] for point in second]


def test_a_number_overrules_the_points_and_inspect_shows_them(edgecnn, gone, pictures):
    file = gone / "demo" / "shapes.onnx"
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


def test_verify_proves_the_file_with_its_points(edgecnn, file):
    done = edgecnn("verify", file, "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_run_on_a_folder_gives_every_format_pictures_and_crops(edgecnn, gone, pictures, tmp_path):
    file = gone / "demo" / "shapes.int8.onnx"
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
