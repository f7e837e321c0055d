import json

import numpy as np
import pytest
from PIL import Image

from edgecnn.cli import main
from edgecnn.data import load_dataset
from edgecnn_runtime.drawing import class_color

TERMINAL = 80  # columns


@pytest.fixture
def yolo(tmp_path):
    """A data set of 3 images to learn from and 2 to judge by, 20 x 10 pixels, with 4 objects of 2 classes."""

    def write(**changes):
        rows = {
            "train/a": "0 .5 .5 .5 .5\n1 .25 .5 .1 .2\n",
            "train/b": "0 .5 .5 1 1\n",
            "train/c": None,
            "val/d": "0 .5 .5 .2 .2\n",
            "val/e": "",
            **{name.replace("_", "/"): text for name, text in changes.items()},
        }
        root = tmp_path / "set"
        for index, (name, text) in enumerate(rows.items()):
            for kind in ("images", "labels"):
                (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 10), (index, 0, 0)).save(root / "images" / f"{name}.png")
            if text is not None:
                (root / "labels" / f"{name}.txt").write_text(text)
        (root / "data.yaml").write_text("names: [cat, dog]\ntrain: images/train\nval: images/val\n")
        return root

    return write


@pytest.fixture
def surveyed(capfd):
    """Runs the command and returns its exit code, and what it printed as JSON or text."""

    def run(path, *options):
        code = main(["data", str(path), *options])
        printed = capfd.readouterr().out
        return code, json.loads(printed) if "json" in options else printed

    return run


def test_data_counts_what_is_there(yolo, surveyed):
    code, tree = surveyed(yolo(), "--format", "json")
    assert code == 0
    assert (tree["format"], tree["targets"], tree["labels"]) == ("YOLO", "boxes", ["cat", "dog"])
    assert tree["parts"] == [
        {"part": "train", "images": 3, "objects": 3, "empty": 1, "per_class": [2, 1], "objects_per_class": [2, 1]},
        {"part": "val", "images": 2, "objects": 1, "empty": 1, "per_class": [1, 0], "objects_per_class": [1, 0]},
    ]
    assert tree["sizes"]["image_width"] == {"min": 20, "p5": 20, "median": 20, "p95": 20, "max": 20}
    assert (tree["sizes"]["box_height"]["min"], tree["sizes"]["box_height"]["max"]) == (2, 10)
    assert tree["sizes"]["box_share"]["max"] == 1
    assert tree["errors"] == []
    assert {note["kind"]: note["count"] for note in tree["notes"]} == {
        "images without labels": 2,
        "classes that a part does not show": 1,
    }
    assert tree["fingerprint"] == load_dataset(tree["location"]).fingerprint


def test_data_lists_all_faults_and_ends_with_1(yolo, surveyed):
    root = yolo(train_a="0 .5 .5 0 1\n" * 12 + "0 .5 .5 1 1\n", val_d="5 .5 .5 1 1\n0 .5\n")
    (root / "labels" / "train" / "z.txt").write_text("0 .5 .5 1 1")
    (root / "images" / "val" / "e.png").write_bytes(b"no picture")
    code, tree = surveyed(root, "--format", "json")
    assert code == 1
    assert {kind["kind"]: (kind["count"], len(kind["first"])) for kind in tree["errors"]} == {
        "labels without images": (1, 1),
        "boxes without area": (12, 10),
        "unknown classes": (1, 1),
        "objects that cannot be read": (1, 1),
        "pictures that cannot be decoded": (1, 1),
    }
    assert f"{root}/labels/val/d.txt:2: expected 5 numbers" in str(tree["errors"])
    _, text = surveyed(root)
    assert "  12 boxes without area\n" in text
    assert "    and 2 more\n" in text


