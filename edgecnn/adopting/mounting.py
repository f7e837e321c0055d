"""How somebody's model hangs between the inputs and the outputs of a manifest."""

from dataclasses import dataclass
from typing import Literal

from edgecnn_runtime.pixel_scaling import PixelScaling

Layout = Literal["channels_last", "channels_first", "reshaped"]
Change = Literal["none", "log", "both", "grid"]  # to an output, before a decoder reads it


@dataclass(frozen=True, slots=True)
class End:
    """An output of the file, and what of the model it is.

    Attributes:
        name: as the manifest has it.
        tensor: which of the model's outputs.
        change: "log" makes logits of a softmax, "both" two scores of one, "grid" splits (.., A (5 + classes)).
        shape: after it, without the batch axis.
    """

    name: str
    tensor: int
    change: Change
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mounting:
    """What stands before a model and behind it.

    Attributes:
        image: which of its inputs is the image.
        layout: how it takes an image.
        scaling: how pixels become what it takes.
        ends: one an output of the manifest, in its order.
    """

    image: int
    layout: Layout
    scaling: PixelScaling
    ends: tuple[End, ...]
