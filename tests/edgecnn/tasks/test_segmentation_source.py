"""What a Keras segmenter means by its logits, by TensorFlow, beside what the runtime reads from them."""

import numpy as np
import pytest
import tensorflow as tf

from edgecnn.tasks.segmentation.source import own_results
from edgecnn_runtime.decoders import ClassMapDecoder, OutputSpec
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement, Preprocessor
from edgecnn_runtime.tasks.segmentation import SEGMENTATION

SIZE, CLASSES = (48, 64), 4


def manifest_of(**options):
    image = ImageInput("image", *SIZE, "rgb", **options)
    outputs = (OutputSpec("logits", (*SIZE, CLASSES)),)
    return Manifest("segmentation", ModelInfo("m", 1.0), (image,), None, ClassMapDecoder(), outputs)


def smooth(random):
    """Logits whose classes have areas and edges."""
    rows, columns = np.mgrid[0 : 1 : SIZE[0] * 1j, 0 : 1 : SIZE[1] * 1j]
    waves = [np.sin(a * rows + b * columns + c) for a, b, c in random.normal(0, 6, (CLASSES, 3))]
    return np.stack(waves, axis=-1)[np.newaxis].astype(np.float32)


@pytest.mark.parametrize(
    "image_size", [(48, 64), (96, 128), (100, 60), (481, 640), (24, 33), (17, 200), (31, 64), (1, 7), (1, 900)]
)
@pytest.mark.parametrize(
    "options",
    [
        {"resize": "stretch"},
        {"resize": "letterbox", "pad_value": 0},
        {"resize": "center_crop", "crop_fraction": 1.0},
        {"resize": "center_crop", "crop_fraction": 0.8},
    ],
    ids=["stretch", "letterbox", "center_crop", "center_crop of .8"],
)
def test_both_ways_give_the_same_classes_but_for_a_thousandth(image_size, options):
    manifest, random = manifest_of(**options), np.random.default_rng(2)
    _, placement = Preprocessor(manifest.image_input)(np.zeros((*image_size, 3), np.uint8))
    outputs = {"logits": smooth(random)}
    (own,) = own_results(manifest, None, outputs, [placement])
    (read,) = SEGMENTATION.decode(manifest, outputs, [placement])
    assert own.class_map.shape == read.class_map.shape == image_size
    assert len(np.unique(own.class_map)) > 1 or 1 in image_size
    assert SEGMENTATION.agreement(own, read).same


def test_logits_between_two_pixels_are_those_of_tensorflows_resize():
    outputs = {"logits": smooth(np.random.default_rng(3))}
    for size in ((100, 150), (20, 30), (100, 30)):
        place = Placement(size, (SIZE[0] / size[0], SIZE[1] / size[1]), (0.0, 0.0))
        (own,) = own_results(manifest_of(resize="stretch"), None, outputs, [place])
        expected = tf.argmax(tf.image.resize(outputs["logits"], size, antialias=True)[0], axis=-1)
        assert (own.class_map != expected.numpy()).mean() < 1e-3


def test_a_map_that_is_moved_by_a_pixel_of_the_input_is_another():
    manifest, random = manifest_of(resize="stretch"), np.random.default_rng(2)
    _, placement = Preprocessor(manifest.image_input)(np.zeros((480, 640, 3), np.uint8))
    logits = smooth(random)
    (own,) = own_results(manifest, None, {"logits": logits}, [placement])
    (moved,) = SEGMENTATION.decode(manifest, {"logits": np.roll(logits, 1, axis=1)}, [placement])
    assert not SEGMENTATION.agreement(own, moved).same
