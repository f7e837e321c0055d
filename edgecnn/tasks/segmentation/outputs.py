"""What a network gives that answers with a class for every pixel, and which options suit its training."""

from typing import TYPE_CHECKING

from edgecnn.errors import UsageError
from edgecnn.models.spec import ModelSpec
from edgecnn_runtime.decoders import ClassMapDecoder, OutputSpec
from edgecnn_runtime.manifest import Manifest

if TYPE_CHECKING:
    from edgecnn.training.config import TrainConfig


def class_map(spec: ModelSpec, num_classes: int) -> tuple[ClassMapDecoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the output of a network with one logit a pixel and class.

    Args:
        spec: the catalogue row, at the image size that is asked for.
        num_classes: number of logits of a pixel.
    """
    decoder = ClassMapDecoder()
    return decoder, (OutputSpec(decoder.output, (*spec.image_size, num_classes)),)


def check_options(manifest: Manifest, config: "TrainConfig") -> None:
    """Refuses options of a training that cannot take effect on this segmenter.

    Raises:
        UsageError: the window is larger than the images, or no multiple of the pixels of a coarsest cell.
    """
    if config.window is None:
        return
    from edgecnn.models.build import get_spec  # it imports the table of tasks

    image, step = manifest.image_input, get_spec(config.model).multiple_of
    sides = image.height or 0, image.width or 0
    if any(side % step for side in config.window):
        raise UsageError(
            f"window: expected multiples of {step}, the pixels of a coarsest cell of {config.model}, received "
            f"{config.window[0]},{config.window[1]}"
        )
    if any(side > whole for side, whole in zip(config.window, sides, strict=True)):
        raise UsageError(
            f"window: expected a part of the network's input of {sides[0]} x {sides[1]} pixels, received "
            f"{config.window[0]} x {config.window[1]}. Give a smaller one, or a larger --image-size"
        )
