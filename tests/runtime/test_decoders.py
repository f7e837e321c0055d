import dataclasses

import pytest

from edgecnn_runtime.decoders import MOST_BOXES, OperatingPoint, OutputSpec, YoloDecoder, YoloScale
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
        ({"most": 0}, f"from 1 to {MOST_BOXES}, received 0"),
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
