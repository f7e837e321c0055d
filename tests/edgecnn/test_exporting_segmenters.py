"""Segmenters through `edgecnn export`: a narrow U-Net of random weights, for whole pictures or in tiles."""

import contextlib
import io
import json
import math

import keras
import numpy as np
import pytest
import segmentations
from PIL import Image

from edgecnn.cli import main
from edgecnn.models.build import build_manifest, build_model, get_spec
from edgecnn_runtime import Predictor

SIDE, WIDTH, STEP, LABELS = 32, 1 / 16, 16, segmentations.LABELS
TRAIN = [(40, 50), (70, 45), (33, 64), (64, 64)]
TEST = [(41, 57), (33, 70), (90, 50)]  # of unlike sizes, none a multiple of the step
WHOLE, TILES = ["--image-size", "dynamic"], ["--tile", "32", "--overlap", "16"]
INT8 = ["--quantize", "int8", "--max-drop", "1", "--min-speedup", "0"]
EXPORTS = {
    "whole": [*WHOLE, "--batch", "2"],
    "whole of any batch": [*WHOLE, "--batch", "dynamic"],
    "tiles": TILES,
    "tiles two by two": ["--tile", "32", "--batch", "2"],
    "int8 whole": [*WHOLE, *INT8],
    "int8 tiles": [*TILES, *INT8],
}


def write_source(folder):
    """Writes model.keras, whose classes are all about as frequent, its manifest, and a data set."""
    segmentations.write_masks(folder / "set", {"train": TRAIN, "test": TEST})
    model = build_model("unet", image_size=(SIDE, SIDE), num_classes=len(LABELS), width=WIDTH, seed=5)
    pictures = [segmentations.shade(segmentations.blobs(SIDE, SIDE, seed=seed)) for seed in range(6)]
    logits = model(np.stack(pictures)[..., np.newaxis], training=False).numpy()
    model.get_layer("logits").bias.assign(-np.median(logits, axis=(0, 1, 2)))
    model.save(folder / "model.keras")
    manifest = build_manifest(get_spec("unet"), LABELS, image_size=(SIDE, SIDE), width=WIDTH)
    (folder / "manifest.json").write_text(manifest.to_json())


@pytest.fixture(scope="session")
def source(made_once):
    return made_once("segmenter", write_source)


@pytest.fixture(scope="session")
def exported(made_once, source):
    """Exports a file once, by its name in `EXPORTS`, on the test part."""

    def export(name):
        def write(folder):
            words = ["export", source / "model.keras", "-o", folder / "m.onnx", "--data", source / "set"]
            told = io.StringIO()
            with contextlib.redirect_stderr(told):
                code = main([*map(str, words), *EXPORTS[name], "--golden-samples", "1"])
            assert code == 0, told.getvalue()

        return made_once(f"segmenter {name}", write) / "m.onnx"

    return export


@pytest.fixture(scope="module")
def network(source):
    """Answers pictures (H, W) as Keras does, (H, W, classes); sides are multiples of the step."""
    saved = keras.models.load_model(source / "model.keras").get_weights()
    of_size = {}

    def answer(picture):
        if picture.shape not in of_size:
            model = build_model("unet", image_size=picture.shape, num_classes=len(LABELS), width=WIDTH)
            model.set_weights(saved)
            of_size[picture.shape] = model
        return of_size[picture.shape](picture[np.newaxis, ..., np.newaxis], training=False)[0].numpy()

    return answer


def reflected(picture, sides):
    return np.pad(picture, [(0, wanted - side) for wanted, side in zip(sides, picture.shape, strict=True)], "reflect")


def whole(network, picture):
    """The class map of a picture that is continued up to multiples of the step."""
    height, width = picture.shape
    sides = [math.ceil(side / STEP) * STEP for side in picture.shape]
    return network(reflected(picture, sides))[:height, :width].argmax(axis=2)


