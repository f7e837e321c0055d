import keras
import numpy as np
import pytest
from PIL import Image

from edgecnn.errors import UsageError, WriteError
from edgecnn.evaluation.feature_maps import FeatureMaps, feature_maps
from edgecnn.evaluation.map_grid import draw_feature_maps
from edgecnn.models import build_manifest, build_model, get_spec
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.preprocessing import Preprocessor

SIDE = 7  # of the line filters


@pytest.fixture
def model():
    return build_model("fashion_cnn", image_size=(20, 24), num_classes=3, width=0.1, seed=1)


@pytest.fixture
def manifest():
    return build_manifest(get_spec("fashion_cnn"), ("a", "b", "c"), image_size=(20, 24))


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8))


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv3b", "normalization"])
def test_feature_maps_are_those_of_a_sub_model(model, manifest, photo, layer):
    maps = feature_maps(model, manifest, photo, layer=layer)
    pixels, _ = Preprocessor(manifest.image_input)(photo)
    expected = keras.Model(model.input, model.get_layer(layer).output).predict(pixels, verbose=0)[0]
    assert (maps.layer, maps.activations.dtype, maps.activations.shape) == (layer, np.float32, expected.shape)
    np.testing.assert_allclose(maps.activations, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(maps.pixels, pixels[0])


def test_feature_maps_take_the_first_convolution(model, manifest, photo):
    maps = feature_maps(model, manifest, photo)
    assert (maps.layer, maps.activations.shape) == ("conv1", (20, 24, 6))


def test_feature_maps_of_regions_are_those_of_the_whole_picture(photo):
    model = build_model("rcnn", image_size=(64, 96), num_classes=3, width=0.1, seed=1)
    manifest = build_manifest(get_spec("rcnn"), None, image_size=(64, 96), num_classes=3, width=0.1)
    maps = feature_maps(model, manifest, photo, layer="normalization")  # 50 x 41, in the middle of 64 x 96
    assert maps.activations.shape == (32, 32, 3)
    assert maps.activations[16, 16] == pytest.approx(maps.pixels[31:33, 47:49].mean(axis=(0, 1)) / 255, abs=0.3)
    assert maps.activations[16].mean(axis=-1).std() > 0.05, "the picture, and not what is around it"
    assert feature_maps(model, manifest, photo).layer == "conv1_conv"


def test_feature_maps_leave_dropout_out(manifest, photo):
    image = keras.Input((20, 24, 1), dtype="uint8", name="image")
    dropped = keras.layers.Dropout(0.5, name="dropped")(keras.layers.Rescaling(1.0)(image))
    maps = feature_maps(keras.Model(image, dropped), manifest, photo, layer="dropped")
    assert np.array_equal(maps.activations, maps.pixels.astype(np.float32))


@pytest.mark.parametrize("vertical", [True, False])
def test_feature_maps_show_a_line_to_the_filter_of_its_direction(model, manifest, vertical):
    """The filters of tests/edgecnn/test_line_filters.py in the model's first two channels."""
    filters = np.zeros((SIDE, SIDE, 1, 6))
    filters[:, SIDE // 2, 0, 0] = filters[SIDE // 2, :, 0, 1] = 1
    model.get_layer("conv1").set_weights([filters, np.zeros(6)])
    picture = np.zeros((20, 24), np.uint8)
    picture[(slice(None), 12) if vertical else (10, slice(None))] = 255
    maps = feature_maps(model, manifest, picture).activations
    along, across = (maps[:, :, 0], maps[:, :, 1]) if vertical else (maps[:, :, 1].T, maps[:, :, 0].T)
    line, length = (12, 20) if vertical else (10, 24)
    assert along[:, line] == pytest.approx([4, 5, 6, *[7] * (length - 6), 6, 5, 4])
    assert np.delete(along, line, axis=1).max() == 0
    assert across.max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conv9", r"layer: expected one of image, normalization, conv1, pool1, .*, pool3, received 'conv9'"),
        ("logits", r"layer: expected one with maps, .*, received 'logits', whose output is \(N, 3\)\. .* are image, "),
    ],
)
def test_feature_maps_refuse_a_layer_without_maps(model, manifest, photo, layer, message):
    with pytest.raises(UsageError, match=message):
        feature_maps(model, manifest, photo, layer=layer)


def test_feature_maps_need_a_name_where_there_is_no_convolution(manifest, photo):
    image = keras.Input((20, 24, 1), dtype="uint8", name="image")
    model = keras.Model(image, keras.layers.Rescaling(1.0, name="scaled")(image))
    with pytest.raises(UsageError, match="expected one of image, scaled, received none"):
        feature_maps(model, manifest, photo)


def test_feature_maps_refuse_what_is_no_image(model, manifest):
    with pytest.raises(ImageError):
        feature_maps(model, manifest, b"<svg/>")


def random_maps(height, width, channels, color=3):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (30, 20, color), np.uint8)
    return FeatureMaps("conv$1", pixels, random.normal(size=(height, width, channels)).astype(np.float32))


def size_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


@pytest.mark.parametrize("shape", [(1, 1, 5), (3, 90, 2), (90, 3, 2), (8, 8, 1)], ids=str)
def test_draw_feature_maps_takes_maps_of_any_shape(tmp_path, shape):
    draw_feature_maps(random_maps(*shape, color=1), tmp_path / "maps.png")
    assert min(size_of(tmp_path / "maps.png")) > 100


def test_draw_feature_maps_draws_maps_of_one_value_and_of_no_numbers(tmp_path):
    maps = random_maps(4, 4, 3)
    maps.activations[:, :, 0], maps.activations[:, :, 1], maps.activations[1, 1, 2] = 0, np.nan, np.inf
    draw_feature_maps(maps, tmp_path / "maps.png")
    assert size_of(tmp_path / "maps.png")


def test_draw_feature_maps_draws_no_more_than_it_is_asked_for(tmp_path):
    maps = random_maps(8, 8, 14)
    sizes = []
    for channels in (2, 6, 14, 500):
        draw_feature_maps(maps, tmp_path / "maps.png", channels=channels)
        width, height = size_of(tmp_path / "maps.png")
        sizes.append(width * height)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3  # 500 are no more than 14


def test_draw_feature_maps_scales_each_map_on_its_own(tmp_path):
    maps = random_maps(8, 8, 1)
    maps.activations[0, 0] = -9
    draw_feature_maps(maps, tmp_path / "maps.png")
    with Image.open(tmp_path / "maps.png") as image:
        colors = {color for _, color in image.convert("RGB").getcolors(2**24)}
    assert {(68, 1, 84), (253, 231, 36)} <= colors  # the darkest and the brightest of viridis


def test_draw_feature_maps_names_the_file_when_it_cannot_be_written(tmp_path):
    with pytest.raises(WriteError, match=r"cannot write \S*/missing/maps\.png"):
        draw_feature_maps(random_maps(4, 4, 1), tmp_path / "missing" / "maps.png")
