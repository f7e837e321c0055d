"""Detectors in two stages the whole way from the command line: trained, exported in float32 and int8, judged, run."""

import json

import pytest
from in_one_process import run_commands
from in_one_process import said as what_they_said
from PIL import Image

from edgecnn.data.scenes import KINDS, boxes_of, render
from edgecnn.data.shapes import scene_of

pytestmark = pytest.mark.slow
PICTURES, MOST = 6, 1  # shape in a picture
SIZE = ("--image-size", "96,128", "--width", "0.2")
FAST = ("--optimizer", "adam", "--learning-rate", "0.002", "--batch-size", "8", "--seed", "1")
EPOCHS = {"faster_rcnn": 6, "rcnn": 3}  # until the statistics of batch normalization have settled
LEAST = {"faster_rcnn": 0.6, "rcnn": 0.3}  # AP50 after these; one that answers nothing, or noise, has none


@pytest.fixture(scope="session", params=list(LEAST))
def gone(request, made_once):
    """A folder with a short training, its files, pictures of the test part, and what each command said."""
    name = request.param

    def go(folder):
        (folder / "pictures").mkdir()
        boxes = {}
        for index in range(PICTURES):
            scene = scene_of("test", index, MOST)
            Image.fromarray(render(scene)).save(folder / "pictures" / f"{index}.png")
            boxes[f"{index}.png"] = [[x1 - 2, y1, x2, y2 + 2] for x1, y1, x2, y2 in boxes_of(scene).tolist()]
        (folder / "boxes.json").write_text(json.dumps(boxes))
        run, data = folder / "run", ("--data", f"shapes:{MOST}")
        file, small, pictures = folder / "m.onnx", folder / "m.int8.onnx", folder / "pictures"
        run_commands(
            folder,
            {
                "train": ("train", name, *data, "-o", run, *SIZE, *FAST, "--epochs", str(EPOCHS[name])),
                "evaluate": ("evaluate", run, *data, "--format", "json"),
                "export": ("export", run, *data, "-o", file),
                "small": ("export", run, *data, "-o", small, "--quantize", "int8", "--min-speedup", "0",
                          "--max-drop", "0.05"),
                "judged": ("evaluate", file, *data, "--format", "json"),
                "judged small": ("evaluate", small, *data, "--format", "json"),
                "verified": ("verify", file),
                "verified small": ("verify", small),
                "found": ("run", file, pictures, "--device", "cpu", "--format", "json", "--save", folder / "drawn"),
                "found small": ("run", small, pictures, "--device", "cpu", "--format", "json"),
                "measured": ("bench", file, "--runs", "3", "--format", "json"),
                "inspected": ("inspect", file),
            },
        )  # fmt: skip

    return name, made_once(f"two stages {name}", go)


@pytest.fixture
def said(gone):
    return what_they_said(gone[1])


def test_every_step_ends_well(said):
    assert {name: one["stderr"] for name, one in said.items() if one["code"] != 0} == {}


def test_the_files_find_what_the_run_finds(gone, said):
    found = [json.loads(said[name]["stdout"])["ap50"] for name in ("evaluate", "judged", "judged small")]
    assert found[0] >= LEAST[gone[0]]
    assert found[1] == pytest.approx(found[0], abs=2e-3)
    assert found[2] >= found[0] - 0.05


def test_the_export_says_where_the_time_goes_where_regions_are_proposed(gone, said):
    name, folder = gone
    shares = json.loads((folder / "m.report.json").read_text())["shares"]
    if name == "rcnn":
        assert shares is None
        assert "time of a run" not in said["export"]["stdout"]
    else:
        assert list(shares) == ["backbone", "proposals", "heads"]
        assert "time of a run, one thread: backbone" in said["export"]["stdout"]


@pytest.mark.parametrize("which", ["found", "found small"])
def test_run_finds_the_shapes_in_the_pictures(said, which):
    right = 0
    for number, answer in enumerate(json.loads(said[which]["stdout"])):
        scene = scene_of("test", number, MOST)
        if answer["predictions"]:
            best = answer["predictions"][0]
            (x1, y1, x2, y2), box = boxes_of(scene)[0].tolist(), best["box"]
            centre = (box["x1"] + box["x2"]) / 2, (box["y1"] + box["y2"]) / 2
            right += x1 < centre[0] < x2 and y1 < centre[1] < y2 and best["class"] in range(len(KINDS))
    assert right >= PICTURES // 2


def test_pictures_are_drawn(gone):
    assert sorted(path.name for path in (gone[1] / "drawn").iterdir()) == [f"{index}.png" for index in range(PICTURES)]


def test_a_second_training_goes_on_where_the_first_ended(gone, edgecnn):
    name, folder = gone
    epochs = EPOCHS[name] + 1
    began = ("train", name, "--data", f"shapes:{MOST}", "-o", folder / "run", *SIZE, *FAST)
    done = edgecnn(*began, "--epochs", str(epochs), "--resume")
    assert done.returncode == 0, done.stderr
    assert f"epoch {epochs} of {epochs}" in done.stderr
    assert len((folder / "run" / "history.csv").read_text().splitlines()) == epochs + 1


def test_given_boxes_are_looked_at_and_others_are_not(gone, edgecnn):
    name, folder = gone
    ask = ("run", folder / "m.onnx", folder / "pictures", "--device", "cpu", "--format", "json")
    done = edgecnn(*ask, "--proposals", folder / "boxes.json")
    if name == "faster_rcnn":
        assert done.returncode == 2
        assert "this model takes an image alone" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert all(len(answer["predictions"]) <= len(KINDS) for answer in json.loads(done.stdout))
    assert sum(len(answer["predictions"]) for answer in json.loads(done.stdout)) >= PICTURES // 2
    (folder / "none.json").write_text("{}")
    done = edgecnn(*ask, "--proposals", folder / "none.json")
    assert done.returncode == 1
    assert {one["error"]["kind"] for one in json.loads(done.stdout)} == {"proposals"}
