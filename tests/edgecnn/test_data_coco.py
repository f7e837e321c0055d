import contextlib
import io
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgecnn.data.coco import read_coco
from edgecnn.data.faults import Faults
from edgecnn.data.load import load_dataset
from edgecnn.errors import DatasetError

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]  # in no order, and with holes


def tree_of(*boxes, images=2, **changes):
    """COCO's JSON: of each box the image's id and x y width height; its class by turns."""
    tree = {
        "images": [{"id": 10 + i, "file_name": f"{i}.png", "width": 20, "height": 12} for i in range(images)],
        "annotations": [
            {"id": 100 + i, "image_id": image, "category_id": (3, 7)[i % 2], "bbox": list(box), "iscrowd": 0}
            for i, (image, *box) in enumerate(boxes)
        ],
        "categories": CATEGORIES,
    }
    return {**tree, **changes}


GOOD = tree_of((10, 1, 2, 3, 4), (10, 0.5, 0, 19.5, 12), (11, 5, 5, 1, 1))


@pytest.fixture
def coco(tmp_path):
    """Writes a JSON file, and the images that it names into a folder."""

    def write(tree, file="instances.json", images=".", root=tmp_path):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        (root / images).mkdir(parents=True, exist_ok=True)
        path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
        for index in range(0 if isinstance(tree, str) else len(tree["images"])):
            Image.new("RGB", (20, 12), (index, 0, 0)).save(root / images / f"{index}.png")
        return path

    return write


def objects_of(dataset):
    """The objects of each image, in the order of the files' names."""
    return [objects for _, objects in sorted(dataset.select("all"), key=lambda sample: sample[0])]


def changed(key, index, **values):
    """GOOD with one item of a list changed."""
    tree = json.loads(json.dumps(GOOD))
    tree[key][index].update(values)
    return tree


def test_labels_are_the_names_by_id_and_boxes_have_corners(coco):
    dataset = read_coco(coco(GOOD))
    first, second = objects_of(dataset)
    assert dataset.labels == ("cat", "dog")
    assert first.boxes.tolist() == [[1, 2, 4, 6], [0.5, 0, 20, 12]]
    assert (first.class_ids.tolist(), second.class_ids.tolist()) == ([0, 1], [0])


def test_crowds_are_kept_as_such(coco):
    dataset = read_coco(coco(changed("annotations", 1, iscrowd=1, segmentation={"counts": [1], "size": [12, 20]})))
    assert objects_of(dataset)[0].crowd.tolist() == [False, True]


def test_images_without_annotations_are_counted(coco):
    dataset = read_coco(coco(tree_of((10, 1, 2, 3, 4), images=3)), faults := Faults())
    assert sorted(len(image) for image in dataset.select("all").targets.images) == [0, 0, 1]
    assert [fault.kind for fault in faults.notes] == ["images without labels"] * 2


@pytest.mark.parametrize(
    ("train", "val", "images"),
    [
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json", ("train2017", "val2017")),
        (
            "annotations/instances_train2017.json",
            "annotations/instances_val2017.json",
            ("images/train2017", "images/val2017"),
        ),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json", ("train", "valid")),
        ("annotations/train.json", "annotations/val.json", ("images/train", "images/val")),
        ("train.json", "val.json", ("images", "images")),
    ],
)
def test_parts_and_images_are_found_in_the_usual_places(coco, tmp_path, train, val, images):
    coco(GOOD, train, images[0])
    coco(tree_of((10, 1, 2, 3, 4), images=1), val, images[1])
    (tmp_path / "annotations").mkdir(exist_ok=True)
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps(GOOD))
    dataset = load_dataset(str(tmp_path))
    assert [(part.part, len(part)) for part in dataset.parts] == [("train", 2), ("val", 1)]
    assert load_dataset(dataset.location).fingerprint == dataset.fingerprint


def test_a_file_alone_is_recognised(coco):
    assert load_dataset(str(coco(GOOD, "labels.json"))).labels == ("cat", "dog")


def test_a_file_alone_finds_images_beside_annotations(coco):
    path = coco(GOOD, "annotations/instances_train2017.json", "train2017")
    assert len(load_dataset(str(path)).select("all")) == 2


def test_questions_are_not_taken_for_coco(tmp_path):
    (tmp_path / "questions.json").write_text('[["what?", "blue", 0]]')
    with pytest.raises(DatasetError, match="holds no data that is known"):
        load_dataset(str(tmp_path))


