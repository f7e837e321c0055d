"""A segmenter the whole way from the command line: the demonstration, pictures of any size, tiles, answers."""

import csv
import io
import json

import numpy as np
import pytest
from in_one_process import run_commands
from in_one_process import said as what_they_said
from PIL import Image
from pycocotools import mask as coco_masks

from edgecnn.data.narrowing import GROUND
from edgecnn.data.scenes import KINDS, class_map_of, render
from edgecnn.data.shapes import MOST, scene_of

pytestmark = pytest.mark.slow
TEST = 300  # pictures of the test part
SIZES = ((96, 128), (75, 201), (240, 90))  # (height, width) of pictures of unlike sizes


@pytest.fixture(scope="session")
def gone(made_once):
    """A folder with the demonstration, other files of its run, pictures and masks, and what each command said."""

    def go(folder):
        demo, data, tiles = folder / "demo", ("--data", "shapes"), ("--tile", "64", "--overlap", "32")
        unlike = folder / "unlike"
        for kind in ("images", "masks"):
            (unlike / kind).mkdir(parents=True)
        (unlike / "classes.txt").write_text("".join(f"{name}\n" for name in (GROUND, *KINDS)))
        for index in range(6):
            scene = scene_of("test", index, MOST)
            for kind, pixels in (("images", render(scene)), ("masks", class_map_of(scene))):
                height, width = SIZES[index % len(SIZES)]
                tiled = np.concatenate([np.concatenate([pixels, pixels[:, ::-1]], 1)] * 3)[:height, :width]
                Image.fromarray(tiled).save(unlike / kind / f"{index}.png")
        run_commands(
            folder,
            {
                "demo": ("demo", "--task", "segmentation", "-o", demo),
                "data": ("data", unlike, "--format", "json"),
                "evaluate": ("evaluate", demo / "run", *data, "--format", "json", "--save", folder / "drawn"),
                "any": ("export", demo / "run", *data, "--image-size", "dynamic", "--batch", "dynamic",
                        "-o", folder / "any.onnx"),
                "tiles": ("export", demo / "run", *data, *tiles, "-o", folder / "tiles.onnx"),
                "small": ("export", demo / "run", *data, *tiles, "--quantize", "int8", "--min-speedup", "0",
                          "-o", folder / "tiles.int8.onnx"),
            },
        )  # fmt: skip

    return made_once("segmenter", go)


@pytest.fixture(scope="session")
def said(gone):
    return what_they_said(gone)


@pytest.fixture(
    scope="session", params=["demo/shapes.onnx", "demo/shapes.int8.onnx", "any.onnx", "tiles.onnx", "tiles.int8.onnx"]
)
def file(request, gone):
    return gone / request.param


def mean_iou(truths, answers):
    """The mean over the classes that are there of the part of both pixels among either, over all pictures."""
    truth, answer = (np.concatenate([one.reshape(-1) for one in maps]) for maps in (truths, answers))
    parts = [
        np.sum((truth == class_id) & (answer == class_id)) / np.sum((truth == class_id) | (answer == class_id))
        for class_id in np.union1d(truth, answer)
    ]
    return np.mean(parts)


def test_every_step_ends_well(said, gone):
    failed = {name: one["stderr"] for name, one in said.items() if one["code"] != 0}
    assert failed == {}
    assert json.loads(said["data"]["stdout"])["targets"] == "masks"
    assert {path.name for path in (gone / "drawn").iterdir()} == {"confusion.png", "worst.png"}


def test_the_demonstration_knows_most_pixels_and_ends_with_their_picture(said, gone):
    shown = said["demo"]["stdout"]
    told = next(line for line in shown.splitlines() if line.startswith("mean IoU of the file"))
    assert min(map(float, told.split()[5:])) >= 0.7
    picture = gone / "demo" / "annotated.png"
    assert f"{picture}: 12 test images as the int8 file answers them" in shown
    with Image.open(picture) as drawn:
        drawn.load()


