"""From raw outputs to results: pure functions, used by the device and by the evaluation of the Keras model alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import OutputError, SessionError
from edgecnn_runtime.manifest import Manifest
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
        outputs: raw outputs by name; the softmax decoder reads logits of shape (N, classes), floating point.
        placements: one an image, N of them.

    Raises:
        OutputError: an output holds NaN or infinity.
        SessionError: an output is missing or has another shape than the manifest declares.
    """
    name, expected = manifest.decoder.output, (len(placements), manifest.num_classes)
    if name not in outputs:
        raise SessionError(f"outputs: expected {name!r}, received {sorted(outputs)}")
    logits = outputs[name]
    if logits.shape != expected:
        raise SessionError(f"output {name!r}: expected shape {expected}, received {logits.shape}")
    if not np.isfinite(logits).all():
        invalid = logits.size - np.count_nonzero(np.isfinite(logits))
        raise OutputError(
            f"output {name!r}: expected finite numbers, received {invalid} NaN or infinite of {logits.size}, so "
            "no class can be read from it. The weights or the input are damaged."
        )
    labels = manifest.labels
    return [
        Classification(scores, labels, placement.image_size)
        for scores, placement in zip(softmax(logits), placements, strict=True)
    ]
