from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.data.faults import Faults
from edgecnn.data.load import load_dataset
from edgecnn.data.yolo import read_yolo
from edgecnn.errors import DatasetError, MissingDependencyError

SHARED = Path(__file__).parents[3] / "shared" / "data"
NAMES = "names: [cat, dog]\n"


@pytest.fixture
def yolo(tmp_path):
    """Writes a data set: `yolo("names: ...", {"train/a": "0 .5 .5 1 1"})`; None gives an image without label file."""

    def write(config, rows, images="images/{}.png", labels="labels/{}.txt"):
        (tmp_path / "data.yaml").write_text(config)
        for index, (name, text) in enumerate(rows.items()):
            image, label = tmp_path / images.format(name), tmp_path / labels.format(name)
            image.parent.mkdir(parents=True, exist_ok=True)
            label.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 10), (index, 0, 0)).save(image)
            if text is not None:
                label.write_text(text)
        return tmp_path

    return write


def one(yolo, text):
    return yolo(f"{NAMES}train: images/train\n", {"train/a": text})


def test_a_row_is_centre_and_size_of_the_picture(yolo):
    dataset = read_yolo(one(yolo, "1 0.5 0.5 1 1\n\n0 0.25 0.5 0.1 0.2"))
    (objects,) = dataset.select("all").targets.images
    assert dataset.labels == ("cat", "dog")
    assert objects.class_ids.tolist() == [1, 0]
    np.testing.assert_allclose(objects.boxes, [[0, 0, 20, 10], [4, 4, 6, 6]], atol=1e-5)


def test_a_photo_that_exif_turns_is_measured_as_displayed(yolo):
    root = one(yolo, "0 0.5 0.5 1 1")
    turn = Image.Exif()
    turn[0x0112] = 6
    Image.new("RGB", (20, 10)).save(root / "images" / "train" / "a.png", exif=turn)
    assert read_yolo(root).select("all").targets.images[0].boxes.tolist() == [[0, 0, 10, 20]]


@pytest.mark.parametrize(
    "names",
    [
        "names: [no, 'yes, 1']",
        "names:\n  0: no\n  1: yes, 1\n",
        "names:\n- no\n- yes, 1\nnc: 2",
        "nc: 2\nnames: {0: no, 1: 'yes, 1'}",
    ],
)
def test_names_are_a_list_or_numbers_and_taken_as_written(yolo, names):
    root = yolo(f"train: images/train\n{names}\n", {"train/a": "0 .5 .5 1 1", "train/b": "1 .5 .5 1 1"})
    assert load_dataset(str(root)).labels == ("no", "yes, 1")


@pytest.mark.parametrize(
    ("config", "images", "labels"),
    [
        ("train: images/train\nval: images/val\n", "images/{}.png", "labels/{}.txt"),
        ("train: ../train/images\nval: ../valid/images\n", None, None),
        ("path: .\ntrain: train\nval: val\n", "{}.png", "{}.txt"),
        (
            "path: /of/another/machine\ntrain: [images/train]\nval:\n- images/val\ntest:\n",
            "images/{}.png",
            "labels/{}.txt",
        ),
    ],
)
def test_parts_are_found_where_sets_keep_them(yolo, tmp_path, config, images, labels):
    rows = {"train/a": "0 .5 .5 1 1", "train/b": "1 .5 .5 1 1", "val/c": "0 .5 .5 1 1"}
    if images is None:
        root = yolo(NAMES + config, {})
        for name, text in rows.items():
            part, stem = name.replace("val", "valid").split("/")
            for kind in ("images", "labels"):
                (root / part / kind).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 10), (ord(stem), 0, 0)).save(root / part / "images" / f"{stem}.png")
            (root / part / "labels" / f"{stem}.txt").write_text(text)
    else:
        yolo(NAMES + config, rows, images, labels)
    dataset = load_dataset(str(tmp_path))
    assert [(part.part, len(part)) for part in dataset.parts] == [("train", 2), ("val", 1)]
    assert [len(image) for part in dataset.parts for image in part.targets.images] == [1, 1, 1]


def test_a_part_may_be_a_list_of_images(yolo):
    root = yolo(f"{NAMES}train: train.txt\nval: [val.txt]\n", {"x/a": "0 .5 .5 1 1", "x/b": None, "x/c": "1 .5 .5 1 1"})
    (root / "train.txt").write_text("./images/x/b.png\nimages/x/a.png\n\n")
    (root / "val.txt").write_text(str(root / "images" / "x" / "c.png"))
    dataset = read_yolo(root)
    assert [path.stem for path in dataset.train.sources] == ["b", "a"]
    assert [path.stem for path in dataset.val.sources] == ["c"]