def in_tiles(network, picture, overlap, size=SIDE, step=STEP):
    """The class map of all tiles of a picture, added up under a gaussian weight."""
    sides = [max(size, math.ceil(side / step) * step) for side in picture.shape]
    line = np.exp(-(((np.arange(size) - (size - 1) / 2) / (size / 8)) ** 2) / 2)
    weights, padded = np.outer(line, line)[..., np.newaxis], reflected(picture, sides)
    total, of_weights = np.zeros((*sides, len(LABELS))), np.zeros((*sides, 1))
    for y in sorted({*range(0, sides[0] - size, size - overlap), sides[0] - size}):
        for x in sorted({*range(0, sides[1] - size, size - overlap), sides[1] - size}):
            tile = np.s_[y : y + size, x : x + size]
            total[tile] += network(padded[tile]) * weights
            of_weights[tile] += weights
    return (total / of_weights)[: picture.shape[0], : picture.shape[1]].argmax(axis=2)


def pictures(source, part="test"):
    """The pictures and true class maps of a part, by their paths."""
    found = {}
    for path in sorted((source / "set" / part / "images").iterdir()):
        with Image.open(path) as image, Image.open(path.parents[1] / "masks" / path.name) as mask:
            found[path] = np.asarray(image), np.asarray(mask)
    return found


def mean_iou(answers, truths):
    """Over the pixels of all pictures, by sets of pixels."""
    given, true = (np.concatenate([one.ravel() for one in maps]) for maps in (answers, truths))
    return np.mean([((given == c) & (true == c)).sum() / ((given == c) | (true == c)).sum() for c in range(3)])


@pytest.mark.parametrize("name", ["whole", pytest.param("whole of any batch", marks=pytest.mark.slow)])
def test_a_file_of_any_size_answers_a_batch_of_unlike_sizes_as_keras_does(exported, source, network, name):
    predictor = Predictor.load(exported(name), device="cpu", threads=1)
    assert predictor.batch == (2 if name == "whole" else None)
    shown = [picture for picture, _ in pictures(source).values()]
    for picture, answer in zip(shown, predictor.predict_batch(shown), strict=True):
        expected = whole(network, picture)
        assert np.unique(expected).tolist() == [0, 1, 2]
        assert (answer.class_map != expected).mean() <= 0.001
    evidence = predictor.evidence
    assert evidence.parity.decoded.seam is None
    assert (evidence.parity.decoded.images, evidence.parity.decoded.agreement) == (len(TEST), 1)


@pytest.mark.parametrize(
    ("name", "overlap"), [("tiles", 16), pytest.param("tiles two by two", 16, marks=pytest.mark.slow)]
)
def test_a_file_of_tiles_answers_as_their_sum_under_gaussian_weights(exported, source, network, name, overlap):
    predictor = Predictor.load(exported(name), device="cpu", threads=1)
    shown = [picture for picture, _ in pictures(source).values()]
    for picture, answer in zip(shown, predictor.predict_batch(shown), strict=True):
        assert (answer.class_map != in_tiles(network, picture, overlap)).mean() <= 0.001


