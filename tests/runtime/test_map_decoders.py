import pytest
import segmentations

from edgecnn_runtime.decoders import MOST_CLASSES, ClassMapDecoder, OutputSpec, ScoreMapDecoder, Tiling, kinds_beside
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

FREE = (None, None)


@pytest.mark.parametrize("size", [(48, 32), FREE])
@pytest.mark.parametrize("tiles", [None, (16, 4)])
def test_a_segmenters_manifest_comes_back_from_json(size, tiles):
    written = segmentations.make_manifest(size if tiles is None or size == FREE else (16, 16), tiles=tiles)
    assert Manifest.from_json(written.to_json()) == written
    assert (written.num_classes, written.num_units) == (3, 3)
    assert written.decoder.cut_into() == (None if tiles is None else Tiling(*tiles))


def test_a_class_map_is_told_apart_from_what_is_beside_it():
    assert kinds_beside(ClassMapDecoder()) == kinds_beside(ScoreMapDecoder()) == {"class_map", "score_map"}
    assert segmentations.make_manifest(resize="letterbox", pad_value=114).task == "segmentation"


def test_a_score_map_reads_its_own_output_and_needs_two_units():
    image, scores = ImageInput("image", 8, 8, "rgb"), OutputSpec("probabilities", (8, 8, 2))
    written = Manifest("segmentation", ModelInfo("m", 1.0), (image,), ("a", "b"), ScoreMapDecoder(), (scores,))
    assert Manifest.from_json(written.to_json()) == written
    assert (written.decoder.reads, written.decoder.takes, written.num_classes) == ("scores", "nothing", 2)
    with pytest.raises(ManifestError, match="every pixel would be of the same class"):
        Manifest(
            "segmentation",
            ModelInfo("m", 1.0),
            (image,),
            None,
            ScoreMapDecoder(),
            (OutputSpec("probabilities", (8, 8, 1)),),
        )


def made(*, size=(16, 16), shape=(16, 16, 3), labels=None, tiles=None, multiple_of=8, more=()):
    free = None in size
    image = ImageInput("image", *size, "rgb", multiple_of=multiple_of if free else None)
    outputs = (OutputSpec("logits", shape), *(OutputSpec(name, (16, 16, 3)) for name in more))
    return Manifest("segmentation", ModelInfo("m", 1.0), (image,), labels, ClassMapDecoder(tiles=tiles), outputs)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": (8, 16, 3)}, r"expected shape \(16, 16, classes\), the input's height and width, received \(8, 16"),
        ({"size": (16, 24), "shape": (24, 16, 3)}, r"expected shape \(16, 24, classes\)"),
        ({"shape": (None, None, 3)}, r"expected shape \(16, 16, classes\)"),
        ({"size": FREE}, r"expected shape \(None, None, classes\).*received \(16, 16, 3\)"),
        ({"size": (None, 16)}, r"expected shape \(None, 16, classes\)"),
        ({"shape": (16, 16)}, r"expected shape \(16, 16, classes\)"),
        ({"shape": (16, 16, 1, 3)}, r"expected shape \(16, 16, classes\)"),
        ({"shape": (16, 16, None)}, "to fix the number of its classes"),
        ({"shape": (16, 16, 1)}, "expected 2 units or more .* received 1, by which every pixel would be of the same"),
        ({"shape": (16, 16, MOST_CLASSES + 1)}, "expected at most 255 classes, received 256"),
        ({"labels": ("a", "b")}, "expected 3 labels for output 'logits', received 2"),
        ({"tiles": Tiling(32, 8)}, "expected the size of the network's input, 16 x 16, received 32 x 32"),
        ({"tiles": Tiling(16, 0)}, "expected an overlap from 1 to 14 for a size of 16, received 0"),
        ({"tiles": Tiling(16, 16)}, "expected an overlap from 1 to 14 for a size of 16, received 16"),
        ({"tiles": Tiling(16, 15)}, "expected an overlap from 1 to 14"),
        ({"tiles": Tiling(1, 1)}, "expected a size from 2 to 4096, received 1"),
        ({"tiles": Tiling(65536, 32768)}, "expected a size from 2 to 4096, received 65536"),
        ({"tiles": Tiling(16, 4), "more": ("other",)}, r"expected output 'logits' alone, received the outputs"),
        (
            {"tiles": Tiling(20, 4), "size": FREE, "shape": (*FREE, 3)},
            "expected a size that 8, multiple_of, divides, received 20",
        ),
        (
            {"tiles": Tiling(16, 12), "size": FREE, "shape": (*FREE, 3)},
            "expected an overlap from 1 to 8 for a size of 16, received 12",
        ),
        (
            {"tiles": Tiling(16, 4), "size": FREE, "shape": (*FREE, 3), "multiple_of": 16},
            "expected a size of 32 or more, twice multiple_of, received 16",
        ),
        (
            {"tiles": Tiling(32, 4), "size": (None, 16), "shape": (None, 16, 3)},
            "expected the size of the network's input, None x 16, received 32 x 32",
        ),
    ],
)
def test_a_decoder_that_contradicts_itself_or_its_outputs_is_refused(fields, message):
    with pytest.raises(ManifestError, match=message):
        made(**fields)


@pytest.mark.parametrize("fields", [{}, {"tiles": Tiling(16, 14)}, {"shape": (16, 16, MOST_CLASSES)}])
def test_what_is_at_the_limit_is_taken(fields):
    assert made(**fields).decoder.tiles == fields.get("tiles")


def test_an_output_of_another_name_is_named():
    outputs = (OutputSpec("maps", (16, 16, 3)),)
    image = ImageInput("image", 16, 16, "rgb")
    with pytest.raises(ManifestError, match=r"reads output 'logits', but the outputs are \['maps'\]"):
        Manifest("segmentation", ModelInfo("m", 1.0), (image,), None, ClassMapDecoder(), outputs)
