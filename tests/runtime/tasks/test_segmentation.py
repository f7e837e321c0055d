import dataclasses
import io
import json
import math
import pickle
import sys

import numpy as np
import pytest
import segmentations
from PIL import Image
from pycocotools import mask as coco

from edgecnn_runtime import Predictor
from edgecnn_runtime.drawing import class_color
from edgecnn_runtime.errors import OutputError, SessionError
from edgecnn_runtime.evidence import SegmentationParity
from edgecnn_runtime.golden import ALIKE
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.session import Session
from edgecnn_runtime.tasks.segmentation import SEGMENTATION, Segmentation
from edgecnn_runtime.tasks.table import decode, get_task
from edgecnn_runtime.verification import verify

WHOLE = Placement((16, 16), (1.0, 1.0), (0.0, 0.0))


def found(class_map, **fields):
    class_map = np.asarray(class_map, np.uint8)
    return Segmentation(class_map, **{"labels": segmentations.LABELS, "shape": class_map.shape, **fields})


def logits_of(class_map, classes=3):
    return np.eye(classes, dtype=np.float32)[np.asarray(class_map)] * 9


# from raw outputs


def test_decode_answers_images_of_unlike_sizes():
    maps = [segmentations.blobs(16, 16, seed=seed) for seed in range(2)]
    outputs = {"logits": np.stack([logits_of(one) for one in maps])}
    manifest = segmentations.make_manifest(resize="letterbox", pad_value=0)
    first, second = decode(manifest, outputs, [WHOLE, Placement((16, 32), (0.5, 0.5), (4.0, 0.0))])
    np.testing.assert_array_equal(first.class_map, maps[0])
    assert (second.class_map.shape, second.shape) == ((16, 32), (16, 32))
    assert (first.labels, first.num_classes) == (segmentations.LABELS, 3)
    middle = second.class_map[1::2, 1::2]
    assert (middle == maps[1][4:12]).mean() > 0.8


def test_decode_of_a_free_size_cuts_what_was_padded():
    manifest = segmentations.make_manifest((None, None))
    truth = segmentations.blobs(13, 22)
    padded = np.pad(truth, ((0, 3), (0, 2)), mode="reflect")
    (result,) = decode(manifest, {"logits": logits_of(padded)[np.newaxis]}, [Placement((13, 22), (1, 1), (0, 0))])
    np.testing.assert_array_equal(result.class_map, truth)


def test_decode_of_tiles_takes_logits_of_the_pictures_size():
    manifest, truth = segmentations.make_manifest(tiles=(16, 4)), segmentations.blobs(40, 23)
    (result,) = decode(manifest, {"logits": logits_of(truth)[np.newaxis]}, [Placement((40, 23), (1, 1), (0, 0))])
    np.testing.assert_array_equal(result.class_map, truth)
    for shape in ((1, 16, 16, 4), (1, 8, 16, 3)):
        with pytest.raises(SessionError, match=r"expected shape \(1, 16, 16, 3\), received \(1, "):
            decode(manifest, {"logits": np.zeros(shape, np.float32)}, [WHOLE])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_no_answer(value):
    logits = np.zeros((1, 16, 16, 3), np.float32)
    logits[0, 7, 3, 1] = value
    with pytest.raises(OutputError, match="'logits': expected finite numbers, received 1 NaN or infinite of 768"):
        decode(segmentations.make_manifest(), {"logits": logits}, [WHOLE])


def test_an_output_that_is_missing_or_of_another_shape_is_refused():
    with pytest.raises(SessionError, match="expected 'logits', received"):
        decode(segmentations.make_manifest(), {"maps": np.zeros((1, 16, 16, 3), np.float32)}, [WHOLE])
    with pytest.raises(SessionError, match="expected shape"):
        decode(segmentations.make_manifest(), {"logits": np.zeros((1, 8, 8, 3), np.float32)}, [WHOLE])


# what a result says


