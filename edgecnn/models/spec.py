"""One row of the catalogue: what a documented model is, before anything heavy is imported."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgecnn_runtime.decoders import TaskName


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A documented model at its published size.

    Attributes:
        name: the catalogue name.
        task: what kind of result it gives.
        builder: "module:function"; the function takes `image_size`, `channels`, `num_classes` and `width`, and of a
            task that asks questions `text`.
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
        pad_value: for "letterbox", the gray level that fills what the image leaves, 0 to 255.
        outputs: "module:function" of the row, at the image size asked for, and a number of classes: the decoder, and
            the outputs that the model has. None takes the task's.
        beside: "module:function" that gives the inputs beside the image, in their order. None takes the task's.
        multiple_of: height and width must be multiples of so many pixels, those of a cell of its coarsest grid.
        scalable: whether the width multiplier may differ from 1.
        backbone: the last layer before the head, where the model has a backbone that can be frozen or kept.
        application: the function of `keras.applications` whose ImageNet weights fit, where there are such.
        darknet: whether Darknet's .weights files fit.
        trainee: "module:function" of the model, this row, the manifest and the options of a training: the `Trainee`,
            perhaps with outputs that only training has. None takes the task's.
        learns_from: names of the arrays that the model takes beside the pixels while it learns, and no longer then.
        inference: "module:function" of the model that is trained and its manifest, the one that is saved. None takes
            the task's.
        shortened: whether the backbone is the first layers of a classifier of that `application`, or of the row whose
            layers have its names: weights of the whole classifier fit.
    """

    name: str
    task: "TaskName"
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
    pad_value: int | None = None
    outputs: str | None = None
    beside: str | None = None
    multiple_of: int = 1
    scalable: bool = True
    backbone: str | None = None
    application: str | None = None
    darknet: bool = False
    trainee: str | None = None
    learns_from: tuple[str, ...] = ()
    inference: str | None = None
    shortened: bool = False

    @property
    def channels(self) -> int:
        """Number of channels of the input image: 3 for rgb, 1 for gray."""
        return 3 if self.color == "rgb" else 1
