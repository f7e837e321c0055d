"""From raw outputs to results: pure functions, used by the device and by the evaluation of the Keras model alike.

No proof stands on these lines alone: an export compares their scores with those that the source gives by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import OutputError, SessionError
from edgecnn_runtime.manifest import DistanceDecoder, Manifest, SigmoidDecoder, SoftmaxDecoder
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Classification
from edgecnn_runtime.scores import sigmoid, two_classes
from edgecnn_runtime.scores import softmax as softmax  # these two are part of this module's interface
from edgecnn_runtime.scores import top_k as top_k


def decode(
    manifest: Manifest, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Classification]:
    """Returns one result an image.

    Args:
        manifest: of the model that gave the outputs.
        outputs: raw outputs by name; the decoder's is of shape (N, units), floating point.
        placements: one an image, N of them.

    Raises:
        OutputError: an output holds NaN or infinity.
        SessionError: an output is missing or has another shape than the manifest declares.
    """
    name, expected = manifest.decoder.output, (len(placements), manifest.num_units)
    if name not in outputs:
        raise SessionError(f"outputs: expected {name!r}, received {sorted(outputs)}")
    received = outputs[name]
    if received.shape != expected:
        raise SessionError(f"output {name!r}: expected shape {expected}, received {received.shape}")
    if not np.isfinite(received).all():
        invalid = received.size - np.count_nonzero(np.isfinite(received))
        raise OutputError(
            f"output {name!r}: expected finite numbers, received {invalid} NaN or infinite of {received.size}, so "
            "no class can be read from it. The weights or the input are damaged."
        )
    labels = manifest.labels
    return [
        Classification(scores, labels, placement.image_size)
        for scores, placement in zip(_class_scores(manifest, received), placements, strict=True)
    ]


def _class_scores(manifest: Manifest, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns (N, classes) from the (N, units) that the decoder reads."""
    decoder = manifest.decoder
    if isinstance(decoder, SoftmaxDecoder):
        return softmax(values)
    if isinstance(decoder, DistanceDecoder):
        return softmax(-values)
    # rounding alone may put a score beyond: the export saw that they are scores
    scores = sigmoid(values) if isinstance(decoder, SigmoidDecoder) else values.astype(np.float32).clip(0, 1)
    return two_classes(scores) if manifest.num_units == 1 else scores