def test_the_seam_of_a_file_of_tiles_is_measured_against_whole_pictures(exported, source, network, capfd):
    """Of the data's own pictures, cut to multiples of the step; the evidence says how large they were."""
    file, apart = exported("tiles"), []
    for picture, _ in pictures(source).values():
        height, width = (side // STEP * STEP for side in picture.shape)
        cut = picture[:height, :width]
        apart.append((whole(network, cut) != in_tiles(network, cut, 16)).mean())
    seam = Predictor.load(file, device="cpu").evidence.parity.decoded.seam
    assert 0 < max(apart) - 0.001 <= seam.max_pixels_difference <= 1.1 * max(apart)  # two digits of it
    assert (seam.pictures, seam.height, seam.width) == (3, 80, 48)
    assert main(["inspect", str(file)]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "gray, the picture's own size, in tiles of 32 that have 16 pixels in common" in shown
    assert f"in tiles {seam.max_pixels_difference:.4%} at most of the pixels of 3 whole pictures up to 80 x 48" in shown
    assert main(["inspect", str(exported("whole"))]) == 0
    assert "gray, padded to a multiple of 16" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(
    "name",
    [
        "whole",
        "tiles",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("tiles two by two", "int8 whole", "int8 tiles")),
    ],
)
def test_evaluate_counts_what_run_answers(exported, source, tmp_path, capfd, name):
    file, test = str(exported(name)), pictures(source)
    capfd.readouterr()
    assert main(["run", file, *map(str, test), "--device", "cpu", "--masks", str(tmp_path / "masks")]) == 0
    answers = []
    for path, (picture, _) in test.items():
        with Image.open(tmp_path / "masks" / path.name) as mask:
            answers.append(np.asarray(mask))
        assert answers[-1].shape == picture.shape
    truths = [truth for _, truth in test.values()]
    capfd.readouterr()
    assert main(["evaluate", file, "--data", str(source / "set"), "--device", "cpu", "--format", "json"]) == 0
    tree = json.loads(capfd.readouterr().out)
    assert (tree["split"], tree["images"]) == ("test", len(TEST))
    assert tree["mean_iou"] == pytest.approx(mean_iou(answers, truths), rel=1e-9)
    right = sum((answer == truth).sum() for answer, truth in zip(answers, truths, strict=True))
    assert tree["pixel_accuracy"] == pytest.approx(right / sum(truth.size for truth in truths), rel=1e-9)
    evidence = Predictor.load(file, device="cpu").evidence
    assert evidence.parity.metric.file == pytest.approx(tree["mean_iou"], rel=1e-6)


@pytest.mark.slow
def test_int8_of_tiles_is_calibrated_on_tiles_of_the_train_part(exported):
    tiles = sum(math.prod(max(1, math.ceil(side / STEP) - 1) for side in size) for size in TRAIN)
    calibration = {
        name: Predictor.load(exported(name), device="cpu").evidence.quantization.calibration
        for name in ("int8 tiles", "int8 whole")
    }
    assert calibration["int8 tiles"].images == tiles
    assert calibration["int8 whole"].images == len(TRAIN)
    assert len({one.data_fingerprint for one in calibration.values()}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "tiles", "int8 whole", "int8 tiles"])
def test_verify_proves_a_file_of_any_size(exported, name):
    assert main(["verify", str(exported(name)), "--device", "cpu"]) == 0


# Networks of one's own, which no row of the catalogue describes.


@pytest.fixture
def own(tmp_path):
    """Writes a network of one convolution, and its manifest; returns its path and what answers as it does."""

    def write(size, **fields):
        keras.utils.set_random_seed(1)
        image = keras.Input((*size, 1), dtype="uint8", name="image")
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
        model = keras.Model(image, keras.layers.Conv2D(3, 5, padding="same", name="logits")(x))
        model.save(tmp_path / "model.keras")
        manifest = segmentations.make_manifest(size, color="gray", **fields)
        (tmp_path / "manifest.json").write_text(manifest.to_json())
        return str(tmp_path / "model.keras"), lambda picture: model(picture[None, ..., None], training=False)[0].numpy()

    return write


@pytest.mark.parametrize(("size", "step"), [((24, 24), 1), ((None, None), 8)])
def test_a_network_of_ones_own_goes_through_in_tiles(own, tmp_path, source, size, step):
    """A network of one size has no answer to a whole picture, so its seam is not known."""
    model, answer = own(size)
    words = ["--tile", "24", "--overlap", "5" if step == 1 else "8", "--golden-samples", "0"]
    assert main(["export", model, "-o", str(tmp_path / "m.onnx"), *words]) == 0
    predictor = Predictor.load(tmp_path / "m.onnx", device="cpu", threads=1)
    assert (predictor.evidence.parity.decoded.seam is None) == (step == 1)
    for picture, _ in pictures(source).values():
        expected = in_tiles(answer, picture, int(words[3]), 24, step)
        assert len(np.unique(expected)) > 1
        assert (predictor.predict(picture).class_map != expected).mean() <= 0.001


def test_a_network_of_one_size_is_not_exported_for_any(own, tmp_path, capfd):
    model, _ = own((24, 24))
    for options in (["--image-size", "dynamic"], ["--tile", "32"]):
        assert main(["export", model, "-o", str(tmp_path / "m.onnx"), *options]) == 2
        *_, line = capfd.readouterr().err.splitlines()
        assert line.startswith(f"edgecnn: {' '.join(options[:-1])}")
    assert not list(tmp_path.glob("m.*"))