def test_predictions_are_the_classes_that_are_there_the_largest_first():
    result = found([[2, 2, 0], [2, 2, 0]])
    tree = json.loads(json.dumps(result.to_dict()))
    assert (tree["task"], tree["shape"]) == ("segmentation", [2, 3])
    assert [one["class"] for one in tree["predictions"]] == [2, 0]
    first = tree["predictions"][0]
    assert first == {
        "name": "tree",
        "class": 2,
        "pixels": 4,
        "share": pytest.approx(2 / 3),
        "segmentation": {"size": [2, 3], "counts": first["segmentation"]["counts"]},
    }
    for one in tree["predictions"]:
        np.testing.assert_array_equal(coco.decode(one["segmentation"]), result.class_map == one["class"])
        assert coco.area(one["segmentation"]) == one["pixels"]
    assert result.areas().tolist() == [2, 0, 4]
    assert result.areas().dtype == np.int64
    assert set(SEGMENTATION.columns) <= first.keys()
    assert [one["class"] for one in result.predictions(1)] == [2]
    assert [one["class"] for one in found([[1, 0]]).predictions()] == [0, 1]  # of equal ones the lower id
    with pytest.raises(ValueError, match="limit: expected 1 or more, received 0"):
        result.predictions(0)


def test_lines_say_name_share_and_pixels():
    sky = np.zeros((100, 200), np.uint8)
    sky[:60, :60] = 1
    sky[99, 199] = 2
    result = found(sky)
    assert result.lines() == ["sky 82.0 % (16,399 pixels)", "bird 18.0 % (3,600 pixels)", "tree 0.0 % (1 pixel)"]
    assert result.lines(1) == result.lines()[:1]
    assert found(np.full((3, 3), 1)).lines() == ["bird 100.0 % (9 pixels)"]


@pytest.mark.parametrize(
    ("labels", "names", "line"),
    [
        (("", "b", "c"), ["class 0", "b", "c"], "class 0 75.0 % (3 pixels)"),
        (("two\nlines", "b", "c"), ["two\nlines", "b", "c"], "two\nlines 75.0 % (3 pixels)"),
        (None, ["class 0", "class 1", "class 2"], "class 0 75.0 % (3 pixels)"),
    ],
)
def test_classes_without_a_name_are_called_by_their_number(labels, names, line):
    result = found([[0, 0], [0, 1]], labels=labels, num_classes=3)
    assert (result.names(), result.lines(1)) == (names, [line])
    assert result.predictions(1)[0]["name"] == (None if labels is None else labels[0])
    assert result.draw(np.zeros((2, 2, 3), np.uint8)).mode == "RGB"


def test_a_result_without_labels_or_number_has_the_classes_that_are_there():
    assert found([[0, 3]], labels=None).areas().tolist() == [1, 0, 0, 1]


def test_a_result_survives_pickling():
    result = found(segmentations.blobs(9, 7), source="a.png")
    again = pickle.loads(pickle.dumps(result))
    assert again.to_dict() == result.to_dict()


@pytest.mark.parametrize("classes", [2, 3, 16, 17, 255])
def test_the_palette_image_holds_the_classes_as_its_indices(classes):
    class_map = np.arange(20 * 20).reshape(20, 20) % classes
    result = found(class_map, labels=None, num_classes=classes)
    for picture in (result.palette_image(), saved(result.palette_image())):
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), class_map)
        colors = np.asarray(picture.convert("RGB"))
        assert tuple(colors[0, 1]) == class_color(1)
        assert len(picture.getpalette()) == 3 * classes
    assert len(result.names()) == classes


def saved(picture):
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return Image.open(stream)


def test_polygons_are_the_outlines_of_a_class():
    result = found([[0, 0, 0], [0, 2, 0]])
    assert result.polygons(2) == [[(1, 1), (2, 1), (2, 2), (1, 2)]]
    assert result.polygons(0) == [[(0, 0), (3, 0), (3, 2), (2, 2), (2, 1), (1, 1), (1, 2), (0, 2)]]
    assert result.polygons(1) == []
    for class_id in (-1, 3):
        with pytest.raises(ValueError, match=f"class_id: expected 0 to 2, received {class_id}"):
            result.polygons(class_id)


