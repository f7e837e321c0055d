import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.decoders import DistanceDecoder, OutputSpec, ProbabilitiesDecoder, SigmoidDecoder, SoftmaxDecoder
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
SIDES = st.integers(1, 65535)
MEGAPIXELS = 50_000_000
DECODERS = [SoftmaxDecoder, DistanceDecoder, SigmoidDecoder, ProbabilitiesDecoder]


@st.composite
def image_inputs(draw):
    resize = draw(st.sampled_from(["stretch", "letterbox", "center_crop", "pad"]))
    sides = st.none() if resize == "pad" else st.none() | SIDES
    height, width = draw(sides), draw(sides)
    if height is not None and width is not None:
        width = min(width, MEGAPIXELS // height)
    return ImageInput(
        name=draw(NAMES),
        height=height,
        width=width,
        color=draw(st.sampled_from(["rgb", "gray"])),
        resize=resize,
        crop_fraction=draw(st.floats(0.01, 1.0)) if resize == "center_crop" else None,
        pad_value=draw(st.integers(0, 255)) if resize == "letterbox" else None,
        multiple_of=draw(st.integers(1, 64)) if None in (height, width) else None,
    )


@st.composite
def manifests(draw):
    labels = draw(st.none() | st.lists(NAMES, min_size=2, max_size=9, unique=True))
    decoder = draw(st.sampled_from(DECODERS))("scores")
    units = draw(st.integers(2, 99)) if labels is None else len(labels)
    if units == 2 and decoder.kind in ("sigmoid", "probabilities"):
        units = draw(st.integers(1, 2))
    return Manifest(
        task="classification",
        model=ModelInfo(draw(NAMES), draw(st.floats(0.1, 4.0))),
        inputs=(draw(image_inputs()),),
        labels=None if labels is None else tuple(labels),
        decoder=decoder,
        outputs=(OutputSpec("scores", (units,)),),
    )


@given(manifests())
def test_from_json_gives_back_what_to_json_wrote(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest


@given(manifests())
def test_to_json_gives_the_same_text_again(manifest):
    assert Manifest.from_json(manifest.to_json()).to_json() == manifest.to_json()


def test_to_json_is_the_documented_text(make_manifest):
    assert make_manifest().to_json() == (
        '{"decoder":{"kind":"softmax","output":"logits"},'
        '"inputs":[{"color":"gray","crop_fraction":null,"height":8,"kind":"image","multiple_of":null,"name":"image",'
        '"pad_value":null,"resize":"stretch","width":6}],'
        '"labels":["zero","one","two"],"model":{"name":"test_cnn","width":1.0},'
        '"outputs":[{"name":"logits","shape":[3]}],"schema_version":1,"task":"classification"}'
    )


def changed(manifest, path, value):
    """The manifest's JSON with one value replaced; the path names keys and indices."""
    tree = json.loads(manifest.to_json())
    *parents, last = path
    node = tree
    for key in parents:
        node = node[key]
    if value is KeyError:
        del node[last]
    else:
        node[last] = value
    return json.dumps(tree)


PATHS = [
    *(["schema_version"], ["task"], ["model"], ["inputs"], ["labels"], ["decoder"], ["outputs"]),
    *(["model", "name"], ["model", "width"], ["decoder", "kind"], ["decoder", "output"]),
    *(["outputs", 0, "name"], ["outputs", 0, "shape"]),
    *(
        ["inputs", 0, key]
        for key in ("name", "kind", "height", "width", "color", "resize", "crop_fraction", "pad_value", "multiple_of")
    ),
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_every_key_is_required(make_manifest, path):
    with pytest.raises(ManifestError):
        Manifest.from_json(changed(make_manifest(), path, KeyError))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_every_value_has_its_type(make_manifest, path):
    with pytest.raises(ManifestError):
        Manifest.from_json(changed(make_manifest(), path, {"unexpected": [True]}))


@pytest.mark.parametrize("where", [[], ["model"], ["inputs", 0], ["decoder"], ["outputs", 0]])
def test_unknown_keys_are_refused_everywhere(make_manifest, where):
    with pytest.raises(ManifestError, match=r"unknown \['mean'\]"):
        Manifest.from_json(changed(make_manifest(), [*where, "mean"], 127.5))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 2, "expected schema_version 1, received 2. Export the model again"),
        (["schema_version"], True, "expected schema_version 1, received True"),
        (["schema_version"], "1", "expected schema_version 1, received '1'"),
        (["task"], "riddle", "task: expected one of .*, received 'riddle'"),
        (["inputs", 0, "color"], "bgr", "expected one of .*, received 'bgr'"),
        (["inputs", 0, "height"], 8.5, "expected an integer, received '8.5'"),
        (["inputs", 0, "height"], True, "expected an integer, received 'True'"),
        (["inputs", 0, "height"], 0, "expected height from 1 to 65535, received 0"),
        (["inputs", 0, "width"], 65536, "expected width from 1 to 65535, received 65536"),
        (["inputs", 0, "height"], None, "multiple_of belongs to a free height or width"),
        (["inputs", 0, "multiple_of"], 32, "multiple_of belongs to a free height or width"),
        (["inputs", 0, "crop_fraction"], 0.9, "crop_fraction belongs to resize 'center_crop'"),
        (["inputs", 0, "pad_value"], 0, "pad_value belongs to resize 'letterbox'"),
        (["inputs", 0, "resize"], "letterbox", "pad_value belongs to resize 'letterbox'"),
        (["inputs", 0, "resize"], "pad", "expected a free height and width for resize 'pad', received 8 x 6"),
        (["inputs"], [], r"expected one input, an image, received 0"),
        (["labels"], ["a", "b"], "expected 3 labels for output 'logits', received 2"),
        (["labels"], ["a", "b", "a"], r"expected unique labels, received \['a'\] more than once"),
        (["labels", 0], 7, "expected a text, received '7'"),
        (["decoder", "output"], "boxes", r"the decoder reads output 'boxes', but the outputs are \['logits'\]"),
        (["decoder", "kind"], "softmin", r"one of \['answer', 'class_map', 'detections', .*, 'softmax', 'yolo'\]"),
        (["outputs", 0, "shape"], [1], "expected 2 units or more for decoder 'softmax', received 1.*\"sigmoid\""),
        (["outputs", 0, "shape"], [0], "expected sizes from 1 to 16777216, received"),
        (["outputs", 0, "shape"], [], r"to fix the number of its classes, received \(\)"),
        (["outputs", 0, "shape"], [None], "to fix the number of its classes"),
        (["model", "width"], "wide", "expected a number, received 'wide'"),
    ],
)
def test_contradictions_are_named(make_manifest, path, value, message):
    with pytest.raises(ManifestError, match=message):
        Manifest.from_json(changed(make_manifest(), path, value))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', "[" * 100_000, "\x00", '{"a": 1e999}'])
