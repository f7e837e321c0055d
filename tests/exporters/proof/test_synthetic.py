import numpy as np
import pytest

from edgecnn_exporters.proof.synthetic import MOST, synthetic_images
from edgecnn_runtime.manifest import ImageInput


def drawn(height=16, width=12, color="rgb", **options):
    spec = ImageInput("image", height, width, color, multiple_of=options.pop("multiple_of", None))
    return np.concatenate(list(synthetic_images(spec, **options)))


def test_synthetic_images_are_the_same_every_time():
    np.testing.assert_array_equal(drawn(), drawn())


def test_synthetic_images_do_not_depend_on_the_batch_size():
    np.testing.assert_array_equal(drawn(batch_size=8), drawn(batch_size=5))


@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("gray", 1)])
def test_synthetic_images_have_the_form_of_the_input(color, channels):
    images = drawn(color=color)
    assert (images.shape, images.dtype) == ((MOST, 16, 12, channels), np.uint8)


def test_synthetic_images_are_of_four_kinds():
    images = drawn(height=64, width=64, color="gray").astype(float)[..., 0]
    steps = np.abs(np.diff(images, axis=2)).mean(axis=(1, 2))  # noise is rough, waves and gradients smooth
    spread = images.std(axis=(1, 2))
    assert (steps[0::4] > 50).all()
    assert (steps[1::4] < 50).all()
    assert (spread[1::4] > 5).all()
    assert (steps[2::4] < 5).all()
    assert (spread[3::4] == 0).all()


def test_synthetic_images_differ_from_one_another():
    images = drawn()
    assert len({image.tobytes() for image in images}) > MOST * 0.9


def test_synthetic_images_of_a_free_size_are_of_several_sizes():
    spec = ImageInput(name="image", height=None, width=None, color="rgb", multiple_of=32)
    sizes = [images.shape[1:3] for images in synthetic_images(spec)]
    assert len(set(sizes)) >= 3
    assert any(side % 32 for size in sizes for side in size)


def test_synthetic_images_of_a_free_size_are_no_smaller_than_its_multiple():
    spec = ImageInput(name="image", height=None, width=64, color="gray", multiple_of=224)
    assert {images.shape[1:3] for images in synthetic_images(spec)} == {(256, 64), (224, 64)}


@pytest.mark.parametrize("side", [1, 2])
def test_synthetic_images_can_be_tiny(side):
    assert drawn(side, side).shape == (MOST, side, side, 3)


@pytest.mark.parametrize(("side", "count"), [(1, 32), (256, 32), (257, 28), (416, 12), (512, 8), (2000, 8)])
def test_synthetic_images_are_fewer_where_they_are_large(side, count):
    spec = ImageInput("image", side, side, "gray")
    assert sum(map(len, synthetic_images(spec))) == count
