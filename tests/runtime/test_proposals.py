"""Regions that others propose: the manifest's input, how boxes are read, and the ways to give them."""

import numpy as np
import pytest

from edgecnn_runtime.decoders import OutputSpec, RegionsDecoder, SoftmaxDecoder
from edgecnn_runtime.errors import ManifestError, ProposalsError
from edgecnn_runtime.inputs import Inputs
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.proposals import ProposalsInput, windows, windows_over
from edgecnn_runtime.results import Failure
from edgecnn_runtime.session import TensorInfo

COUNT, SIZE = 4, (32, 64)
PIXELS = np.zeros((1, *SIZE, 3), np.uint8)
HALVED = Placement((80, 100), (0.5, 0.5), (4.0, 6.0))  # (vertical, horizontal)
SPEC = ProposalsInput("proposals", COUNT)


def make_manifest(**changes):
    parts = {
        "task": "detection",
        "model": ModelInfo("rcnn", 1.0),
        "inputs": (ImageInput("image", *SIZE, "rgb", "letterbox", None, 127), SPEC),
        "labels": ("cat", "dog"),
        "decoder": RegionsDecoder(()),
        "outputs": (
            OutputSpec("regions", (COUNT, 4)),
            OutputSpec("valid", ()),
            OutputSpec("logits", (COUNT, 3)),
            OutputSpec("shifts", (COUNT, 2, 4)),
        ),
    }
    return Manifest(**{**parts, **changes})


class Session:
    """A graph that is sure of a dog in each region that it is given."""

    provider, batch, lost, settings = "CPUExecutionProvider", None, False, ()
    inputs = (
        TensorInfo("image", ("N", *SIZE, 3), np.dtype("uint8")),
        TensorInfo("proposals", ("N", COUNT, 4), np.dtype("float32")),
    )
    outputs = tuple(TensorInfo(one.name, ("N", *one.shape), np.dtype("float32")) for one in make_manifest().outputs)

    def run(self, feeds, settings=None):
        del settings
        regions = feeds["proposals"]
        logits = np.tile(np.float32([0, 9, 0]), (*regions.shape[:2], 1))
        shifts = np.zeros((*regions.shape[:2], 2, 4), np.float32)
        valid = (regions[..., 2] > 0).sum(axis=1).astype(np.float32)
        return {"regions": regions, "valid": valid, "logits": logits, "shifts": shifts}


@pytest.fixture
def predictor():
    return Predictor(Session(), make_manifest(), None)


def test_the_manifest_survives_its_own_text():
    manifest = make_manifest()
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.proposals_input == SPEC


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": (ImageInput("image", *SIZE, "rgb", "letterbox", None, 127),)}, "an image and a proposals"),
        ({"decoder": RegionsDecoder(((4.0, 4.0),))}, "expected one input, an image"),
        ({"inputs": (make_manifest().image_input, ProposalsInput("proposals", 5))}, "a row for each of 5 regions"),
        (
            {"inputs": (make_manifest().image_input, ProposalsInput("proposals", 0))},
            "expected a count from 1 to 10,000",
        ),
        ({"inputs": (make_manifest().image_input, ProposalsInput("image", COUNT))}, "of different names"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        make_manifest(**changes)


def test_a_classifier_takes_no_regions():
    with pytest.raises(ManifestError, match="expected one input, an image"):
        make_manifest(task="classification", decoder=SoftmaxDecoder(), outputs=(OutputSpec("logits", (2,)),))


def test_boxes_of_the_picture_are_brought_to_the_input_and_cut_at_its_borders():
    found = SPEC.read([[10, 20, 30, 40], [-50, -50, 900, 900]], PIXELS, HALVED)
    assert found.dtype == np.float32
    assert found.tolist() == [[[11, 14, 21, 24], [0, 0, 64, 32], [0, 0, 0, 0], [0, 0, 0, 0]]]


def test_a_proposer_speaks_of_the_pixels_themselves():
    shown = []

    def propose(pixels):
        shown.append(pixels)
        return np.float32([[1, 2, 3, 4]])

    assert SPEC.read(propose, PIXELS, HALVED)[0, 0].tolist() == [1, 2, 3, 4]
    assert [one.shape for one in shown] == [(*SIZE, 3)]


def test_boxes_beside_the_picture_or_thinner_than_a_pixel_make_room_for_others():
    beside, thin, rest = [200, 0, 300, 50], [10, 20, 11, 40], [[0, 0, 20 + n, 20] for n in range(6)]
    found = SPEC.read([beside, thin, *rest], PIXELS, Placement(SIZE, (1.0, 0.5), (0.0, 0.0)))
    assert found[0].tolist() == [[0, 0, (20 + n) / 2, 20] for n in range(COUNT)]


@pytest.mark.parametrize("nothing", [[], (), np.zeros((0, 4)), lambda _: np.zeros((0, 4))])
def test_no_boxes_are_none(nothing):
    assert not SPEC.read(nothing, PIXELS, HALVED).any()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], r"shape \(P, 4\), received shape \(1, 3\)"),
        ([1, 2, 3, 4], r"received shape \(4,\)"),
        ([[1, 2, 3, 4], [5, 5, 5, 9]], r"expected x1 < x2 and y1 < y2 .* received \[5.0, 5.0, 5.0, 9.0\]"),
        ([[1, 2, 3, float("nan")]], "expected x1 < x2"),
        ([["a", 2, 3, 4]], "expected boxes x1, y1, x2, y2, received"),
        ([[1, 2, 3, 4], [1, 2]], "expected boxes x1, y1, x2, y2, received"),
        ({"a": 1}, "expected boxes"),
        (lambda _: np.zeros((2, 5)), r"shape \(2, 5\)"),
    ],
)
def test_what_is_no_box_is_refused(boxes, message):
    with pytest.raises(ProposalsError, match=message):
        SPEC.read(boxes, PIXELS, HALVED)


