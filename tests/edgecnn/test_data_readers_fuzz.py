"""Damaged labels end in an error of ours, whatever the damage."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgecnn.data.coco import read_coco
from edgecnn.data.faults import Faults
from edgecnn.data.masks import read_masks
from edgecnn.data.voc import read_voc
from edgecnn.data.yolo import read_yolo
from edgecnn.errors import DatasetError


def encoded(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


XML = b"""<annotation><size><width>20</width><height>12</height></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"""
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 12}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat"}],
    }
).encode()
YAML = b"path: .\ntrain: images\nval: [images]\nnc: 1\nnames: {0: cat}\n"
MASK_YAML = b"names: {0: a, 1: b}\nignore: [255]\ntrain: {images: images, masks: masks}\n"
FILES = {
    "voc": (read_voc, ".", "a.xml", XML),
    "coco": (read_coco, "a.json", "a.json", COCO),
    "yolo": (read_yolo, "data.yaml", "data.yaml", YAML),
    "mask yaml": (read_masks, "masks.yaml", "masks.yaml", MASK_YAML),
    "mask": (read_masks, "masks.yaml", "masks/a.png", encoded(Image.new("L", (20, 12), 1))),
    "rows": (read_yolo, "data.yaml", "labels/a.txt", b"0 0.5 0.5 0.25 0.25\n0 .1 .1 .1 .1\n"),
}
PIECES = [
    b"",
    b"\0",
    b"\xff",
    b"1e999",
    b"NaN",
    b"-1",
    b"null",
    b"[",
    b"{",
    b"<",
    b"&x;",
    b"9" * 400,
    b"\n",
    b"..",
    b"/",
    b'"',
]
damages = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("images", "labels", "masks"):
        (folder / name).mkdir()
    Image.new("RGB", (20, 12)).save(folder / "a.png")
    Image.new("RGB", (20, 12)).save(folder / "images" / "a.png")
    return folder


def put(root: Path, kind: str, content: bytes) -> None:
    for name in ("a.xml", "a.json", "data.yaml", "masks.yaml", "labels/a.txt"):
        (root / name).unlink(missing_ok=True)
    (root / "masks" / "a.png").write_bytes(FILES["mask"][3])
    if kind == "mask":
        (root / "masks.yaml").write_bytes(MASK_YAML)
    if kind == "rows":
        (root / "data.yaml").write_bytes(YAML)
    (root / FILES[kind][2]).write_bytes(content)


def refusal(read, path: Path, *, keep: bool) -> str:
    """What a reader says against a file; empty where it takes it."""
    try:
        assert read(path, Faults(keep=keep)).labels
    except DatasetError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", FILES)
@given(damages)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_labels_are_read_or_refused(root, kind, keep, damage):
    read, path, _, content = FILES[kind]
    for start, length, piece in damage:
        at = start % (len(content) + 1)
        content = content[:at] + piece + content[at + length :]
    put(root, kind, content)
    said = refusal(read, root / path, keep=keep)
    assert "\n" not in said
    assert not said or str(root) in said


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "place", [(key, field) for key, item in json.loads(COCO).items() for field in (None, *item[0])], ids=str
)
@given(JSON)
@settings(max_examples=5)
def test_any_value_in_cocos_json_is_read_or_refused(root, place, keep, value):
    tree, (key, field) = json.loads(COCO), place
    if field is None:
        tree[key] = value
    else:
        tree[key][0][field] = value
    put(root, "coco", json.dumps(tree).encode())
    said = refusal(read_coco, root / "a.json", keep=keep)
    assert not said or said.startswith(str(root))
