"""From raw outputs to results: pure functions, used by the device and by the evaluation of the Keras model alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import OutputError, SessionError
from edgecnn_runtime.manifest import DistanceDecoder, Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Classification
from edgecnn_runtime.scores import softmax as softmax  # these two are part of this module's interface
from edgecnn_runtime.scores import top_k as top_k


def decode(
    manifest: Manifest, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement]
) -> list[Classification]:
    """Returns one result an image.

    Args:
        manifest: of the model that gave the outputs.
        outputs: raw outputs by name; the decoder's is of shape (N, classes), floating point.
        placements: one an image, N of them.

    Raises:
        OutputError: an output holds NaN or infinity.
        SessionError: an output is missing or has another shape than the manifest declares.
    """
    name, expected = manifest.decoder.output, (len(placements), manifest.num_classes)
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
        for scores, placement in zip(softmax(class_logits(manifest, outputs)), placements, strict=True)
    ]


def class_logits(manifest: Manifest, outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Returns what the softmax is taken of, (N, classes), the larger the likelier: logits, or negative distances.

    Args:
        manifest: names the decoder.
        outputs: raw outputs by name.
    """
    values = outputs[manifest.decoder.output]
    return -values if isinstance(manifest.decoder, DistanceDecoder) else values
