"""What a classifier gives, and what it is taught: the two ends of the network, by name."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Targets, class_ids_of
from edgecnn.models.spec import ModelSpec
from edgecnn_runtime.decoders import Decoder, DistanceDecoder, OutputSpec, SoftmaxDecoder
from edgecnn_runtime.preprocessing import Placement


def logits(spec: ModelSpec, num_classes: int) -> tuple[Decoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the output of a classifier whose scores are the softmax of "logits"."""
    del spec
    return _one_output(SoftmaxDecoder(), num_classes)


def distances(spec: ModelSpec, num_classes: int) -> tuple[Decoder, tuple[OutputSpec, ...]]:
    """Returns those of one whose scores are the softmax of the negative "distances"."""
    del spec
    return _one_output(DistanceDecoder(), num_classes)


def arrays(
    targets: Targets, placements: Sequence[Placement], image_size: tuple[int, int] | None = None
) -> dict[str, npt.NDArray[np.int64]]:
    """Returns "class_ids", (N,) int64.

    Args:
        targets: classes of N images.
        placements: N; a class is nowhere in particular.
        image_size: of the input, likewise.
    """
    del placements, image_size
    return {"class_ids": class_ids_of(targets)}


def _one_output(decoder: Decoder, num_classes: int) -> tuple[Decoder, tuple[OutputSpec, ...]]:
    return decoder, (OutputSpec(decoder.output, (num_classes,)),)
