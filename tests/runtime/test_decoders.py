import dataclasses

import pytest

from edgecnn_runtime.decoders import MOST_BOXES, OperatingPoint, OutputSpec, SuppressedDecoder, YoloDecoder, YoloScale
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

SCALES = (
    YoloScale("scale_16", 16, ((10.0, 14.0), (23.0, 27.0))),
    YoloScale("scale_32", 32, ((81.0, 82.0),)),
)
OUTPUTS = (OutputSpec("scale_16", (4, 6, 2, 8)), OutputSpec("scale_32", (2, 3, 1, 8)))


def manifest(*, labels=("a", "b", "c"), outputs=OUTPUTS, size=(64, 96), **fields):
    image = ImageInput("image", *size, "rgb", "letterbox", pad_value=114, multiple_of=None if size[0] else 32)
    decoder = YoloDecoder(**{"scales": SCALES, **fields})
    return Manifest("detection", ModelInfo("m", 1.0), (image,), labels, decoder, outputs)


def test_a_detector_says_how_many_classes_its_outputs_score():
    assert (manifest().num_units, manifest().num_classes) == (8, 3)
    with pytest.raises(ManifestError, match=r"expected 3 labels for output 'scale_16', received 8"):
        manifest(labels=tuple("abcdefgh"))


def test_one_class_is_no_two():
    outputs = tuple(OutputSpec(one.name, (*one.shape[:3], 6)) for one in OUTPUTS)
    assert manifest(labels=("cell",), outputs=outputs).num_classes == 1


def test_fewer_units_than_a_box_and_a_class_are_refused():
    outputs = tuple(OutputSpec(one.name, (*one.shape[:3], 5)) for one in OUTPUTS)
    with pytest.raises(ManifestError, match=r"expected 6 units or more .* received 5: four of a box, one of the obj"):
        manifest(labels=None, outputs=outputs)


def test_a_detectors_manifest_comes_back_from_json():
    points = (OperatingPoint(2, 0.4, 0.5, 1.0), OperatingPoint(0, 0.25, None, None))
    written = manifest(operating_points=points, classes=(0, 2), agnostic=True, most=7)
    assert Manifest.from_json(written.to_json()) == written
    assert manifest(size=(None, None), outputs=tuple(OutputSpec(o.name, (None, None, *o.shape[2:])) for o in OUTPUTS))


def test_thresholds_are_those_of_the_points_where_there_are_some():
    decoder = YoloDecoder(SCALES, operating_points=(OperatingPoint(2, 0.5, None, None),))
    assert decoder.thresholds(3) == [0.25, 0.25, 0.5]
    only = dataclasses.replace(decoder, classes=(1, 2)).thresholds(3)
    assert only[0] > 1
    assert only[1:] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scales": ()}, "expected one scale or more"),
        ({"scales": SCALES[::-1]}, r"expected strides of 1 or more, the smallest first, received \[32, 16\]"),
        ({"scales": (SCALES[0], SCALES[0])}, "expected strides of 1 or more"),
        ({"scales": (YoloScale("scale_16", 0, ((1.0, 1.0),)),)}, "expected strides of 1 or more"),
        ({"scales": (YoloScale("scale_8", 8, ((1.0, 1.0),)),)}, "reads output 'scale_8', but the outputs are"),
        (
            {"scales": (YoloScale("scale_16", 16, ((1.0, 1.0),)),)},
            r"expected shape \(4, 6, 1, 8\).*received \(4, 6, 2, 8",
        ),
        ({"scales": (YoloScale("scale_16", 8, SCALES[0].anchors),)}, r"expected shape \(8, 12, 2, 8\)"),
        ({"scales": (YoloScale("scale_16", 16, ()),)}, "expected one anchor or more"),
        ({"scales": (YoloScale("scale_16", 16, ((1.0, 0.0), (1.0, 1.0))),)}, "each a width and a height above 0"),
        ({"scales": (YoloScale("scale_16", 16, ((1.0,), (1.0, 1.0))),)}, "each a width and a height above 0"),
        ({"score_threshold": 1.0}, "expected a score_threshold from 0 to below 1, received 1.0"),
        ({"score_threshold": -0.1}, "expected a score_threshold from 0"),
        ({"iou_threshold": 0.0}, "expected an iou_threshold above 0, at most 1, received 0.0"),
        ({"iou_threshold": 1.1}, "expected an iou_threshold above 0"),
        ({"most": 0}, f"most: expected from 1 to {MOST_BOXES} boxes an image, received 0"),
        ({"classes": (3,)}, r"classes: expected different class ids from 0 to 2, received \[3\]"),
        ({"classes": (-1,)}, "expected different class ids from 0 to 2"),
        ({"classes": (1, 1)}, "expected different class ids"),
        ({"classes": ()}, "expected one or more that are answered"),
        ({"operating_points": (OperatingPoint(3, 0.5, 1.0, 1.0),)}, "operating points: expected different class ids"),
        ({"operating_points": (OperatingPoint(0, 0.5, 1.0, 1.0),) * 2}, "operating points: expected different class"),
        ({"operating_points": (OperatingPoint(0, 1.0, 1.0, 1.0),)}, "of class 0: expected a score from 0 to below 1"),
        ({"operating_points": (OperatingPoint(0, 0.5, 1.5, None),)}, "expected precision and recall from 0 to 1"),
        (
            {"size": (64, 100)},
            "expected a height and width of the input that 16, its stride, divides, received 64 x 100",
        ),
        ({"outputs": (OUTPUTS[0], OutputSpec("scale_32", (2, 3, 1, 9)))}, r"'scale_32': expected shape \(2, 3, 1, 8\)"),
    ],
)
def test_a_decoder_that_contradicts_itself_or_its_outputs_is_refused(fields, message):
    with pytest.raises(ManifestError, match=message):
        manifest(**fields)


