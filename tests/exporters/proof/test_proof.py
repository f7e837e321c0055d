import numpy as np
import pytest
import segmentations

from edgecnn_exporters.proof import proof
from edgecnn_exporters.proof.gates import float32_gates, quantized_gates
from edgecnn_exporters.proof.proof import Answers, Proof, Remembered
from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.table import decode


class Counting:
    def __init__(self):
        self.asked = 0

    def run(self, feeds):
        self.asked += 1
        return {"logits": feeds["image"] * 2.0}


def asked(source, answers, batches):
    model = Remembered(source, answers)
    return [float(model.run({"image": np.full((2, 3), batch)})["logits"][0, 0]) for batch in batches]


def test_remembered_asks_once():
    source, answers = Counting(), Answers()
    assert asked(source, answers, [1, 2, 3]) == asked(source, answers, [1, 2, 3]) == [2, 4, 6]
    assert source.asked == 3


def test_remembered_goes_on_where_the_first_round_was_cut_short():
    source, answers = Counting(), Answers()
    assert asked(source, answers, [1]) == [2]
    assert asked(source, answers, [1, 2]) == [2, 4]
    assert source.asked == 2


def test_remembered_asks_again_for_what_there_was_no_room_for(monkeypatch):
    monkeypatch.setattr(proof, "_MOST_BYTES", 100)  # two answers of 48 bytes
    source, answers = Counting(), Answers()
    assert asked(source, answers, [1, 2, 3]) == asked(source, answers, [1, 2, 3]) == [2, 4, 6]
    assert source.asked == 4


class Summing(Counting):
    """Logits that follow the pixels; a session of any number of images, and a source."""

    batch = None

    def __init__(self, error=0.0):
        super().__init__()
        self.error = error

    def run(self, feeds):
        self.asked += 1
        sums = feeds["image"].reshape(len(feeds["image"]), -1).sum(axis=1, keepdims=True)
        return {"logits": np.concatenate([sums / 100, self.error - sums / 100], axis=1, dtype=np.float32)}

    def results(self, outputs, placements, manifest=None):
        return decode(manifest or MANIFEST, outputs, placements)


MANIFEST = Manifest(
    "classification",
    ModelInfo("test", 1.0),
    (ImageInput("image", 2, 2, "gray"),),
    None,
    SoftmaxDecoder(),
    (OutputSpec("logits", (2,)),),
)


TILED = segmentations.make_manifest(tiles=(16, 4))


class Mapping:
    """Logits of each pixel alone; a session that takes two tiles a run, and a source."""

    batch = 2

    def __init__(self, order=1):
        self.order = order

    def run(self, feeds):
        pixels = feeds["image"].astype(np.float32)
        return {"logits": (pixels - 127)[:: self.order]}

    def results(self, outputs, placements, manifest=None):
        return decode(manifest or TILED, outputs, placements)


@pytest.mark.parametrize(("order", "passed"), [(1, True), (-1, False)])
def test_drawn_images_are_of_several_tiles(order, passed):
    """A file that exchanges the tiles of a run answers pictures of a single tile as it should."""
    proved = Proof(Mapping(), TILED, None, None, None)
    report = proved.compare(Mapping(order), float32_gates, graph_sha256="a")
    assert report.passed is passed
    assert report.parity.decoded.compared >= 8


def test_proof_asks_the_source_once_and_each_graph_once():
    source, first, second = Summing(), Summing(), Summing(error=1.0)
    proved = Proof(source, MANIFEST, None, None, None)
    passed = [
        proved.compare(session, float32_gates, graph_sha256=sha256).passed
        for session, sha256 in [(first, "a"), (first, "a"), (second, "b"), (second, "b")]
    ]
    assert passed == [True, True, False, False]
    assert (source.asked, first.asked, second.asked) == (4, 4, 4)  # 32 images, 8 at a time


class Shades(Summing):
    """A map of logits that follow each pixel alone, or that are the same everywhere."""

    def run(self, feeds):
        self.asked += 1
        pixels = np.float32(feeds["image"]) / 255
        levels = np.full_like(pixels, 0.5) if self.error else pixels
        return {"logits": np.concatenate([levels, 1.2 - levels], axis=3)}


def pictures(*sizes):
    """One batch a picture, smaller and larger than a tile."""
    random = np.random.default_rng(0)
    return [
        Batch({"image": random.integers(0, 256, (1, *size, 1), np.uint8)}, [Placement(size, (1.0, 1.0), (0.0, 0.0))])
        for size in sizes
    ]


@pytest.mark.parametrize("evaluation", [None, pictures((16, 24), (40, 8), (16, 24))])
@pytest.mark.parametrize(
    "manifest",
    [
        segmentations.make_manifest((None, None), color="gray", classes=2, labels=None),
        segmentations.make_manifest((16, 16), color="gray", classes=2, labels=None, tiles=(16, 4)),
    ],
    ids=["whole", "tiles"],
)
def test_proof_judges_files_of_any_size_by_the_spread_over_all_places(manifest, evaluation):
    source = Shades()
    source.results = lambda outputs, placements, _manifest=None: decode(manifest, outputs, placements)
    proved, gates = Proof(source, manifest, evaluation, None, None), quantized_gates("int8", 1.0)
    good, blind = (
        proved.compare(file, gates, graph_sha256=sha256, exact=False)
        for file, sha256 in ((Shades(), "a"), (Shades(error=1.0), "b"))
    )
    assert good.passed
    assert next(gate for gate in good.gates if gate.name == "parity.outputs").value == 0
    assert not next(gate for gate in blind.gates if gate.name == "parity.outputs").passed