def test_text_that_is_no_manifest_is_refused(text):
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(text)
    assert caught.value.exit_code == 6


@given(st.text(max_size=80))
def test_any_text_is_a_manifest_or_a_manifest_error(text):
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


def test_a_value_out_of_range_is_refused_when_it_is_made():
    with pytest.raises(ManifestError, match=r"expected crop_fraction from 0.01 to 1, received 1.5"):
        Manifest(
            task="classification",
            model=ModelInfo("m", 1.0),
            inputs=(ImageInput("image", 8, 8, "rgb", "center_crop", 1.5),),
            labels=None,
            decoder=SoftmaxDecoder(),
            outputs=(OutputSpec("logits", (3,)),),
        )


@pytest.mark.parametrize("size", [{"height": None}, {"width": None}])
def test_padding_is_for_two_free_sides(make_manifest, size):
    free = {"multiple_of": 8, "resize": "pad"}
    assert make_manifest(height=None, width=None, **free).image_input.resize == "pad"
    with pytest.raises(ManifestError, match="expected a free height and width for resize 'pad', received"):
        make_manifest(**size, **free)


def test_a_manifest_cannot_be_edited(make_manifest):
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_manifest().labels = ("other",)


@pytest.mark.parametrize("decoder", [SigmoidDecoder("logits"), ProbabilitiesDecoder("logits")])
def test_one_unit_tells_two_classes_apart(make_manifest, decoder):
    one = {"decoder": decoder, "outputs": (OutputSpec("logits", (1,)),)}
    manifest = make_manifest(labels=("no", "yes"), **one)
    assert (manifest.num_units, manifest.num_classes) == (1, 2)
    for labels in (("yes",), ("no", "yes", "maybe")):
        with pytest.raises(ManifestError, match=rf"expected 2 labels .* one unit .* received {len(labels)}\. Write"):
            make_manifest(labels=labels, **one)


@pytest.mark.parametrize("decoder", [decoder("logits") for decoder in DECODERS])
def test_several_units_are_a_class_each(make_manifest, decoder):
    assert make_manifest(decoder=decoder).num_classes == 3
    with pytest.raises(ManifestError, match=r"expected 3 labels .*, received 2\. Write one label a class"):
        make_manifest(decoder=decoder, labels=("a", "b"))


def test_output_and_its_shortcuts(make_manifest):
    manifest = make_manifest(color="rgb")
    assert manifest.output("logits") == OutputSpec("logits", (3,))
    assert (manifest.num_classes, manifest.image_input.channels) == (3, 3)
    with pytest.raises(ManifestError, match="reads output 'other'"):
        manifest.output("other")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_from_json_refuses_what_is_no_json_number(make_manifest, number):
    with pytest.raises(ManifestError, match="is no JSON number"):
        Manifest.from_json(make_manifest().to_json().replace('"width":1.0', f'"width":{number}'))