def test_evaluate_counts_what_run_gives(edgecnn, file, gone, tmp_path):
    unlike = gone / "unlike"
    done = edgecnn("run", file, unlike / "images", "--device", "cpu", "--masks", tmp_path / "masks")
    assert done.returncode == 0, done.stderr
    truths, answers = (
        [np.asarray(Image.open(folder / f"{index}.png")) for index in range(6)]
        for folder in (unlike / "masks", tmp_path / "masks")
    )
    assert [one.shape for one in answers] == [SIZES[index % len(SIZES)] for index in range(6)]
    evaluated = json.loads(edgecnn("evaluate", file, "--data", unlike, "--format", "json").stdout)
    assert evaluated["mean_iou"] == pytest.approx(mean_iou(truths, answers))
    assert evaluated["pixel_accuracy"] == pytest.approx(
        np.mean(np.concatenate([(a == b).reshape(-1) for a, b in zip(truths, answers, strict=True)]))
    )


def test_verify_proves_the_file(edgecnn, file):
    done = edgecnn("verify", file, "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_pictures_of_the_networks_size_have_one_answer_in_both_ways(edgecnn, gone, tmp_path):
    """In the whole network and at a free size the same layers see the same pixels."""
    for name in ("demo/shapes.onnx", "any.onnx"):
        edgecnn("run", gone / name, gone / "unlike" / "images", "--device", "cpu", "--masks", tmp_path / name)
    for index in (0, 3):  # of the size that was trained
        whole, free = (
            np.asarray(Image.open(tmp_path / name / f"{index}.png")) for name in ("demo/shapes.onnx", "any.onnx")
        )
        assert np.mean(whole != free) <= 0.001


def test_the_seam_of_tiles_stands_in_the_evidence_and_is_seen(edgecnn, gone):
    decoded = json.loads(edgecnn("inspect", gone / "tiles.onnx", "--format", "json").stdout)["evidence"]["parity"][
        "decoded"
    ]
    assert decoded["seam"]["pictures"] == 4
    assert (decoded["seam"]["height"], decoded["seam"]["width"]) == (96, 128)
    assert 0 < decoded["seam"]["max_pixels_difference"] < 0.2
    shown = edgecnn("inspect", gone / "tiles.onnx").stdout
    assert "in tiles of 64 that have 32 pixels in common" in shown
    assert "whole pictures up to 96 x 128" in shown


def test_every_format_and_drawing_says_the_same(edgecnn, gone, tmp_path):
    file, images = gone / "demo" / "shapes.int8.onnx", gone / "unlike" / "images"
    command = ["run", file, images, "--device", "cpu", "--format"]
    told = edgecnn(*command, "json", "--polygons", "--masks", tmp_path / "masks", "--save", tmp_path / "saved")
    answers = json.loads(told.stdout)
    assert len(list((tmp_path / "saved").iterdir())) == len(answers) == 6
    assert (tmp_path / "masks" / "classes.txt").read_text().split() == [GROUND, *KINDS]
    for index, answer in enumerate(answers):
        classes = np.asarray(Image.open(tmp_path / "masks" / f"{index}.png"))
        assert {one["class"] for one in answer["predictions"]} == set(np.unique(classes).tolist())
        for one in answer["predictions"]:
            mask = classes == one["class"]
            assert one["pixels"] == mask.sum()
            assert np.array_equal(coco_masks.decode(one["segmentation"]).astype(bool), mask)
            assert np.array_equal(filled(one["polygons"], mask.shape), mask)
    rows = list(csv.DictReader(io.StringIO(edgecnn(*command, "csv").stdout)))
    assert [int(row["pixels"]) for row in rows] == [one["pixels"] for each in answers for one in each["predictions"]]
    coco = json.loads(edgecnn(*command, "coco").stdout)
    listed = [(index, one) for index, each in enumerate(answers) for one in each["predictions"]]
    for one, (index, prediction) in zip(coco, listed, strict=True):
        assert (one["image_id"], one["category_id"], one["score"]) == (index, prediction["class"] + 1, 1)
        assert one["segmentation"] == prediction["segmentation"]


def filled(rings, shape):
    """The pixels inside of rings by the even-odd rule: those with an odd number of upright edges on their left."""
    inside = np.zeros(shape, bool)
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if x1 == x2:  # edges go along the sides of pixels
                inside[min(y1, y2) : max(y1, y2), int(x1) :] ^= True
    return inside