BAD = [
    (changed("annotations", 1, bbox=[1, 1, 0, 5]), r"annotations\[1\] \(id 101\): expected a bbox of positive width"),
    (changed("annotations", 1, bbox=[9, 1, -5, 5]), r"annotations\[1\] \(id 101\): expected a bbox of positive width"),
    (changed("annotations", 2, bbox=[9, 9, 15, 3]), r"\[2\] \(id 102\): expected a box inside the image of 20"),
    (changed("annotations", 0, bbox=[1, 1, 3]), r"annotations\[0\] \(id 100\): expected bbox as four numbers"),
    (changed("annotations", 0, bbox=[1, 1, "3", 4]), "expected bbox as four numbers"),
    (changed("annotations", 0, bbox=[1, 1, 10**400, 4]), "expected bbox as four numbers"),
    (changed("annotations", 0, category_id=4), r"\(id 100\): expected the id of a named category .* 4$"),
    (changed("annotations", 0, image_id=99), r"\[0\] \(id 100\): expected the id of an image .* received 99"),
    (changed("annotations", 1, id=100), r"s\[1\] \(id 100\): expected each id once, .* annotations\[0\] again"),
    (changed("annotations", 1, id=None), r"annotations\[1\]: expected an integer as id, received None"),
    (changed("annotations", 1, iscrowd=2), "expected 0 or 1 as iscrowd, received 2"),
    (changed("images", 1, id=10), r"images\[1\] \(id 10\): expected each id once"),
    (changed("images", 1, file_name="0.png"), r"images\[1\] \(id 11\): expected each file once, received 0\.png"),
    (changed("images", 1, file_name="none.png"), r"images\[1\] \(id 11\): no image 'none\.png' in"),
    (changed("images", 1, file_name="x" * 5000), r"images\[1\] \(id 11\): no image 'xxx"),
    (changed("images", 1, file_name="../0.png"), r"images\[1\] \(id 11\): expected a relative path as file_name"),
    (changed("images", 1, width=12, height=20), r"\(id 11\): expected the size of 1\.png, 20 x 12 .* stored"),
    (changed("images", 1, width=None), r"images\[1\] \(id 11\): expected integers as height and width"),
    (changed("categories", 1, name=None), r"categories\[1\] \(id 3\): expected a name, received None"),
    (changed("categories", 1, name="dog"), r"categories\[1\] \(id 3\): expected each name once, received 'dog' again"),
    (changed("categories", 1, id=7), r"categories\[1\] \(id 7\): expected each id once"),
    ({**GOOD, "annotations": [5]}, r"annotations\[0\]: expected an object, received 5"),
    ({**GOOD, "images": {}}, "expected an object with the lists images, annotations, categories"),
    ({**GOOD, "categories": []}, "expected categories, received none"),
    (tree_of(images=0), "expected images in the all part, received none"),
    ('{"images": [],\n"annotations": [,]}', r"instances\.json:2: expected JSON, received Expecting value"),
    ('{"images": [NaN]}', "NaN is no JSON number"),
    (json.dumps({**GOOD, "images": [np.inf]}).replace("Infinity", "1e999"), r"images\[0\]: expected an object, .* inf"),
    ('{"images": [], "images": []}', "the key 'images' stands twice"),
    ('{"images": ' + "[" * 200_000, "expected JSON of COCO, received maximum recursion depth"),
    ("", r"instances\.json:1: expected JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "said"), BAD, ids=[said[:60] for _, said in BAD])
def test_read_coco_refuses_with_file_and_item(coco, tree, said):
    with pytest.raises(DatasetError, match=said) as caught:
        read_coco(path := coco(tree))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_read_coco_names_the_line_that_is_not_utf8(coco):
    path = coco(GOOD)
    path.write_bytes(b'{"images":\n"\xff"}')
    with pytest.raises(DatasetError, match=r"instances\.json:2: expected UTF-8, received the byte 0xff"):
        read_coco(path)


def test_read_coco_refuses_a_category_that_train_does_not_have(coco, tmp_path):
    coco(GOOD, "train.json", "images")
    other = {**GOOD, "categories": [*CATEGORIES[:1], {"id": 3, "name": "cart"}]}
    coco(other, "val.json", "images")
    with pytest.raises(
        DatasetError, match=r"val\.json: annotations\[0\] .*expected one of cat, dog .*train\.json.*'cart'"
    ):
        read_coco(tmp_path)


def test_two_files_of_one_part_are_refused(coco, tmp_path):
    coco(GOOD, "train_a.json")
    coco(GOOD, "train_b.json")
    with pytest.raises(DatasetError, match="expected one train part, received"):
        read_coco(tmp_path)


def test_faults_are_all_kept_and_left_out_on_demand(coco):
    tree = changed("annotations", 0, bbox=[1, 1, 0, 0])
    tree["annotations"][1]["category_id"] = 99
    dataset = read_coco(coco(tree), faults := Faults(keep=True))
    assert [len(image) for image in objects_of(dataset)] == [0, 1]
    assert Counter(fault.kind for fault in faults.errors) == {"boxes without area": 1, "unknown classes": 1}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 15), st.integers(0, 8), st.integers(1, 4)), max_size=12))
@settings(max_examples=15)
def test_read_coco_finds_what_pycocotools_finds(tmp_path_factory, marks):
    coco_module = pytest.importorskip("pycocotools.coco")
    root = tmp_path_factory.mktemp("coco")
    tree = tree_of(*((10 + image, x, y, side, side) for image, x, y, side in marks), images=6)
    for index in range(6):
        Image.new("RGB", (20, 12), (index, 0, 0)).save(root / f"{index}.png")
    (root / "all.json").write_text(json.dumps(tree))
    dataset = read_coco(root / "all.json")
    with contextlib.redirect_stdout(io.StringIO()):
        oracle = coco_module.COCO(str(root / "all.json"))
    names = {key: item["name"] for key, item in oracle.cats.items()}
    for path, objects in dataset.select("all"):
        (image,) = (item for item in oracle.imgs.values() if item["file_name"] == path.name)
        found = oracle.loadAnns(oracle.getAnnIds([image["id"]]))
        assert [dataset.labels[i] for i in objects.class_ids] == [names[one["category_id"]] for one in found]
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        assert np.hstack([objects.boxes[:, :2], sides]).tolist() == [one["bbox"] for one in found]
