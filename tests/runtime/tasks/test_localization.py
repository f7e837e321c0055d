import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgecnn_runtime.decoders import LocationDecoder, OutputSpec
from edgecnn_runtime.errors import ManifestError, OutputError, SessionError
from edgecnn_runtime.evidence import LocationParity
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement, Preprocessor
from edgecnn_runtime.tasks.localization import LOCALIZATION, Localization
from edgecnn_runtime.tasks.scores import softmax
from edgecnn_runtime.tasks.table import decode, get_task

LOGITS = np.array([[0, 1, 2], [2, 1, 0]], np.float32)
MIDDLE = np.sqrt(np.float32([[0.25, 0.25, 0.5, 0.5]] * 2))  # centre .5, .5, and sides of a half
PLACEMENTS = [Placement((80, 60), (0.1, 0.1), (0.0, 0.0)), Placement((16, 12), (0.5, 0.5), (0.0, 0.0))]


@pytest.fixture(scope="session")
def make_locator(make_manifest):
    """The manifest of a localizer of 8 x 6 gray pixels, with changed fields."""

    def make(classes=3, **changes):
        outputs = (OutputSpec("logits", (classes,)), OutputSpec("boxes", (4,)))
        fields = {"task": "localization", "decoder": LocationDecoder(), "outputs": outputs, **changes}
        return make_manifest(**fields)

    return make


def located(**changes):
    fields = {
        "scores": np.float32([0.25, 0.75]),
        "box": np.float32([10, 20, 30, 50]),
        "labels": ("cat", "dog"),
        "shape": (100, 50),
        **changes,
    }
    return Localization(**fields)


def test_decode_gives_one_class_and_one_box_an_image(make_locator):
    results = decode(make_locator(), {"logits": LOGITS, "boxes": MIDDLE}, PLACEMENTS)
    assert [result.label for result in results] == ["two", "zero"]
    np.testing.assert_array_equal([result.scores for result in results], softmax(LOGITS))
    np.testing.assert_allclose([result.box for result in results], [[15, 20, 45, 60], [3, 4, 9, 12]], rtol=1e-5)
    assert [result.shape for result in results] == [(80, 60), (16, 12)]


def test_decode_takes_what_is_beyond_the_input_as_its_edge(make_locator):
    boxes = np.float32([[-1, 0.5, -0.5, 9], [0.5, 0.5, 2, 2]])
    results = decode(make_locator(), {"logits": LOGITS, "boxes": boxes}, PLACEMENTS)
    assert results[0].box.tolist() == [0, 0, 1, 80]  # of no width: the nearest pixel's
    assert results[1].box.tolist() == [0, 0, 12, 16]


