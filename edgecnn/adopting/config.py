"""What is said of somebody's model beside its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from edgecnn.adopting.model_file import ModelFile
from edgecnn.errors import UsageError
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScaling, PixelScalingName

ModelColor = Literal["rgb", "bgr", "gray"]
ModelResize = Literal["stretch", "letterbox", "center_crop"]
ScoreDecoder = Literal["softmax", "sigmoid", "probabilities"]

CLASSES, BOXES, SCALE = "logits", "boxes", "scale_"  # what --output calls the outputs of our decoders
_CROP_FRACTION = 0.875  # of ImageNet's pictures: 256 pixels, of which 224 are cut out
_PAD_VALUE = 114  # as most detectors of elsewhere pad
_SPLIT = ","


@dataclass(frozen=True, slots=True)
class AdoptConfig:
    """What is asked of an adoption; None takes what the model's file says.

    Attributes:
        file: the model.
        data: labelled images to prove and to score it on; labels come from them where `labels` is None.
        labels: one name a class, in the order of the outputs.
        pixels: by name how pixels become what the network takes, where it does not do it itself.
        mean: instead of a name, as numbers: of pixels from 0 to 255, for all channels or one a channel.
        std: likewise.
        color: of the pictures that the network takes.
        image_size: (height, width) in pixels, for a network that takes any.
        resize: how a picture is brought to that size.
        crop_fraction: of "center_crop", above 0 to 1; None takes .875.
        pad_value: of "letterbox", 0 to 255; None takes 114.
        outputs: by our name ("logits", "boxes", "scale_16") the model's, where it has several.
        decoder: how scores come of a classifier's last layer, where that cannot be seen.
        anchors: (width, height) in pixels of a detector's input, for all its grids, the smallest first.
        vocabulary: of a model that answers questions: the words that have a number; the first has 2.
        skip_bad: go on without pictures that cannot be decoded.

    Raises:
        UsageError: options that contradict each other, or out of range.
    """

    file: ModelFile
    data: str | None = None
    labels: tuple[str, ...] | None = None
    pixels: PixelScalingName | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    color: ModelColor | None = None
    image_size: tuple[int, int] | None = None
    resize: ModelResize = "stretch"
    crop_fraction: float | None = None
    pad_value: int | None = None
    outputs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    decoder: ScoreDecoder | None = None
    anchors: tuple[tuple[float, float], ...] | None = None
    vocabulary: tuple[str, ...] | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.pixels is not None and self.pixels not in get_args(PixelScalingName):
            raise UsageError(f"--pixels: expected one of {', '.join(PIXEL_SCALINGS)}, received {self.pixels}")
        numbers = [option for option in ("mean", "std") if getattr(self, option) is not None]
        if self.pixels is not None and numbers:
            raise UsageError(f"--pixels {self.pixels}: it says mean and std already. Leave --{numbers[0]} out.")
        for option in numbers:
            values = getattr(self, option)
            if len(values) not in (1, 3) or not all(abs(value) < float("inf") for value in values):
                raise UsageError(f"--{option}: expected a number, or three with commas, received {values}")
        if self.std is not None and not all(value > 0 for value in self.std):
            raise UsageError(f"--std: expected numbers above 0, received {', '.join(map(str, self.std))}")
        if self.color == "bgr" and self.pixels == "caffe":
            raise UsageError("--color bgr: it cannot take effect with --pixels caffe, which is blue first already.")
        if self.crop_fraction is not None and self.resize != "center_crop":
            raise UsageError("--crop-fraction: it needs --resize center_crop.")
        if self.crop_fraction is not None and not 0.01 <= self.crop_fraction <= 1:
            raise UsageError(f"--crop-fraction: expected .01 to 1, received {self.crop_fraction}")
        if self.pad_value is not None and self.resize != "letterbox":
            raise UsageError("--pad-value: it needs --resize letterbox.")
        if self.pad_value is not None and not 0 <= self.pad_value <= 255:
            raise UsageError(f"--pad-value: expected 0 to 255, received {self.pad_value}")
        known = [name for name in self.outputs if name not in (CLASSES, "probabilities", BOXES)]
        for name in known:
            if not (name.startswith(SCALE) and name[len(SCALE) :].isdecimal()):
                raise UsageError(
                    f"--output {name}={self.outputs[name]}: expected logits, boxes or scale_N, N the pixels of a cell, "
                    f"received {name}"
                )

    @property
    def name(self) -> str:
        """Of the model: that of its file, without what follows the first point."""
        return self.file.path.name.split(".")[0] or "model"

    @property
    def asked_scaling(self) -> PixelScaling | None:
        """What `pixels`, `mean`, `std` and `color` say; None where none of the first three is given."""
        if self.pixels is None and self.mean is None and self.std is None:
            return None
        if self.pixels is not None:
            named = PIXEL_SCALINGS[self.pixels]
            return named if self.color != "bgr" else blue_first(named)
        return PixelScaling(self.mean or (0.0,), self.std or (1.0,), bgr=self.color == "bgr")

    @property
    def kept_part(self) -> float | None:
        """`crop_fraction` as a manifest has it."""
        return None if self.resize != "center_crop" else self.crop_fraction or _CROP_FRACTION

    @property
    def padding(self) -> int | None:
        """`pad_value` as a manifest has it."""
        if self.resize != "letterbox":
            return None
        return _PAD_VALUE if self.pad_value is None else self.pad_value


def blue_first(scaling: PixelScaling) -> PixelScaling:
    """Returns the scaling with red and blue exchanged: each colour keeps its numbers, which stand in their new order.

    >>> blue_first(PixelScaling((1.0, 2.0, 3.0), (1.0,)))
    PixelScaling(mean=(3.0, 2.0, 1.0), std=(1.0,), bgr=True)
    """
    return PixelScaling(scaling.mean[::-1], scaling.std[::-1], bgr=not scaling.bgr)


def read_labels_option(text: str) -> tuple[str, ...]:
    """Reads labels: a file with one a line, or names with commas.

    Raises:
        UsageError: the file cannot be read, or there are none.

    >>> read_labels_option("cat, dog")
    ('cat', 'dog')
    """
    from edgecnn.exporting.source import read_labels  # it opens run folders, which this module is read by

    if Path(text).is_file():
        return tuple(read_labels(Path(text)))
    names = tuple(name.strip() for name in text.split(_SPLIT))
    if not all(names) or len(names) < 2:
        raise UsageError(f"--labels: expected a file with one label a line, or names with commas, received {text!r}")
    return names


def read_outputs(texts: Sequence[str]) -> dict[str, str]:
    """Reads NAME=TENSOR of several outputs.

    Raises:
        UsageError: one is no such text, or a name stands twice.

    >>> read_outputs(["boxes=regression"])
    {'boxes': 'regression'}
    """
    outputs: dict[str, str] = {}
    for text in texts:
        name, equals, tensor = text.partition("=")
        if not (name and equals and tensor) or name in outputs:
            raise UsageError(f"--output: expected NAME=TENSOR, each NAME once, received {text!r}")
        outputs[name] = tensor
    return outputs


def as_options(options: Mapping[str, Sequence[str] | str | None]) -> str:
    """Returns options as they are typed, those that are None left out."""
    typed = []
    for option, value in options.items():
        if value is not None:
            typed += [f"{option} {one}" for one in ([value] if isinstance(value, str) else value)]
    return " ".join(typed)
