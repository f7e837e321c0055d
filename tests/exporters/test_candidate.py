import ast
import dataclasses

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_exporters.candidate import foreign_entries, metadata, trailer
from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

MANIFEST = Manifest(
    "classification",
    ModelInfo("test", 1.0),
    (ImageInput("image", 28, 30, "gray"),),
    ("zero", "one"),
    SoftmaxDecoder(),
    (OutputSpec("logits", (2,)),),
)


def with_image(**changes):
    return dataclasses.replace(MANIFEST, inputs=(dataclasses.replace(MANIFEST.image_input, **changes),))


def test_foreign_entries_describe_the_image_as_the_onnx_standard_says():
    entries = foreign_entries(MANIFEST)
    assert entries["Image.BitmapPixelFormat"] == "Gray8"
    assert entries["Image.NominalPixelRange"] == "NominalRange_0_255"
    assert foreign_entries(with_image(color="rgb"))["Image.BitmapPixelFormat"] == "Rgb8"


def test_foreign_entries_are_what_yolo_runtimes_read():
    entries = foreign_entries(MANIFEST)
    assert entries["task"] == "classify"
    assert ast.literal_eval(entries["names"]) == {0: "zero", 1: "one"}
    assert ast.literal_eval(entries["imgsz"]) == [28, 30]


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_foreign_entries_keep_any_label(labels):
    entries = foreign_entries(dataclasses.replace(MANIFEST, labels=tuple(labels)))
    assert ast.literal_eval(entries["names"]) == dict(enumerate(labels))


@pytest.mark.parametrize(
    ("manifest", "missing"),
    [(dataclasses.replace(MANIFEST, labels=None), "names"), (with_image(height=None, multiple_of=32), "imgsz")],
)
def test_foreign_entries_leave_out_what_the_manifest_leaves_open(manifest, missing):
    assert missing not in foreign_entries(manifest)


def test_metadata_holds_the_manifest():
    assert Manifest.from_json(metadata(MANIFEST)["edgecnn.manifest"]) == MANIFEST


def test_trailer_is_read_by_onnx_in_sorted_order():
    keys = [entry.key for entry in onnx.load_from_string(trailer(MANIFEST)).metadata_props]
    assert keys == sorted(keys)
    assert set(keys) >= set(metadata(MANIFEST))


def test_trailer_holds_only_metadata():
    fields = [field.name for field, _ in onnx.load_from_string(trailer(MANIFEST)).ListFields()]
    assert fields == ["metadata_props"]