def test_data_says_what_it_found_before_nothing_was_left(tmp_path, capfd):
    for kind in ("Annotations", "JPEGImages"):
        (tmp_path / kind).mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "JPEGImages" / "a.png")
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation>")
    assert main(["data", str(tmp_path)]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert [line.split(": expected")[0].rpartition("/")[2] for line in captured.err.splitlines()] == [
        "a.xml:1",
        tmp_path.name,
    ]


def test_data_tells_of_classes_and_doubles(tmp_path, write_classes, surveyed):
    root = write_classes(tmp_path / "set", cat=5, dog=6)
    (root / "dog" / "cat.png").write_bytes((root / "cat" / "1.png").read_bytes())
    code, tree = surveyed(root, "--format", "json")
    assert (code, tree["targets"], tree["format"]) == (0, "classes", "a folder a class")
    counts = {"images": 12, "objects": None, "empty": None, "per_class": [5, 7], "objects_per_class": None}
    assert tree["parts"] == [{"part": "all", **counts}]
    assert [(note["kind"], note["count"]) for note in tree["notes"]] == [
        ("equal pictures in two classes", 1),
        ("parts missing", 1),
    ]
    _, text = surveyed(root)
    assert "12 images, fingerprint" in text


def test_tables_fit_a_terminal(surveyed):
    code, text = surveyed("shapes")
    assert code == 0
    assert "shapes: shapes, 4 classes, 1500 images, 5180 objects, fingerprint " in text
    assert max(map(len, text.splitlines())) <= TERMINAL


@pytest.fixture
def masked(tmp_path):
    """Two parts of one gray picture each, 32 x 24 pixels; the left half of its mask is class 1, a corner is ignored."""
    mask = np.zeros((24, 32), np.uint8)
    mask[:, :16], mask[:6, :8] = 1, 255
    root = tmp_path / "set"
    for part, turn in (("train", 0), ("val", 1)):
        for kind, picture in (
            ("images", Image.new("RGB", (32, 24), (40 + turn,) * 3)),
            ("masks", Image.fromarray(mask)),
        ):
            (root / part / kind).mkdir(parents=True)
            picture.save(root / part / kind / "a.png")
    (root / "data.yaml").write_text("names: [ground, cat]\nignore: 255\n")
    return root


def test_data_counts_the_pixels_of_masks(masked, surveyed):
    code, tree = surveyed(masked, "--format", "json")
    assert (code, tree["targets"], tree["format"], tree["labels"]) == (0, "masks", "masks", ["ground", "cat"])
    assert tree["parts"] == [
        {
            **{"part": part, "images": 1, "objects": None, "empty": None, "per_class": [1, 1]},
            **{"objects_per_class": None, "pixel_share": [0.533333, 0.466667], "ignored_share": 0.0625},
        }
        for part in ("train", "val")
    ]
    assert list(tree["sizes"]) == ["image_width", "image_height"]
    _, text = surveyed(masked)
    assert "class   train images  train pixels  val images  val pixels\n" in text
    assert "cat                1        46.7 %           1      46.7 %\n" in text


def test_data_lists_faulty_masks_and_ends_with_1(masked, surveyed):
    Image.new("L", (32, 24), 9).save(masked / "val" / "masks" / "a.png")
    Image.new("RGB", (8, 8)).save(masked / "val" / "images" / "b.png")
    Image.new("RGB", (8, 8)).save(masked / "val" / "images" / "c.png")
    Image.new("L", (8, 8)).save(masked / "val" / "masks" / "c.png")
    code, tree = surveyed(masked, "--format", "json")
    assert code == 1
    assert {kind["kind"]: kind["count"] for kind in tree["errors"]} == {
        "pictures without masks": 1,
        "masks with values of no class": 1,
    }


def test_sheets_show_masks_over_their_pictures(masked, surveyed, tmp_path):
    code, _ = surveyed(masked, "--save", str(tmp_path / "sheets"))
    assert code == 0
    with Image.open(tmp_path / "sheets" / "train.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))[6:246, 6:326]  # its only place, a pixel of the picture is 10 there
    half = np.round(0.5 * 40 + 0.5 * np.array(class_color(1), np.float32))
    assert (pixels[80:, :160] == half).all()
    assert (pixels[:, 160:] == 40).all()
    assert (pixels[25:60, :80] == 40).all()  # ignored, below the name
    assert (pixels[6:14, 4:12] == class_color(1)).all()


def test_sheets_show_the_boxes_where_the_objects_are(yolo, surveyed, tmp_path):
    code, _ = surveyed(yolo(), "--save", str(tmp_path / "sheets"))
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["train.png", "val.png"]
    with Image.open(tmp_path / "sheets" / "train.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    # a is the first of three places of 320 x 240 pixels with 6 between; its picture is 320 x 160 there, 40 lower
    rows, columns = np.nonzero((pixels[:, :332] == class_color(0)).all(axis=-1))
    box = columns.min() - 6, rows.max() + 1 - 46, columns.max() + 1 - 6
    assert box == (80, 120, 240)


def test_sheets_name_the_class_of_a_picture(tmp_path, write_classes, surveyed):
    code, _ = surveyed(write_classes(tmp_path / "set", cat=5, dog=6), "--save", str(tmp_path / "sheets"))
    assert code == 0
    with Image.open(tmp_path / "sheets" / "all.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert all((pixels == class_color(class_id)).all(axis=-1).any() for class_id in (0, 1))


def test_a_picture_that_cannot_be_decoded_leaves_its_place_empty(tmp_path, write_classes, surveyed):
    root = write_classes(tmp_path / "set", cat=2, dog=2)
    (root / "cat" / "1.png").write_bytes(b"x")
    code, tree = surveyed(root, "--format", "json", "--save", str(tmp_path / "sheets"))
    assert (code, tree["errors"][0]["kind"]) == (1, "pictures that cannot be decoded")
    assert (tmp_path / "sheets" / "all.png").exists()


@pytest.mark.parametrize("place", ["set", "set/sheets"])
def test_sheets_are_not_saved_among_the_data(tmp_path, write_classes, capfd, place):
    root = write_classes(tmp_path / "set", cat=5, dog=6)
    assert main(["data", str(root), "--save", str(tmp_path / place)]) == 2
    assert "--save: expected a folder apart from what is read" in capfd.readouterr().err
    assert not list(root.glob("**/all.png"))


def test_data_refuses_what_it_does_not_know(tmp_path, capfd):
    assert main(["data", str(tmp_path)]) == 2
    captured = capfd.readouterr()
    for looked_for in ("(YOLO)", "(COCO)", "(Pascal VOC)", "a folder a class", "voc:", "coco:", "yolo:"):
        assert looked_for in captured.err


def test_train_refuses_images_of_several_classes(yolo, tmp_path, capfd):
    root = yolo()
    assert main(["train", "mnist_convnet", "--data", str(root), "-o", str(tmp_path / "run")]) == 2
    said = capfd.readouterr().err
    assert (
        "train/a.png: expected objects of one class in each image, to classify images by, received 'cat', 'dog'" in said
    )
    assert not (tmp_path / "run" / "config.json").exists()


def test_train_ends_with_1_at_a_faulty_box_and_names_its_line(yolo, tmp_path, capfd):
    root = yolo(train_a="0 .5 .5 1 1\n0 .5 .5 2 1\n")
    assert main(["train", "mnist_convnet", "--data", str(root), "-o", str(tmp_path / "run")]) == 1
    assert "labels/train/a.txt:2: expected parts of the image from 0 to 1" in capfd.readouterr().err
