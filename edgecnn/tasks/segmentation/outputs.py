"""What a network gives that answers with a class for every pixel."""

from edgecnn.models.spec import ModelSpec
from edgecnn_runtime.decoders import ClassMapDecoder, OutputSpec


def class_map(spec: ModelSpec, num_classes: int) -> tuple[ClassMapDecoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the output of a network with one logit a pixel and class.

    Args:
        spec: the catalogue row, at the image size that is asked for.
        num_classes: number of logits of a pixel.
    """
    decoder = ClassMapDecoder()
    return decoder, (OutputSpec(decoder.output, (*spec.image_size, num_classes)),)
