"""What a Keras localizer means by its outputs: the source's own answer, which a file is proven against."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.models.head import Head
from edgecnn.tasks.displayed import displayed_box
from edgecnn_runtime.decoders import LocationDecoder
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.localization import Localization


def own_results(
    manifest: Manifest, head: Head, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Localization]:
    """Returns the class scores and boxes that a model means, by Keras' softmax and without the runtime's arithmetic.

    Args:
        manifest: of the model.
        head: what the logits come from: no softmax, which the decoder's check refuses.
        outputs: raw outputs by name, N rows.
        placements: one an image, N of them.
    """
    del head
    decoder, image = cast(LocationDecoder, manifest.decoder), manifest.image_input
    scores = np.asarray(keras.ops.softmax(tf.cast(outputs[decoder.output], tf.float32)), np.float32)  # (N, classes)
    rows = np.asarray(outputs[decoder.boxes], np.float64).tolist()
    results = []
    for values, row, place in zip(scores, rows, placements, strict=True):
        center_x, center_y, root_width, root_height = (min(max(value, 0.0), 1.0) for value in row)
        x1, x2 = _span(center_x, root_width, int(image.width or 0))
        y1, y2 = _span(center_y, root_height, int(image.height or 0))
        box = np.array(displayed_box((x1, y1, x2, y2), place), np.float32)
        results.append(Localization(values, box, labels=manifest.labels, shape=place.image_size))
    return results


def _span(center: float, root: float, side: int) -> tuple[float, float]:
    """Returns where a box begins and ends along one axis of the input, in pixels.

    Args:
        center: as a part of the input's side.
        root: the square root of the length, as a part of the side.
        side: of the input, in pixels.
    """
    return side * center - side * root * root / 2, side * center + side * root * root / 2
