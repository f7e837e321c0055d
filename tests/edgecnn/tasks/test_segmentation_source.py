"""What a Keras segmenter means by its logits, by TensorFlow, beside what the runtime reads from them."""

import numpy as np
import pytest

from edgecnn.tasks.segmentation.source import own_results
from edgecnn_runtime.decoders import ClassMapDecoder, OutputSpec
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Preprocessor
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


@pytest.mark.parametrize("image_size", [(48, 64), (96, 128), (100, 60), (481, 640), (24, 33), (17, 200), (31, 64)])
@pytest.mark.parametrize(
    "options", [{"resize": "stretch"}, {"resize": "letterbox", "pad_value": 0}], ids=["stretch", "letterbox"]
)
def test_both_ways_give_the_same_classes_but_for_a_thousandth(image_size, options):
    manifest, random = manifest_of(**options), np.random.default_rng(2)
    _, placement = Preprocessor(manifest.image_input)(np.zeros((*image_size, 3), np.uint8))
    outputs = {"logits": smooth(random)}
    (own,) = own_results(manifest, None, outputs, [placement])
    (read,) = SEGMENTATION.decode(manifest, outputs, [placement])
    assert own.class_map.shape == read.class_map.shape == image_size
    assert len(np.unique(own.class_map)) > 1
    assert SEGMENTATION.agreement(own, read).same


def test_a_map_that_is_moved_by_a_pixel_of_the_input_is_another():
    manifest, random = manifest_of(resize="stretch"), np.random.default_rng(2)
    _, placement = Preprocessor(manifest.image_input)(np.zeros((480, 640, 3), np.uint8))
    logits = smooth(random)
    (own,) = own_results(manifest, None, {"logits": logits}, [placement])
    (moved,) = SEGMENTATION.decode(manifest, {"logits": np.roll(logits, 1, axis=1)}, [placement])
    assert not SEGMENTATION.agreement(own, moved).same