@pytest.mark.parametrize("output", ["logits", "boxes"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_decode_never_reads_an_answer_from_invalid_outputs(make_locator, output, value):
    outputs = {"logits": LOGITS.copy(), "boxes": MIDDLE.copy()}
    outputs[output][1, 2] = value
    with pytest.raises(OutputError, match=f"output '{output}': expected finite numbers, received 1 NaN"):
        decode(make_locator(), outputs, PLACEMENTS)


def test_decode_names_boxes_that_are_missing(make_locator):
    with pytest.raises(SessionError, match="expected 'boxes'"):
        decode(make_locator(), {"logits": LOGITS}, PLACEMENTS)


def test_decode_scores_a_single_class_with_one(make_locator):
    manifest = make_locator(classes=1, labels=("raccoon",))
    assert (manifest.num_classes, Manifest.from_json(manifest.to_json())) == (1, manifest)
    (result,) = decode(manifest, {"logits": np.float32([[-3]]), "boxes": MIDDLE[:1]}, PLACEMENTS[:1])
    assert (result.label, result.score) == ("raccoon", 1.0)
    found = LOCALIZATION.agreement(result, result)
    assert (found.same, found.margin, found.differences) == (True, np.inf, {"scores": 0.0, "boxes": 0.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": (OutputSpec("logits", (3,)),)}, "reads output 'boxes', but the outputs are"),
        ({"outputs": (OutputSpec("logits", (3,)), OutputSpec("boxes", (5,)))}, r"expected shape \(4,\), one box an"),
        ({"height": None, "multiple_of": 8}, "expected a fixed height and width, which the boxes"),
        ({"task": "classification"}, "expected a decoder for classification, received 'location'"),
        ({"labels": ("one", "two")}, "expected 3 labels for output 'logits', received 2"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(make_locator, changes, message):
    with pytest.raises(ManifestError, match=message):
        make_locator(**changes)


def test_predictions_are_one_by_default_and_further_classes_share_its_box():
    box = {"x1": 10.0, "y1": 20.0, "x2": 30.0, "y2": 50.0}
    best = {"name": "dog", "class": 1, "confidence": 0.75, "box": box}
    assert located().predictions() == located().to_dict()["predictions"] == [best]
    assert located().to_dict(2)["predictions"] == [best, {"name": "cat", "class": 0, "confidence": 0.25, "box": box}]
    assert json.loads(json.dumps(located().to_dict()))["task"] == "localization"
    assert located(labels=None).predictions()[0]["name"] is None


def test_lines_say_class_score_and_place():
    assert located().lines() == ["dog 0.7500 at (10.0, 20.0, 30.0, 50.0)"]
    assert located(labels=None).lines(2) == ["class 1 0.7500 at (10.0, 20.0, 30.0, 50.0)", "class 0 0.2500"]


@pytest.mark.parametrize("size", [(50, 100), (500, 1000)])
def test_draw_marks_the_edges_of_the_box_and_changes_nothing_far_from_it(size):
    scale = size[0] // 50
    result = located(box=np.float32([20, 40, 40, 90]) * scale, shape=size[::-1])
    drawn = np.asarray(result.draw(Image.new("RGB", size, "white")))
    factor = drawn.shape[1] // size[0]
    changed = (drawn != 255).any(axis=-1)
    columns = [at * scale * factor for at in (20, 40)]
    rows = [at * scale * factor for at in (40, 90)]
    middle = (rows[0] + rows[1]) // 2
    assert changed[middle, columns[0]]
    assert changed[middle, columns[1] - 1]
    assert not changed[middle, (columns[0] + columns[1]) // 2]
    assert not changed[: rows[0] // 2].any()
    assert not changed[rows[1] + 1 :].any()


def test_agreement_is_what_the_iou_lacks_of_one():
    found = LOCALIZATION.agreement(located(), located(box=np.float32([10, 20, 30, 35]), scores=np.float32([0.5, 0.5])))
    assert found.differences == found.relative | {"scores": 0.25} == {"scores": 0.25, "boxes": 0.5}
    assert not found.same
    assert found.relative["scores"] == pytest.approx(0.25 / 0.75)


def test_parity_holds_the_least_iou():
    parity = LOCALIZATION.parity(4, 3, {"scores": 0.125, "boxes": 0.25}, 4)
    assert parity == LocationParity(4, 0.75, 0.125, 0.75)
    assert parity.agreement == 0.75
    assert parity.summary() == "top-1 agreement 0.7500, least IoU 0.7500 on 4 images"


def test_hold_keeps_edges_as_parts_of_the_image():
    held = LOCALIZATION.hold(located(), 1)
    assert (held.words, held.told) == ({"class 1": "'dog'"}, "'dog' 0.7500 at (10.0, 20.0, 30.0, 50.0)")
    edges = {"x1 of the box": 0.2, "y1 of the box": 0.2, "x2 of the box": 0.6, "y2 of the box": 0.5}
    assert held.numbers == pytest.approx({"score of class 1": 0.75, "best score": 0.75, **edges})
    assert set(LOCALIZATION.hold(located()).words) == {"class 0", "class 1"}


SIZES = st.tuples(st.integers(8, 300), st.integers(8, 300))


@given(
    size=SIZES,
    target=st.tuples(st.integers(16, 64), st.integers(16, 64)),
    fit=st.sampled_from(["stretch", "letterbox", "center_crop"]),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_comes_back_through_any_placement(make_locator, size, target, fit, corners):
    """What a perfect network answers is the box again, as far as its input shows it."""
    options = {"letterbox": {"pad_value": 0}, "center_crop": {"crop_fraction": 0.9}}.get(fit, {})
    manifest = make_locator(height=target[0], width=target[1], resize=fit, **options)
    height, width = size
    _, placement = Preprocessor(manifest.image_input)(np.zeros(size, np.uint8))
    (left, right), (top, bottom) = (sorted(pair) for pair in (corners[:2], corners[2:]))
    box = np.array([left * width, top * height, right * width, bottom * height])

    in_input = placement.to_input(box.reshape(2, 2)).clip(0, target[::-1])
    shown = placement.to_image(in_input).reshape(4)
    if min(shown[2:] - shown[:2]) < 1:
        return  # of less than a pixel: see test_boxes.py
    parts = in_input / target[::-1]
    raw = np.float32([[*parts.mean(axis=0), *np.sqrt(parts[1] - parts[0])]])
    (result,) = decode(manifest, {"logits": LOGITS[:1], "boxes": raw}, [placement])
    np.testing.assert_allclose(result.box, shown, atol=1e-3 * max(size))
    if fit != "center_crop":
        np.testing.assert_allclose(result.box, box, atol=1e-3 * max(size))


def test_a_turned_photo_gives_the_box_of_the_upright_one(make_locator, photo, encode):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    upright = photo(30, 60)
    manifest = make_locator(height=16, width=16, resize="letterbox", pad_value=0)
    preprocess = Preprocessor(manifest.image_input)
    placements = [
        preprocess(encode(picture, "PNG", **options))[1]
        for picture, options in ((upright, {}), (upright.transpose(Image.Transpose.ROTATE_90), {"exif": exif}))
    ]
    results = decode(manifest, {"logits": LOGITS, "boxes": MIDDLE}, placements)
    assert results[0].shape == results[1].shape == (30, 60)
    assert results[0].box.tolist() == results[1].box.tolist() == pytest.approx([15, 0, 45, 30], abs=1e-4)


def test_a_task_that_is_not_used_is_not_imported(model_path, photo, encode, run_python):
    model_path.with_name("a.png").write_bytes(encode(photo()))
    code = """
        import sys
        from edgecnn_runtime import Predictor
        from edgecnn_runtime.verification import trace
        predictor = Predictor.load(sys.argv[1], device="cpu")
        predictor.predict(sys.argv[2]).to_dict()
        trace(predictor, sys.argv[2])
        print(*sorted(name for name in sys.modules if name.startswith("edgecnn_runtime.tasks.")))
    """
    done = run_python(code, str(model_path), str(model_path.with_name("a.png")))
    tasks = {"edgecnn_runtime.tasks." + name for name in ("classification", "scores", "table", "task")}
    assert set(done.stdout.split()) == tasks, done.stderr


def test_every_task_has_a_row():
    assert get_task("localization") is sys.modules["edgecnn_runtime.tasks.localization"].LOCALIZATION


def test_a_result_below_its_least_score_says_so_and_draws_no_box():
    unsure = located(least_score=0.8)
    assert (unsure.predictions(), unsure.lines()) == ([], ["unsure (dog 0.7500 at (10.0, 20.0, 30.0, 50.0))"])
    image = Image.new("RGB", (50, 100))
    x1, y1 = 10, 50
    colours = [np.asarray(found.draw(image).resize((50, 100)))[y1 : y1 + 1, x1].any() for found in (located(), unsure)]
    assert colours == [True, False]
    assert located(least_score=0.2).predictions(2) == located().predictions(2)
    assert located(least_score=0.5).lines(2) == located().lines(1)