def test_images_without_labels_are_counted_and_have_no_objects(yolo):
    rows = {"train/a": "0 .5 .5 1 1", "train/b": None, "train/c": "\n", "train/d": "1 .5 .5 1 1"}
    dataset = read_yolo(yolo(f"{NAMES}train: images/train\n", rows), faults := Faults())
    assert dataset.select("all").targets.counts(2).tolist() == [1, 1]
    assert [fault.kind for fault in faults.notes] == ["images without labels"] * 2


def test_a_part_other_than_train_that_is_not_there_is_left_out_aloud(yolo, caplog):
    root = yolo(f"train: images/train\nval: images/val\n{NAMES}", {"train/a": "0 .5 .5 1 1"})
    assert read_yolo(root, faults := Faults()).val is None
    assert [fault.message.partition(", and")[0] for fault in faults.notes] == [
        f"{root}/data.yaml:2: val names 'images/val'"
    ]
    assert "data.yaml:2: left the val part out" in caplog.text


def test_rounding_over_the_border_is_cut(yolo):
    (objects,) = read_yolo(one(yolo, "0 0.975002 0.5 0.05 1")).select("all").targets.images
    assert objects.boxes[0, 2] == 20


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0 .5 .5 1", "expected 5 numbers, class, centre x, centre y, width, height, received 4"),
        ("0 .5 .5 1 1 .9", "expected 5 numbers, .* received 6$"),
        ("0 0 0 1 0 1 1", r"expected 5 numbers, .* received 7 \(a polygon"),
        ("0 .5 .5 1.2 1", r"expected parts of the image from 0 to 1 .* received '\.5 \.5 1\.2 1'"),
        ("0 nan .5 1 1", "expected parts of the image from 0 to 1"),
        ("0 1e999 .5 1 1", "expected parts of the image from 0 to 1"),
        ("0 -.5 .5 1 1", "expected parts of the image from 0 to 1"),
        ("0 10 5 4 4", "expected .* from 0 to 1 .* Divide pixels"),
        ("2 .5 .5 1 1", r"expected a class from 0 to 1, those of .*data\.yaml, received 2"),
        ("-1 .5 .5 1 1", "expected a class from 0 to 1"),
        ("cat .5 .5 1 1", "expected numbers, .* received 'cat"),
        ("1.5 .5 .5 1 1", "expected numbers"),
        ("0 .5 .5 0 1", "expected a width and a height above 0, received 0 and 1"),
        ("0 .9 .5 .8 1", "expected a box inside the image of 20 x 10"),
        ("9" * 5000 + " .5 .5 1 1", "expected numbers"),
    ],
)
def test_read_yolo_refuses_a_row_with_file_and_line(yolo, row, said):
    with pytest.raises(DatasetError, match=rf"labels/train/a\.txt:2: {said}") as caught:
        read_yolo(one(yolo, f"0 .5 .5 1 1\n{row}\n"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("train: images/train\n", "1: expected names, the classes, received 'train'"),
        ("names: []\ntrain: images/train\n", "1: expected names that are unique and not empty"),
        ("names: [cat, cat]\ntrain: images/train\n", "1: expected names that are unique .*'cat' twice"),
        ("train: images/train\nnames: {0: cat, 2: dog}\n", "2: expected the class 1 next in names, received '2'"),
        ("train: images/train\nnames: [[cat]]\n", "2: expected one value, received a list"),
        ("train: images/train\nnames: cat\n", "2: expected names as a list, .* received a single value"),
        ("train: images/train\nnames: [cat]\nnc: 2\n", "3: expected nc 1, as many as names, received '2'"),
        (
            "names: [cat]\ntrain: images/none\n",
            "2: expected a folder or a list of images as train, received 'images/none'",
        ),
        ("names: [cat]\ntrain: images/train\ntrain: images/val\n", "3: expected each key once, received 'train' again"),
        ("names: [cat]\nval: images/train\nvalid: images/train\n", "3: expected one val part"),
        ("names: [cat\ntrain: images/train\n", r"\d: expected YAML, received"),
        ("names: [cat]\ntrain: !!python/object/apply:os.system [x]\n", "2: expected a folder or a list"),
        ("names: " + "[" * 50_000, ".* expected YAML, received maximum recursion"),
        ("- 1\n", "1: expected an object with names and train or val, received a list"),
        ("", "1: expected an object with names and train or val, received nothing"),
        ("names: [cat]\nnc: 1\n", " expected train, val or test, received none of them"),
    ],
)
def test_read_yolo_refuses_a_config_with_its_line(yolo, config, said):
    root = yolo(config, {"train/a": "0 .5 .5 1 1"})
    with pytest.raises(DatasetError, match=rf"data\.yaml:{said}") as caught:
        read_yolo(root / "data.yaml")
    assert "\n" not in str(caught.value)


