import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecnn.cli import main
from edgecnn.data.samples import Samples
from edgecnn.data.shapes import read_shapes
from edgecnn.data.targets import Boxes, ClassIds, Objects
from edgecnn.errors import UsageError
from edgecnn.tasks.detection.anchors import box_sizes, fit_anchors
from edgecnn.tasks.detection.first_anchors import fit
from edgecnn.training import TrainConfig
from edgecnn_runtime.decoders import OutputSpec, YoloDecoder, YoloScale
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

LETTERBOX = ImageInput(name="image", height=64, width=64, color="rgb", resize="letterbox", pad_value=0)


def mean_best_iou(sizes, anchors):
    """By loops, from the definition."""
    total = 0.0
    for width, height in sizes:
        total += max(
            min(width, w) * min(height, h) / (width * height + w * h - min(width, w) * min(height, h))
            for w, h in anchors
        )
    return total / len(sizes)


@pytest.mark.parametrize("seed", range(5))
def test_fit_anchors_beats_anchors_at_random_and_says_how_well_they_fit(seed):
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(3, 0.8, (120, 2)))
    fitted = fit_anchors(sizes, 5, seed=seed)
    assert fitted.mean_best_iou == pytest.approx(mean_best_iou(sizes, fitted.anchors))
    drawn = [sizes[random.choice(len(sizes), 5, replace=False)] for _ in range(30)]
    assert fitted.mean_best_iou > max(mean_best_iou(sizes, anchors) for anchors in drawn)
    areas = [width * height for width, height in fitted.anchors]
    assert areas == sorted(areas)
    assert fit_anchors(sizes, 5, seed=seed) == fitted


def test_fit_anchors_finds_clear_clusters_exactly():
    offsets = np.array([[-1, 0], [0, 0], [1, 0], [0, -1], [0, 1]])
    sizes = np.concatenate([np.array([10, 20]) + offsets, np.array([80, 30]) + offsets, np.array([31, 79]) + offsets])
    fitted = fit_anchors(sizes, 3)
    assert fitted.anchors == ((10, 20), (80, 30), (31, 79))
    assert [(size.least, size.below, size.count) for size in fitted.sizes if size.count] == [(8, 16, 5), (32, 64, 10)]


def test_fit_anchors_gives_as_many_as_there_are_sizes_but_no_more():
    sizes = np.array([[4.0, 4.0]] * 50 + [[4.0, 5.0], [6.0, 4.0]])
    assert fit_anchors(sizes, 3).anchors == ((4, 4), (4, 5), (6, 4))
    with pytest.raises(UsageError, match=r"at least 4 different sizes, one an anchor, received 3\. Take"):
        fit_anchors(sizes, 4)
    with pytest.raises(UsageError, match="received 0"):
        fit_anchors(np.empty((0, 2)), 1)


def test_box_sizes_are_those_of_learned_objects_in_the_input(tmp_path):
    Image.new("RGB", (128, 32)).save(tmp_path / "wide.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # shown as 16 x 32
    Image.new("RGB", (32, 16)).save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    images = (
        Objects.of([(0, 0, 20, 10), (0, 0, 128, 32), (0, 0, 8, 4)], [0, 0, 1], difficult=[False, False, True],
                   crowd=[False, True, False]),
        Objects.of([(2, 4, 8, 20)], [1]),
        Objects.of([(0, 0, 1, 1)], [0]),
        Objects.of([], []),
    )  # fmt: skip
    paths = tuple(tmp_path / name for name in ("wide.png", "turned.jpg", "bad.png", "none.png"))
    samples = Samples(paths, Boxes(images), ("a", "b"), "train")
    assert box_sizes(samples, LETTERBOX).tolist() == [[10, 5], [12, 32]]
    assert box_sizes(samples, replace(LETTERBOX, resize="stretch")).tolist() == [[10, 20], [24, 32]]
    with pytest.raises(UsageError, match="expected data with boxes, received a class an image"):
        box_sizes(Samples(paths, ClassIds(np.zeros(4, np.int64)), ("a", "b"), "train"), LETTERBOX)


def test_fit_gives_the_finest_grid_the_smallest_anchors():
    scales = (YoloScale("scale_16", 16, ((1.0, 1.0),) * 3), YoloScale("scale_32", 32, ((2.0, 2.0),) * 3))
    manifest = Manifest(
        task="detection",
        model=ModelInfo(name="made_up", width=1.0),
        inputs=(LETTERBOX,),
        labels=("circle", "square", "triangle"),
        decoder=YoloDecoder(scales),
        outputs=(OutputSpec("scale_16", (4, 4, 3, 8)), OutputSpec("scale_32", (2, 2, 3, 8))),
    )
    train = read_shapes().train[:100]
    fitted = fit(manifest, train, config=TrainConfig("yolov3_tiny", "shapes"))
    found = fit_anchors(box_sizes(train, LETTERBOX), 6).anchors
    assert [scale.anchors for scale in fitted.decoder.scales] == [found[:3], found[3:]]
    assert replace(fitted, decoder=manifest.decoder) == manifest
    assert Manifest.from_json(fitted.to_json()) == fitted


@pytest.mark.slow
def test_anchors_are_printed_for_people_and_for_programs(capfd):
    assert main(["anchors", "shapes:1", "--count", "3", "--image-size", "96,128"]) == 0
    shown = capfd.readouterr().out
    assert main(["anchors", "shapes:1", "--count", "3", "--image-size", "96,128", "--format", "json"]) == 0
    tree = json.loads(capfd.readouterr().out)
    sizes = box_sizes(read_shapes(1).train, replace(LETTERBOX, height=96, width=128))
    assert tree["image_size"] == [96, 128]
    assert tree["mean_best_iou"] == pytest.approx(mean_best_iou(sizes, tree["anchors"]))
    assert sum(size["count"] for size in tree["sizes"]) == tree["boxes"] == len(sizes) == 1200
    assert "train part at 96 x 128, 1,200 boxes, mean best IoU 0." in shown
    rows = [line.split() for line in shown.splitlines()]
    assert [[float(cell) for cell in row[1:]] for row in rows if len(row) == 3 and row[0].isdigit()] == tree["anchors"]


def test_anchors_refuses_data_without_boxes_and_a_count_beyond_the_sizes(capfd):
    assert main(["anchors", "digits"]) == 2
    assert "expected data with boxes" in capfd.readouterr().err
    assert main(["anchors", "shapes:1", "--count", "2000"]) == 2
    assert "expected boxes of at least 2000 different sizes" in capfd.readouterr().err