def test_a_picture_shows_the_classes_in_their_colours():
    class_map = np.zeros((400, 600), np.uint8)
    class_map[200:, 300:] = 1
    black = np.zeros((400, 600, 3), np.uint8)
    drawn, largest = (np.asarray(found(class_map).draw(black, limit=limit)) for limit in (None, 1))
    for place, class_id in (((390, 10), 0), ((390, 590), 1)):
        np.testing.assert_allclose(drawn[place], np.array(class_color(class_id)) * 128 / 255, atol=1)
    np.testing.assert_array_equal(largest[390, 10], drawn[390, 10])
    assert not largest[390, 590].any()
    assert not black.any()


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected the image's size, \(3, 2\), received \(2, 3\)"):
        found([[0, 0, 1], [1, 1, 1]]).draw(np.zeros((3, 2), np.uint8))


# how two are compared


def flipped(class_map, count):
    """The class map with so many pixels turned that lie between two classes."""
    y, x = np.nonzero(class_map[:, 1:] != class_map[:, :-1])
    turned = class_map.copy()
    turned[y[:count], x[:count]] = class_map[y[:count], x[:count] + 1]
    assert np.count_nonzero(turned != class_map) == count
    return turned


def test_maps_agree_where_a_thousandth_of_the_pixels_differs():
    class_map = segmentations.blobs(100, 100)
    for count, same in ((0, True), (10, True), (11, False)):
        agreement = SEGMENTATION.agreement(found(class_map), found(flipped(class_map, count)))
        assert (agreement.same, agreement.margin, agreement.compared) == (same, math.inf, 1)
        assert agreement.differences == agreement.relative == {"pixels": count / 10_000}
    with pytest.raises(ValueError, match="class maps: expected one size"):
        SEGMENTATION.agreement(found(class_map), found(class_map[1:]))


def test_parity_is_the_record_of_the_evidence():
    record = SEGMENTATION.parity(4, 3, {"pixels": 0.125}, 4)
    assert record == SegmentationParity(4, 0.75, 0.125, 4)
    assert record.summary() == "the same class map on 0.7500 of 4 images, at most 12.5000% of an image's pixels of " + (
        "another class"
    )
    assert SEGMENTATION.parity(0, 0, {}, 0) == SegmentationParity(0, 0.0, 0.0, 0)


def test_every_pixel_has_an_answer_to_compare():
    manifest = segmentations.make_manifest()
    assert SEGMENTATION.compared_by(manifest, {}) is manifest


def held(result, other):
    """The largest difference of what a sample of one result holds, on a device that gives the other."""
    sample, device = SEGMENTATION.hold(result, 5), SEGMENTATION.hold(other)
    assert {what: device.words[what] for what in sample.words} == sample.words
    return max(abs(device.numbers[what] - number) for what, number in sample.numbers.items())


@pytest.mark.parametrize("size", [(96, 96), (96, 40), (3, 50), (1, 1)])
def test_what_is_held_is_the_shares_in_sixteen_cells(size):
    class_map = segmentations.blobs(*size)
    one = SEGMENTATION.hold(found(class_map), 5)
    assert all(0 < share <= 1 for share in one.numbers.values())
    assert one.words["size"] == f"{size[0]} x {size[1]}"
    cells = min(size[0], 4) * min(size[1], 4)
    assert sum(one.numbers.values()) == pytest.approx(cells, abs=1e-4)
    assert held(found(class_map), found(class_map)) == 0


def test_of_many_classes_a_sample_holds_the_largest_and_a_device_all():
    class_map = np.arange(40 * 40).reshape(40, 40) // 40 % 20
    class_map[:30] = 7
    result = found(class_map, labels=None, num_classes=20)
    sample, device = SEGMENTATION.hold(result, 2), SEGMENTATION.hold(result)
    assert sample.words == {"size": "40 x 40", "class 7": "None", "class 10": "None"}
    assert len(device.numbers) == 20 * 16
    assert sample.told == result.lines(2)[0] + ", " + result.lines(2)[1]


def test_what_is_held_moves_little_where_edges_do_and_far_where_the_map_is_another():
    class_map = segmentations.blobs(96, 96)
    allowed = segmentations.make_manifest().decoder.least_tolerance
    assert held(found(class_map), found(flipped(class_map, 9))) <= allowed
    for shift, axis in ((24, 0), (24, 1), (-24, 1)):
        assert held(found(class_map), found(np.roll(class_map, shift, axis))) > 10 * allowed
    assert held(found(class_map), found(class_map.T)) > 10 * allowed
    assert held(found(class_map), found((class_map + 1) % 3)) > 10 * allowed


# golden samples, from the file to the verdict