def test_read_yolo_refuses_a_bomb_of_aliases_in_no_time(yolo):
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 40))
    root = yolo(f"l0: &l0 lol\n{levels}train: images/train\nnames: *l39\n", {"train/a": "0 .5 .5 1 1"})
    with pytest.raises(DatasetError, match=r"data\.yaml:39: expected one value, received a list"):
        read_yolo(root)


def test_read_yolo_refuses_a_list_that_names_a_missing_image(yolo):
    root = yolo(f"{NAMES}train: train.txt\n", {"x/a": "0 .5 .5 1 1"})
    (root / "train.txt").write_text("images/x/a.png\nimages/x/b.png\n")
    with pytest.raises(DatasetError, match=r"train\.txt:2: there is no image 'images/x/b\.png'"):
        read_yolo(root)


def test_read_yolo_refuses_labels_without_an_image(yolo):
    root = one(yolo, "0 .5 .5 1 1")
    for name in ("classes.txt", "README.dataset.txt"):
        (root / "labels" / "train" / name).write_text("cat\ndog\n")
    read_yolo(root)
    (root / "labels" / "train" / "b.txt").write_text("0 .5 .5 1 1")
    with pytest.raises(DatasetError, match=r"labels/train/b\.txt:1: no image 'b' in"):
        read_yolo(root)


def test_read_yolo_names_the_line_that_is_not_utf8(yolo):
    root = one(yolo, "")
    (root / "labels" / "train" / "a.txt").write_bytes(b"0 .5 .5 1 1\n\xff")
    with pytest.raises(DatasetError, match=r"a\.txt:2: expected UTF-8"):
        read_yolo(root)


def test_two_configs_are_refused_unless_one_is_data_yaml(yolo):
    root = one(yolo, "0 .5 .5 1 1")
    for name in ("a.yaml", "b.yaml"):
        (root / name).write_text((root / "data.yaml").read_text())
    assert read_yolo(root).labels == ("cat", "dog")
    (root / "data.yaml").unlink()
    with pytest.raises(DatasetError, match=r"received .*a\.yaml and .*b\.yaml\. To name it, write yolo:FILE"):
        read_yolo(root)
    assert load_dataset(f"yolo:{root / 'a.yaml'}").labels == ("cat", "dog")


def test_faults_are_all_kept_and_left_out_on_demand(yolo):
    root = one(yolo, "0 .5 .5 1 1\n0 .5 .5\n7 .5 .5 1 1\n0 .5 .5 0 1\n1 2 2 2 2")
    dataset = read_yolo(root, faults := Faults(keep=True))
    assert [len(image) for image in dataset.select("all").targets.images] == [1]
    kinds = {"objects that cannot be read": 2, "unknown classes": 1, "boxes without area": 1}
    assert Counter(fault.kind for fault in faults.errors) == kinds


def test_read_yolo_says_what_to_install(yolo, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"pyyaml is not installed.*edgecnn\[evaluate\]"):
        read_yolo(one(yolo, "0 .5 .5 1 1"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data sets in ../shared/data")
def test_read_yolo_counts_the_rows_of_coco128():
    dataset = read_yolo(SHARED / "coco128", faults := Faults(keep=True))
    everything = dataset.select("all")
    rows = Counter(
        line.split()[0]
        for path in everything.sources
        if (file := SHARED / "coco128" / "labels" / "train2017" / f"{path.stem}.txt").exists()
        for line in file.read_text().splitlines()
    )
    counted = Counter(str(class_id) for image in everything.targets.images for class_id in image.class_ids)
    assert (len(everything), counted) == (128, rows)
    assert [Path(fault.message.split(":")[0]).name for fault in faults.errors] == [
        "000000000656.txt",
        "000000000659.txt",
    ]


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"], ids=["long", "null"])
def test_names_that_no_file_can_have_are_missing_files(yolo, name):
    root = yolo(f"{NAMES}path: {'y' * 5000}\ntrain: train.txt\n", {"x/a": "0 .5 .5 1 1"})
    (root / "train.txt").write_text(f"{name}\n")
    with pytest.raises(DatasetError, match=r"train\.txt:1: there is no image"):
        read_yolo(root)
    (root / "data.yaml").write_text(f"{NAMES}train: {'z' * 5000}\n")
    with pytest.raises(DatasetError, match=r"data\.yaml:2: expected a folder or a list of images as train"):
        read_yolo(root)