def test_windows_cover_a_picture_in_four_sizes():
    boxes = windows_over((80, 160))
    assert boxes.tolist() == windows(np.zeros((80, 160, 3))).tolist()
    sides, counts = np.unique(boxes[:, 2:] - boxes[:, :2], axis=0, return_counts=True)
    assert dict(zip(map(tuple, sides.tolist()), counts.tolist(), strict=True)) == {
        (160.0, 80.0): 1, (80.0, 40.0): 9, (40.0, 20.0): 49, (20.0, 10.0): 225,
    }  # fmt: skip
    assert boxes.min() == 0
    assert boxes.max(axis=0).tolist() == [140, 70, 160, 80]
    assert len(np.unique(boxes, axis=0)) == len(boxes)


def test_predict_answers_in_pixels_of_the_picture(predictor):
    picture = np.zeros((64, 128, 3), np.uint8)
    found = predictor.predict(picture, proposals=[[20, 10, 60, 50]])
    assert found.class_ids.tolist() == [1]
    np.testing.assert_allclose(found.boxes, [[20, 10, 60, 50]], atol=1e-4)
    assert len(predictor.predict(picture, proposals=[])) == 0


def test_a_batch_has_an_entry_an_image_or_one_function(predictor):
    pictures = [np.zeros((*SIZE, 3), np.uint8)] * 3
    found = predictor.predict_batch(pictures, proposals=[[[0, 0, 9, 9]], [[5, 5, 30, 30], [40, 0, 60, 20]], []])
    assert [len(one) for one in found] == [1, 2, 0]
    assert [len(one) for one in predictor.predict_batch(pictures, proposals=lambda _: [[0, 0, 9, 9]])] == [1] * 3
    with pytest.raises(ProposalsError, match="expected one entry an image, 3, received 2"):
        predictor.predict_batch(pictures, proposals=[[], []])


def test_a_stream_takes_boxes_by_path_or_by_the_last_part_of_it(predictor, tmp_path):
    from PIL import Image

    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (64, 32)).save(tmp_path / name)
    boxes = {"a.png": [[0, 0, 9, 9]], str(tmp_path / "b.png"): [[0, 0, 9, 9], [20, 0, 40, 30]], "b.png": []}
    first, second, third = predictor.stream(tmp_path, proposals=boxes)
    assert (len(first), len(second)) == (1, 2)
    assert isinstance(third, Failure)
    assert third.kind == "proposals"
    assert "received none" in third.message


def test_a_graph_that_takes_another_number_of_regions_is_refused():
    session = Session()
    session.inputs = (Session.inputs[0], TensorInfo("proposals", ("N", COUNT + 1, 4), np.dtype("float32")))
    with pytest.raises(ManifestError, match=r"input 'proposals' shape .* expected \(4, 4\) .* received \(5, 4\)"):
        Predictor(session, make_manifest(), None)


def test_bad_boxes_are_a_failure_of_that_image_alone(predictor):
    pictures = [np.zeros((*SIZE, 3), np.uint8)] * 2
    first, second = predictor.predict_batch(pictures, proposals=[[[9, 9, 1, 1]], [[0, 0, 9, 9]]])
    assert isinstance(first, Failure)
    assert len(second) == 1


@pytest.mark.parametrize("ask", ["predict", "predict_batch", "stream"])
def test_a_model_that_looks_at_regions_needs_some(predictor, ask):
    picture = np.zeros((*SIZE, 3), np.uint8)
    with pytest.raises(ProposalsError, match="expected up to 4 boxes of the picture") as caught:
        getattr(predictor, ask)(picture if ask == "predict" else [picture])
    assert caught.value.exit_code == 2


def test_a_model_that_takes_none_refuses_them():
    image = make_manifest().image_input
    inputs = Inputs(
        make_manifest(
            task="classification", inputs=(image,), decoder=SoftmaxDecoder(), outputs=(OutputSpec("logits", (2,)),)
        )
    )
    with pytest.raises(ProposalsError, match="expected none, since this model takes an image alone"):
        inputs.check_proposals([])