ROWS, VALID = OutputSpec("detections", (20, 6)), OutputSpec("valid", ())


def decoded_in_graph(*, labels=("a", "b", "c"), outputs=(ROWS, VALID), size=(64, 96), **fields):
    image = ImageInput("image", *size, "rgb", "letterbox", pad_value=114, multiple_of=None if size[0] else 32)
    decoder = SuppressedDecoder(**{"scored": 3, "most": 20, **fields})
    return Manifest("detection", ModelInfo("m", 1.0), (image,), labels, decoder, outputs)


def test_a_graph_that_decodes_says_how_many_classes_it_scores_and_what_it_takes():
    written = decoded_in_graph(score_threshold=0.5, operating_points=(OperatingPoint(1, 0.125, 0.5, 1.0),))
    assert written.num_classes == 3
    assert written.decoder.settings() == {"score_thresholds": (0.5, 0.125, 0.5), "iou_threshold": (0.6,)}
    assert Manifest.from_json(written.to_json()) == written
    assert manifest().decoder.settings() == {}
    with pytest.raises(ManifestError, match="expected 3 labels for output 'detections', received 6"):
        decoded_in_graph(labels=tuple("abcdef"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"outputs": (ROWS,)}, r"reads output 'valid', of shape \(\), but the outputs are \['detections'\]"),
        ({"outputs": (OutputSpec("other", (20, 6)), VALID)}, r"reads output 'detections', of shape \(rows, 6\)"),
        ({"outputs": (OutputSpec("detections", (20, 7)), VALID)}, r"expected shape \(rows, 6\), received \(20, 7\)"),
        ({"outputs": (OutputSpec("detections", (None, 6)), VALID)}, r"expected shape \(rows, 6\)"),
        ({"outputs": (OutputSpec("detections", ()), VALID)}, r"expected shape \(rows, 6\), received \(\)"),
        ({"outputs": (ROWS, OutputSpec("valid", (1,)))}, r"expected shape \(\), one number an image, received \(1,\)"),
        ({"most": 21}, "most: expected up to 20 boxes an image, the graph's rows, received 21"),
        ({"scored": 0, "labels": None}, "expected scored, the number of classes, from 1 to"),
        ({"scored": 2**31, "labels": None}, "expected scored, the number of classes"),
        ({"size": (None, None)}, "expected a fixed height and width"),
        ({"iou_threshold": 0.0}, "expected an iou_threshold above 0"),
        ({"classes": (3,)}, r"classes: expected different class ids from 0 to 2, received \[3\]"),
    ],
)
def test_a_graph_that_decodes_is_refused_where_its_manifest_contradicts_itself(fields, message):
    with pytest.raises(ManifestError, match=message):
        decoded_in_graph(**fields)
