"""The manifest: the single truth about a model's inputs, labels, decoder and outputs.

It is written before the first weight is trained, travels with the weights, and is never edited. Training, export,
evaluation and the device all read this one object. The JSON is strict: every key is required, unknown keys are refused.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from edgecnn_runtime import strict_json
from edgecnn_runtime.decoders import Decoder, OutputSpec, TaskName
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.images import MAX_PIXELS
from edgecnn_runtime.proposals import ProposalsInput
from edgecnn_runtime.questions import TextInput

SCHEMA_VERSION = 1
METADATA_KEY = "edgecnn.manifest"

_LEAST_CROP = 0.01  # the scaled image is 100 times as large as the input then
_MAX_SIZE = 1 << 24

Color = Literal["rgb", "gray"]
Resize = Literal["stretch", "letterbox", "center_crop", "pad"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which catalogue row the weights belong to.

    Attributes:
        name: the catalogue name, for example "mnist_convnet".
        width: the multiplier on the number of filters; 1.0 is the published model.
    """

    name: str
    width: float


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image input, and how an image of any size becomes its pixels.

    The graph takes uint8 (N, height, width, channels) and normalises by itself, so no mean and no scale stands here.

    Attributes:
        name: the graph input's name.
        height: pixels, or None where the graph takes any height.
        width: pixels, or None where the graph takes any width.
        color: "rgb" (3 channels) or "gray" (1 channel); Pillow converts.
        resize: "stretch" to the size; "letterbox" keeps the aspect ratio and pads; "center_crop" scales the shorter
            side to size / crop_fraction and cuts the middle; "pad", where both sizes are free, leaves the image as it
            is and continues it by reflection on its right and lower side.
        crop_fraction: the part of the scaled image that center_crop keeps, 0.01 to 1; None for the others.
        pad_value: the gray level that letterbox pads with, 0 to 255; None for the others.
        multiple_of: height and width are rounded to this where they are None, by "pad" upwards, which refuses a smaller
            image; None where both are fixed.
        kind: always "image".
    """

    name: str
    height: int | None
    width: int | None
    color: Color
    resize: Resize = "stretch"
    crop_fraction: float | None = None
    pad_value: int | None = None
    multiple_of: int | None = None
    kind: Literal["image"] = "image"

    dtype: ClassVar[str] = "uint8"

    @property
    def channels(self) -> int:
        """Number of channels: 3 for rgb, 1 for gray."""
        return 3 if self.color == "rgb" else 1

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the graph's input, without the batch axis; None where a size is free."""
        return (self.height, self.width, self.channels)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that the device must know about a model besides its graph.

    Attributes:
        task: what kind of result the model gives.
        model: catalogue name and width.
        inputs: in the graph's order: an image and, where the decoder answers questions, the question, or where it
            decodes regions that the graph does not propose, the regions.
        labels: one name a class, unique; None for a model that never saw data. How many classes there are, the decoder
            says: two where one unit goes through a sigmoid.
        decoder: how raw outputs become results.
        outputs: in the graph's order.

    Raises:
        ManifestError: the parts contradict each other.
    """

    task: TaskName
    model: ModelInfo
    inputs: tuple[ImageInput | TextInput | ProposalsInput, ...]
    labels: tuple[str, ...] | None
    decoder: Decoder
    outputs: tuple[OutputSpec, ...]

    def __post_init__(self) -> None:
        if self.task != self.decoder.task:
            raise ManifestError(
                f"manifest: expected a decoder for {self.task}, received {self.decoder.kind!r}, one for "
                f"{self.decoder.task}"
            )
        _check_inputs(self.inputs, beside=self.decoder.beside())
        _check_image(self.image_input)
        for spec in self.inputs:
            if not isinstance(spec, ImageInput):
                spec.check()
        proposals = self.proposals_input
        if proposals is not None and self.output(self.decoder.output).shape[:1] != (proposals.count,):
            raise ManifestError(
                f"manifest: output {self.decoder.output!r}: expected a row for each of {proposals.count} regions of "
                f"input {proposals.name!r}, received shape {self.output(self.decoder.output).shape}"
            )
        _check_outputs(self.outputs)
        image, shapes = self.image_input, {output.name: output.shape for output in self.outputs}
        misfit = self.decoder.misfit(shapes, (image.height, image.width), multiple_of=image.multiple_of)
        if misfit is not None:
            raise ManifestError(f"manifest: {misfit}")
        _check_labels(self)

    @property
    def image_input(self) -> ImageInput:
        """The image input."""
        return next(spec for spec in self.inputs if isinstance(spec, ImageInput))

    @property
    def text_input(self) -> TextInput | None:
        """The question's input; None where no question is asked."""
        return next((spec for spec in self.inputs if isinstance(spec, TextInput)), None)

    @property
    def proposals_input(self) -> ProposalsInput | None:
        """The input of the regions that are looked at; None where the graph proposes them, or looks at none."""
        return next((spec for spec in self.inputs if isinstance(spec, ProposalsInput)), None)

    @property
    def num_units(self) -> int:
        """The last axis of the output that the decoder reads: how many numbers it takes for one answer."""
        return cast(int, self.output(self.decoder.output).shape[-1])

    @property
    def num_classes(self) -> int:
        """How many labels there may be, as the decoder says of its units."""
        return self.decoder.num_classes(self.num_units)

    def output(self, name: str) -> OutputSpec:
        """Returns the declared output of that name.

        Raises:
            ManifestError: no output has it.
        """
        for output in self.outputs:
            if output.name == name:
                return output
        raise ManifestError(
            f"manifest: the decoder reads output {name!r}, but the outputs are {[o.name for o in self.outputs]}"
        )

    def to_json(self) -> str:
        """Returns compact JSON with sorted keys; the same manifest always gives the same text."""
        return strict_json.dump(self, schema_version=SCHEMA_VERSION)

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Reads the text that `to_json` wrote.

        Raises:
            ManifestError: not JSON, another schema version, a missing or unknown key, a wrong type, a contradiction.
        """
        return strict_json.load(cls, text, schema_version=SCHEMA_VERSION, what="manifest")


def _check_inputs(
    inputs: Sequence[ImageInput | TextInput | ProposalsInput], *, beside: Literal["text", "proposals"] | None
) -> None:
    expected = ["image"] if beside is None else ["image", beside]
    names, kinds = [spec.name for spec in inputs], [spec.kind for spec in inputs]
    if kinds != expected or len(set(names)) < len(names):
        what = f"two inputs of different names, an image and a {beside}" if beside else "one input, an image"
        received = dict(zip(names, kinds, strict=True))
        raise ManifestError(f"manifest: expected {what}, received {len(inputs)}: {received}")


def _check_image(image: ImageInput) -> None:
    where = f"manifest: input {image.name!r}"
    free = image.height is None or image.width is None
    if (image.multiple_of is not None) != free:
        raise ManifestError(f"{where}: multiple_of belongs to a free height or width, and only there")
    if image.resize == "pad" and (image.height is not None or image.width is not None):
        raise ManifestError(
            f"{where}: expected a free height and width for resize 'pad', received {image.height} x {image.width}"
        )
    if (image.crop_fraction is not None) != (image.resize == "center_crop"):
        raise ManifestError(f"{where}: crop_fraction belongs to resize 'center_crop', and only there")
    if (image.pad_value is not None) != (image.resize == "letterbox"):
        raise ManifestError(f"{where}: pad_value belongs to resize 'letterbox', and only there")
    for name, size in (("height", image.height), ("width", image.width), ("multiple_of", image.multiple_of)):
        if size is not None and not 1 <= size <= 65535:
            raise ManifestError(f"{where}: expected {name} from 1 to 65535, received {size}")
    if (image.height or 1) * (image.width or 1) > MAX_PIXELS:
        raise ManifestError(
            f"{where}: expected at most {MAX_PIXELS // 1_000_000} megapixels, received {image.height} x {image.width}"
        )
    if image.crop_fraction is not None and not _LEAST_CROP <= image.crop_fraction <= 1:
        raise ManifestError(f"{where}: expected crop_fraction from {_LEAST_CROP} to 1, received {image.crop_fraction}")
    if image.pad_value is not None and not 0 <= image.pad_value <= 255:
        raise ManifestError(f"{where}: expected pad_value from 0 to 255, received {image.pad_value}")


def _check_outputs(outputs: Sequence[OutputSpec]) -> None:
    names = [output.name for output in outputs]
    if len(set(names)) < len(names):
        raise ManifestError(f"manifest: expected outputs of different names, received {names}")
    for output in outputs:
        if not all(size is None or 1 <= size <= _MAX_SIZE for size in output.shape):
            raise ManifestError(
                f"manifest: output {output.name!r}: expected sizes from 1 to {_MAX_SIZE}, received {output.shape}"
            )


def _check_labels(manifest: Manifest) -> None:
    decoder = manifest.decoder
    where, shape = f"manifest: output {decoder.output!r}", manifest.output(decoder.output).shape
    if not shape or shape[-1] is None:
        raise ManifestError(
            f"manifest: expected output {decoder.output!r} to fix the number of its classes, received {shape}"
        )
    if shape[-1] < decoder.least_units:
        raise ManifestError(
            f"{where}: expected {decoder.least_units} units or more for decoder {decoder.kind!r}, received "
            f"{shape[-1]}{decoder.too_few}"
        )
    labels, count = manifest.labels, manifest.num_classes
    if labels is None:
        return
    if len(labels) != count:
        apart = shape[-1] == 1 and count == 2
        meaning = f", whose one unit tells two classes apart by decoder {decoder.kind!r}" if apart else ""
        raise ManifestError(
            f"manifest: expected {count} labels for output {decoder.output!r}{meaning}, received {len(labels)}. "
            "Write one label a class, in the order of the classes"
            + (": the one that a low score means, then the one that a high score means." if meaning else ".")
        )
    if len(set(labels)) != len(labels):
        repeated = sorted(label for label, times in Counter(labels).items() if times > 1)
        raise ManifestError(f"manifest: expected unique labels, received {repeated} more than once")