@pytest.fixture
def golden_path(tmp_path, stamp, make_golden):
    """A segmenter's file with its golden samples, and the picture that these are of."""
    graph, manifest = segmentations.make_graph((48, 64)), segmentations.make_manifest((48, 64))
    path = tmp_path / "golden.onnx"
    path.write_bytes(stamp(graph, manifest, golden=make_golden(graph, manifest, pictures())))
    return path


def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((96, 72), Image.Resampling.BICUBIC).save(stream, "PNG")
    return {"plain.png": stream.getvalue()}


def turned_by(monkeypatch, change):
    """Lets the decoding give other class maps, where raw outputs stay as they are."""
    from edgecnn_runtime.tasks import segmentation

    class_map = segmentation.class_map
    monkeypatch.setattr(segmentation, "class_map", lambda *arguments: change(class_map(*arguments)))


def test_a_file_verifies_where_it_was_made(golden_path):
    verification = verify(Predictor.load(golden_path, device="cpu", threads=1))
    assert verification.passed
    assert "pixels)" in verification.samples[0].expected


def test_a_file_verifies_where_rounding_turns_a_thousandth_of_the_pixels(golden_path, monkeypatch):
    count = 72 * 96 // 1000
    turned_by(monkeypatch, lambda class_map: flipped(class_map, count))
    sample = verify(Predictor.load(golden_path, device="cpu", threads=1)).samples[0]
    assert sample.passed
    assert sample.worst.received != sample.worst.expected
    assert abs(sample.worst.received - sample.worst.expected) > ALIKE.results


@pytest.mark.parametrize("axis", [0, 1])
def test_a_file_is_refused_where_the_map_is_shifted(golden_path, monkeypatch, axis):
    turned_by(monkeypatch, lambda class_map: np.roll(class_map, class_map.shape[axis] // 4, axis))
    sample = verify(Predictor.load(golden_path, device="cpu", threads=1)).samples[0]
    assert not sample.passed
    assert sample.worst.what.startswith("class ")


def test_a_file_is_refused_where_a_class_is_gone(golden_path, monkeypatch):
    turned_by(
        monkeypatch, lambda class_map: np.where(class_map == class_map[0, 0], (class_map[0, 0] + 1) % 3, class_map)
    )
    assert not verify(Predictor.load(golden_path, device="cpu", threads=1)).passed


def test_a_device_whose_graph_answers_otherwise_is_found_by_its_logits(golden_path):
    predictor = Predictor.load(golden_path, device="cpu", threads=1)
    other = Predictor(
        Session(segmentations.make_graph((48, 64), reach=3), device="cpu"), predictor.manifest, predictor.evidence
    )
    assert not verify(other).passed


def test_tiles_have_golden_samples_too(tmp_path, stamp, make_golden):
    graph, manifest = segmentations.make_graph(), segmentations.make_manifest(tiles=(16, 4))
    path = tmp_path / "tiles.onnx"
    path.write_bytes(stamp(graph, manifest, golden=make_golden(graph, manifest, pictures())))
    predictor = Predictor.load(path, device="cpu", threads=1, verify=True)
    assert predictor.verification.passed
    assert predictor.claims.golden[0].trace.outputs[0].shape == (1, 72, 96, 3)


# where it is imported


def test_segmentation_is_imported_only_for_a_segmenter(run_python):
    code = (
        "import sys, edgecnn_runtime\n"
        "from edgecnn_runtime.tasks.table import get_task\n"
        "mine = {f'edgecnn_runtime.tasks.{name}' for name in ('segmentation', 'class_maps', 'rle', 'outlines')}\n"
        "mine |= {'edgecnn_runtime.tiles', 'edgecnn_runtime.drawing'}\n"
        "get_task('classification'), get_task('detection')\n"
        "assert not mine & sys.modules.keys()\n"
        "print(get_task('segmentation').name, *sorted(mine & sys.modules.keys()))\n"
    )
    expected = "segmentation edgecnn_runtime.tasks.class_maps edgecnn_runtime.tasks.segmentation"
    assert run_python(code).stdout.strip() == expected
    assert get_task("segmentation") is SEGMENTATION
    assert "edgecnn_runtime.tasks.segmentation" in sys.modules
    assert dataclasses.is_dataclass(Segmentation)
