"""`export --image-size dynamic` and `--tile`: what they make of a manifest, and what they refuse."""

import pytest
import segmentations

from edgecnn.cli import main
from edgecnn.errors import UsageError
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.picture_size import for_pictures
from edgecnn.models.build import build_manifest, get_spec

LABELS = segmentations.LABELS


def config(**options):
    return ExportConfig("unet", weights="none", **options)


def manifest_of(name="unet", **options):
    return build_manifest(get_spec(name), LABELS, **options)


def test_a_file_of_any_size_pads_to_the_coarsest_cell_of_its_row():
    for name, step in (("unet", 16), ("fcn8s", 32)):
        manifest = for_pictures(config(image_size="dynamic"), manifest_of(name))
        image = manifest.image_input
        assert (image.height, image.width, image.resize, image.multiple_of) == (None, None, "pad", step)
        assert (image.crop_fraction, image.pad_value) == (None, None)
        assert manifest.output("logits").shape == (None, None, 3)
        assert manifest.decoder.tiles is None
        assert for_pictures(config(image_size="dynamic"), manifest) == manifest


@pytest.mark.parametrize(
    ("tile", "overlap", "expected"), [(512, 128, 128), (512, None, 128), (64, None, 16), (32, None, 16), (48, 32, 32)]
)
def test_tiles_have_the_size_of_the_input_and_a_quarter_in_common(tile, overlap, expected):
    manifest = for_pictures(config(tile=tile, overlap=overlap), manifest_of(image_size=(96, 64)))
    image = manifest.image_input
    assert (image.height, image.width, image.resize, image.multiple_of) == (tile, tile, "stretch", None)
    assert manifest.output("logits").shape == (tile, tile, 3)
    assert (manifest.decoder.tiles.size, manifest.decoder.tiles.overlap) == (tile, expected)


def test_tiles_of_a_source_of_any_size_are_of_one_size():
    free = for_pictures(config(image_size="dynamic"), manifest_of())
    assert for_pictures(config(tile=64), free).image_input.height == 64


def test_a_source_stays_what_it_is_where_nobody_asks():
    assert for_pictures(config(), manifest_of()) == manifest_of()


@pytest.fixture
def own(tmp_path):
    """A file that is no row of the catalogue: its network takes one size."""
    (tmp_path / "model.keras").write_bytes(b"")
    return str(tmp_path / "model.keras")


def test_a_network_of_one_size_takes_tiles_of_that_size_alone(own):
    tiled = for_pictures(ExportConfig(own, tile=24, overlap=5), segmentations.make_manifest((24, 24)))
    assert (tiled.image_input.height, tiled.decoder.tiles.overlap) == (24, 5)


@pytest.mark.parametrize(
    ("size", "options", "said"),
    [
        ((24, 24), {"tile": 32}, "--tile: expected the size of the network's input, 24 x 24, received 32"),
        ((24, 32), {"tile": 24}, "--tile: expected the size of the network's input, 24 x 32, received 24"),
        ((24, 24), {"tile": 24, "overlap": 22}, "--overlap: expected 1 to 21 for tiles of 24, received 22"),
        ((24, 24), {"image_size": "dynamic"}, "--image-size dynamic: expected a segmenter of the catalogue"),
    ],
)
def test_a_network_of_one_size_is_refused_what_it_cannot_do(own, size, options, said):
    with pytest.raises(UsageError, match=said):
        for_pictures(ExportConfig(own, **options), segmentations.make_manifest(size))


UNET = ["unet", "--weights", "none"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["mnist_convnet", "--weights", "none", "--tile", "32"],
            "--tile: it cannot take effect on mnist_convnet, whose decoder 'softmax' answers no picture pixel by pixel",
        ),
        (
            ["yolov3_tiny", "--weights", "none", "--image-size", "dynamic"],
            "--image-size dynamic: it cannot take effect on yolov3_tiny, whose decoder 'yolo'",
        ),
        ([*UNET, "--tile", "40"], "--tile: expected a multiple of 16, the pixels of its coarsest cell, received 40"),
        ([*UNET, "--tile", "16"], "--tile: expected 32 pixels or more, received 16"),
        ([*UNET, "--tile", "0"], "--tile: expected pixels, 1 or more, received 0"),
        ([*UNET, "--tile", "-32"], "--tile: expected pixels, 1 or more, received -32"),
        ([*UNET, "--tile", "8192"], "--tile: tiles: expected a size from 2 to 4096, received 8192"),
        ([*UNET, "--tile", "64", "--overlap", "8"], "--overlap: expected a multiple of 16"),
        ([*UNET, "--tile", "64", "--overlap", "0"], "--overlap: expected 16 to 48 for tiles of 64, received 0"),
        ([*UNET, "--tile", "64", "--overlap", "-16"], "--overlap: expected 16 to 48 for tiles of 64, received -16"),
        ([*UNET, "--tile", "64", "--overlap", "64"], "--overlap: expected 16 to 48 for tiles of 64, received 64"),
        ([*UNET, "--overlap", "16"], "--overlap: it needs --tile"),
        ([*UNET, "--tile", "64", "--image-size", "64,64"], "--image-size: it cannot take effect with --tile"),
        ([*UNET, "--tile", "64", "--image-size", "dynamic"], "--image-size: it cannot take effect with --tile"),
        ([*UNET, "--image-size", "any"], "expected height and width in pixels as H,W, or dynamic, received 'any'"),
        ([*UNET, "--tile", "big"], "--tile"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_export_refuses_in_one_line_what_does_not_fit_a_source(tmp_path, capfd, words, said):
    assert main(["export", *words, "-o", str(tmp_path / "m.onnx")]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert said in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []
