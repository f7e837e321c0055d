"""One row of the catalogue: what a documented model is, before anything heavy is imported."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A documented model at its published size.

    Attributes:
        name: the catalogue name.
        task: what kind of result it gives.
        builder: "module:function"; the function takes `image_size`, `channels`, `num_classes` and `width`.
        image_size: the published (height, width) in pixels.
        color: "rgb" or "gray"; the data's images are converted to it.
        num_classes: the published number of classes.
        parameters: all parameters at the published size.
        trainable_parameters: those that training changes.
        smallest_size: the least height and width, in pixels, that the layers leave room for.
        summary: the layers in one line.
        reference: the paper or book.
        resize: how an image of another size is brought to the input's.
        crop_fraction: for "center_crop", the part of the scaled image that is kept.
        decoder: how the output becomes scores: the softmax of "logits", or of the negative "distances".
        scalable: whether the width multiplier may differ from 1.
        backbone: the last layer before the head, where the model has a backbone that can be frozen or kept.
        application: the function of `keras.applications` whose ImageNet weights fit, where there are such.
        auxiliary: "module:function" that adds further outputs for training only, where the paper has them.
    """

    name: str
    task: Literal["classification"]
    builder: str
    image_size: tuple[int, int]
    color: Literal["rgb", "gray"]
    num_classes: int
    parameters: int
    trainable_parameters: int
    smallest_size: int
    summary: str
    reference: str
    resize: Literal["stretch", "letterbox", "center_crop"] = "stretch"
    crop_fraction: float | None = None
    decoder: Literal["softmax", "distance"] = "softmax"
    scalable: bool = True
    backbone: str | None = None
    application: str | None = None
    auxiliary: str | None = None

    @property
    def channels(self) -> int:
        """Number of channels of the input image: 3 for rgb, 1 for gray."""
        return 3 if self.color == "rgb" else 1
