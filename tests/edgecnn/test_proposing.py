"""Selective search: the same set in the same order each time, on a scene whose objects are known."""

import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="the extra rcnn")

from edgecnn import proposing
from edgecnn.data.scenes import boxes_of, render
from edgecnn.data.shapes import scene_of
from edgecnn.errors import MissingDependencyError
from edgecnn.evaluation.scoring import narrow
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.proposing import selective_search, with_regions
from edgecnn.tasks.detection.outputs import check_options
from edgecnn.training import TrainConfig

SCENES = [scene_of("test", index, 4) for index in range(8)]


@pytest.fixture
def forgetful():
    proposing._kept.clear()


def shared(box, other):
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    both = np.prod(np.maximum(sides, 0))
    return both / (np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - both)


@pytest.mark.usefixtures("forgetful")
def test_it_finds_most_shapes():
    found = [
        max(shared(box, region) for region in selective_search(render(scene))) >= 0.5
        for scene in SCENES
        for box in boxes_of(scene)
    ]
    assert len(found) >= 8
    assert np.mean(found) >= 0.8


@pytest.mark.usefixtures("forgetful")
def test_it_gives_the_same_in_the_same_order_though_opencv_does_not():
    pixels = render(SCENES[0])
    first = selective_search(pixels)
    proposing._kept.clear()
    assert selective_search(pixels).tolist() == first.tolist()
    areas = np.prod(first[:, 2:] - first[:, :2], axis=1)
    assert (np.diff(areas) <= 0).all()
    pairs = [shared(a, b) for index, a in enumerate(first) for b in first[:index]]
    assert max(pairs) < 0.8


def test_it_finds_what_opencv_finds_in_the_file_that_it_reads_itself(tmp_path):
    import cv2

    Image.fromarray(render(SCENES[2])).save(tmp_path / "scene.png")
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.imread(str(tmp_path / "scene.png")))
    search.switchToSelectiveSearchFast()
    all_of_them = {(x, y, x + width, y + height) for x, y, width, height in search.process().tolist()}
    found = {tuple(map(int, box)) for box in selective_search(render(SCENES[2])).tolist()}
    assert found <= all_of_them
    left_out = all_of_them - found
    assert left_out
    areas = {box: (box[2] - box[0]) * (box[3] - box[1]) for box in all_of_them}
    for box in left_out:  # each has a larger one, or as large, that it is the same as
        like = [one for one in found if areas[one] >= areas[box] and shared(np.float64(box), np.float64(one)) >= 0.8]
        assert like
    backwards = {tuple(map(int, box)) for box in selective_search(render(SCENES[2])[..., ::-1].copy()).tolist()}
    assert backwards != found, "else this picture would not tell RGB from BGR"


@pytest.mark.usefixtures("forgetful")
def test_it_searches_the_same_pixels_once(monkeypatch):
    searched = []
    right = proposing.search_regions
    monkeypatch.setattr(proposing, "search_regions", lambda pixels: searched.append(pixels) or right(pixels))
    monkeypatch.setattr(proposing, "_MOST_KEPT", 2)
    pictures = [np.full((24, 24, 3), tone, np.uint8) for tone in (0, 90, 200)]
    for picture in (pictures[0], pictures[0], pictures[1], pictures[2], pictures[0]):
        selective_search(picture)
    assert [int(one[0, 0, 0]) for one in searched] == [0, 90, 200, 0]  # the first was forgotten for the third


def test_gray_pictures_have_regions_too():
    pixels = render(SCENES[1]).mean(axis=-1, keepdims=True).astype(np.uint8)
    assert len(selective_search(pixels)) > 1


def test_feeds_hold_regions_where_a_model_takes_such():
    manifest = build_manifest(get_spec("rcnn"), None, image_size=(96, 128))
    pixels = np.stack([render(SCENES[0]), render(SCENES[1])])
    feeds = with_regions(manifest, pixels)
    assert list(feeds) == ["image", "proposals"]
    for one, rows in zip(pixels, feeds["proposals"], strict=True):
        expected = selective_search(one)
        assert rows[: len(expected)].tolist() == expected.tolist()
        assert not rows[len(expected) :].any()
    assert list(with_regions(build_manifest(get_spec("yolov3_tiny"), None), pixels)) == ["image"]


@pytest.mark.usefixtures("forgetful")
def test_without_the_extra_its_name_is_said(monkeypatch):
    right = importlib.util.find_spec
    monkeypatch.setattr("edgecnn.extras.find_spec", lambda name: None if name == "cv2" else right(name))
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgecnn\[rcnn\]"'):
        selective_search(render(SCENES[0]))


def test_data_of_a_model_that_takes_regions_are_refused_before_anything_is_read_of_them(monkeypatch):
    monkeypatch.setattr("edgecnn.extras.find_spec", lambda _: None)
    manifest = build_manifest(get_spec("rcnn"), None, image_size=(96, 128))
    with pytest.raises(MissingDependencyError, match=r'pip install "edgecnn\[rcnn\]"'):
        narrow(manifest, None)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgecnn\[rcnn\]"'):
        check_options(manifest, TrainConfig("rcnn", "shapes:1"))
    check_options(build_manifest(get_spec("faster_rcnn"), None), TrainConfig("faster_rcnn", "shapes:1"))
