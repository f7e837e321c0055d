"""What somebody's model is, from its file and from what is said of it; what is missing comes in one message.

Nothing here loads Keras: the configuration alone is judged. What only the loaded model has is for `fitting`.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgecnn.adopting.architecture import Architecture, InputTensor, read_architecture
from edgecnn.adopting.config import BOXES, CLASSES, SCALE, AdoptConfig
from edgecnn.adopting.mounting import Layout
from edgecnn.adopting.scaling import FoundScaling, find_scaling, same_scaling, usual_scaling
from edgecnn.errors import KerasFileError, UsageError
from edgecnn_runtime.manifest import Color
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScaling

_REGRESSIONS = (
    "meansquarederror",
    "mse",
    "meanabsoluteerror",
    "mae",
    "huber",
    "logcosh",
    "meansquaredlogarithmicerror",
)
_CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a model before it is loaded.

    Attributes:
        config: what is said of it.
        architecture: what its file says.
        image: which of its inputs is the image.
        image_size: (height, width) of the network's input, in pixels.
        layout: how the network takes an image.
        color: of the manifest's input.
        scaling: how pixels become what the network takes; None where nobody says, and images are to show it.
        found: what the model does itself.
        warnings: what must be known of what was decided, for people.
    """

    config: AdoptConfig
    architecture: Architecture
    image: int
    image_size: tuple[int, int]
    layout: Layout
    color: Color
    scaling: PixelScaling | None
    found: FoundScaling
    warnings: tuple[str, ...] = ()


def make_plan(config: AdoptConfig) -> Plan:
    """Judges a model by its configuration alone.

    Raises:
        UsageError: all that is missing or contradicts the file, in one message, with the command to type.
        KerasFileError: the file is missing, damaged, or holds what can run code.
    """
    try:
        architecture = read_architecture(config.file.read_config())
    except ValueError as error:
        raise KerasFileError(f"{config.file.path}: expected a saved Keras model, received {error}") from error
    return _Judge(config, architecture).plan()


class _Judge:
    """Collects what is missing, and what to type for it."""

    def __init__(self, config: AdoptConfig, architecture: Architecture) -> None:
        self.config, self.architecture = config, architecture
        self.problems: list[str] = []
        self.typed: dict[str, str | None] = {}
        self.warnings: list[str] = []

    def plan(self) -> Plan:
        """Returns what is known, or raises what is missing, all of it."""
        self._judge_classes()
        image = self._image()
        size, layout, color, found, scaling = (1, 1), "channels_last", "rgb", FoundScaling(), None
        if image is not None:
            tensor = image[1]
            size, layout, color = self._shape(tensor)
            found = find_scaling(self.architecture, tensor.name)
            scaling = self._scaling(tensor, found, color)
        self._judge_outputs()
        self._judge_labels()
        if self.problems:
            raise UsageError(self._message())
        if self.architecture.random:
            names = ", ".join(self.architecture.random)
            self.warnings.append(f"{names}: changes images at random while a model learns, which the file does not do")
        if self.architecture.mixed is not None:
            self.warnings.append(
                f"it computes in {self.architecture.mixed}: the file computes in float32, and is proven with the model "
                "in float32"
            )
        return Plan(
            self.config,
            self.architecture,
            0 if image is None else image[0],
            size,
            layout,  # type: ignore[arg-type]
            color,  # type: ignore[arg-type]
            scaling,
            found,
            tuple(self.warnings),
        )

    def _message(self) -> str:
        path = self.config.file.path
        command = f"edgecnn adopt {shlex.quote(str(path))}"
        for option, value in {**given_options(self.config), **self.typed}.items():
            command += "" if value is None else f" {option} {value}"
        if len(self.problems) == 1:
            return f"{path}: {self.problems[0]}. Type: {command}"
        listed = "; ".join(f"({number}) {problem}" for number, problem in enumerate(self.problems, 1))
        return f"{path}: {len(self.problems)} things are missing or do not fit: {listed}. Type: {command}"

    def _judge_classes(self) -> None:
        own, graph = self.architecture.own, self.architecture.graph
        if own and not self.config.file.imports:
            self.problems.append(
                f"{', '.join(own)} is code of your own, which the file does not hold: give the module that registers "
                "it with keras.saving.register_keras_serializable; its code is run then, and never without --import"
            )
            self.typed["--import"] = "MODULE"
        elif graph is None and not own and not self.config.file.imports:
            self.problems.append(
                f"expected a functional or Sequential model, received a {self.architecture.class_name}"
            )

    def _image(self) -> tuple[int, InputTensor] | None:
        """Returns which input is the image, and the input; None where there is none to be seen."""
        inputs, wants_text = self.architecture.inputs, self.config.vocabulary is not None
        images = [(number, tensor) for number, tensor in enumerate(inputs) if self._may_be_image(tensor)]
        if len(inputs) == (2 if wants_text else 1) and len(images) == 1:
            return images[0]
        if not inputs:
            if self.architecture.graph is not None:
                self.problems.append(
                    "it does not know its input's shape. Give the model an Input((height, width, channels)) first, or "
                    "call it once before it is saved"
                )
            elif not self.architecture.own or self.config.file.imports:
                if self.config.image_size is None:
                    self._miss_size("the size of its input is not known")
                else:
                    channels = _CHANNELS[self.config.color or "rgb"]
                    return 0, InputTensor("image", (*self.config.image_size, channels), "float32")
            return None
        shapes = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in inputs)
        if len(inputs) > 1:
            self.problems.append(
                f"it takes {len(inputs)} inputs, {shapes}: expected an image alone, or an image and the numbers of a "
                "question's words with --vocabulary FILE; no task takes others"
            )
        else:
            self.problems.append(f"expected an image as its input, (height, width, channels), received {shapes}")
        return None

    def _may_be_image(self, tensor: InputTensor) -> bool:
        if self.config.vocabulary is not None:
            return len(tensor.shape) == 3
        return len(tensor.shape) in (2, 3) or (len(tensor.shape) == 1 and self.config.image_size is not None)

    def _shape(self, tensor: InputTensor) -> tuple[tuple[int, int], Layout, Color]:
        """Returns the (height, width), how the channels stand, and the colour."""
        shape, asked = tensor.shape, self.config.image_size
        if len(shape) < 3:
            height, width = shape if len(shape) == 2 else asked or (None, None)
            self._judge_color(1, "gray")
            if height is None or width is None or (len(shape) == 1 and height * width != shape[0]):
                self._miss_size(f"its input is a row of {shape[0]} numbers, or of a free size")
                return (1, 1), "reshaped", "gray"
            self._judge_size((height, width))
            return (height, width), "reshaped", "gray"
        first = shape[2] not in (1, 3) and shape[0] in (1, 3)
        height, width, channels = (shape[1], shape[2], shape[0]) if first else shape
        layout: Layout = "channels_first" if first else "channels_last"
        if channels not in (1, 3):
            self.problems.append(
                f"its input {tensor.name} {shape} has {channels} channels: expected 3, red, green and blue, or 1, gray"
            )
            return (1, 1), layout, "rgb"
        color: Color = "rgb" if channels == 3 else "gray"
        self._judge_color(channels, color)
        if height is None or width is None:
            if asked is None:
                self._miss_size(f"its input {tensor.name} takes images of any size")
                return (1, 1), layout, color
            fixed = tuple(
                side if side is not None else other for side, other in zip((height, width), asked, strict=True)
            )
            self._judge_size(fixed)
            return (int(fixed[0] or 1), int(fixed[1] or 1)), layout, color
        self._judge_size((height, width))
        return (height, width), layout, color

    def _miss_size(self, why: str) -> None:
        self.problems.append(f"{why}: say to which height and width pictures are brought")
        self.typed["--image-size"] = "H,W"

    def _judge_size(self, size: Sequence[int | None] | None) -> None:
        asked = self.config.image_size
        if asked is not None and size is not None and tuple(size) != asked:
            self.problems.append(
                f"--image-size {asked[0]},{asked[1]}: expected {size[0]},{size[1]}, which its input has"
            )
            self.typed["--image-size"] = None

    def _judge_color(self, channels: int, found: Color) -> None:
        asked = self.config.color
        if asked is not None and _CHANNELS[asked] != channels:
            why = ": gray pictures go into it as they are" if channels == 3 else ""
            self.problems.append(
                f"--color {asked}: expected {'rgb or bgr' if found == 'rgb' else 'gray'}, since its input has "
                f"{channels} channel{'s' if channels > 1 else ''}, received {asked}{why}"
            )
            self.typed["--color"] = None

    def _scaling(self, tensor: InputTensor, found: FoundScaling, color: Color) -> PixelScaling | None:
        """Returns how pixels become numbers; None where images are to show it, or where it is a problem."""
        config = self.config
        raw, asked = PixelScaling((0.0,), (1.0,), bgr=config.color == "bgr" and color == "rgb"), config.asked_scaling
        if asked is not None and asked.channels == 3 and color == "gray":
            self.problems.append(
                f"--pixels {config.pixels or 'of three numbers'}: it is for three channels, and its input has one"
            )
            self.typed["--pixels"] = "unit|signed|raw"
            return None
        by_itself = bool(found.steps) and found.takes("raw")
        if tensor.dtype == "uint8" or by_itself:
            does = f"it scales pixels itself ({found.told()})" if found.steps else "it takes uint8 pixels"
            if asked is None or same_scaling(replace(asked, bgr=False), PIXEL_SCALINGS["raw"]):
                return raw if asked is None else asked
            if config.pixels is not None:
                self.problems.append(f"--pixels {config.pixels}: {does}, so they would be scaled twice. Leave it out")
                self.typed["--pixels"] = None
                return None
            self.warnings.append(f"--mean and --std are taken, though {does}: they are scaled twice")
            return asked
        if asked is not None:
            return asked
        fitting = [name for name in PIXEL_SCALINGS if name != "raw" and found.steps and found.takes(name)]
        usual = usual_scaling(self.architecture.families)
        hint = ""
        if fitting:
            hint = f"; it does {found.told()}, which fits pixels that were scaled before: {' or '.join(fitting)}"
        elif usual is not None:
            hint = f"; of keras.applications, {usual[0]} takes {usual[1]}"
        if config.data is not None:
            return None  # they are tried on the images, which is said
        self.problems.append(
            "how pixels from 0 to 255 become its numbers is not in the model: say unit (0 to 1), signed (-1 to 1), "
            f"caffe or torch (ImageNet's means), raw, or --mean and --std{hint}; or give --data, and they are tried"
        )
        only = fitting[0] if len(fitting) == 1 else usual[1] if usual is not None and not fitting else None
        self.typed["--pixels"] = only or "unit|signed|caffe|torch|raw"
        return None

    def _judge_outputs(self) -> None:
        config, heads = self.config, self.architecture.heads
        known = [head.name for head in heads]
        for name, tensor in config.outputs.items():
            if known and tensor not in known:
                self.problems.append(f"--output {name}={tensor}: expected one of {', '.join(known)}, received {tensor}")
                self.typed["--output"] = f"{name}={'|'.join(known)}"
        if len(heads) > 1 and not config.outputs and config.anchors is None:
            self.problems.append(
                f"it has {len(heads)} outputs, {', '.join(known)}: say what they are, the scores of classes alone "
                f"({CLASSES}), with a box beside them ({BOXES}: centre x, centre y, and the roots of width and height, "
                f"parts of the input), or grids of boxes ({SCALE}N, with --anchors)"
            )
            self.typed["--output"] = f"{CLASSES}={known[0]}"
        if len(heads) == 1 and not config.outputs:
            self._judge_head()

    def _judge_head(self) -> None:
        (head,) = self.architecture.heads
        if head.activation == "softmax" and head.units == 1:
            self.problems.append(
                "it ends in the softmax of one unit, which is 1.0 for every image: let it end in Dense(1, "
                "activation='sigmoid') for two classes, or in one unit a class, and train it again"
            )
        if head.units == 1 and head.activation == "linear" and self.architecture.loss in _REGRESSIONS:
            self.problems.append(
                f"it predicts a number (one unit without activation, trained by {self.architecture.loss}), and no task "
                "here does: they answer with classes, boxes or masks"
            )
        is_score = head.activation in ("softmax", "sigmoid")
        if self.config.decoder is not None and (self.config.decoder == "probabilities") != is_score:
            if head.activation is not None:
                self.problems.append(
                    f"--decoder {self.config.decoder}: it ends in {'a ' if is_score else ''}"
                    f"{head.activation if is_score else 'a layer without activation'}"
                )
                self.typed["--decoder"] = None
        elif head.activation is None and head.units is not None and self.config.decoder is None:
            self.problems.append(
                f"what it ends in, {head.name}, is not known to give scores or logits: say softmax or sigmoid where "
                "that is still to be taken of its numbers, probabilities where it was"
            )
            self.typed["--decoder"] = "softmax|sigmoid|probabilities"

    def _judge_labels(self) -> None:
        config, heads = self.config, self.architecture.heads
        units = heads[0].units if len(heads) == 1 else None
        count = None if units is None else 2 if units == 1 else units
        if config.labels is None:
            if config.data is None:
                several = "" if count is None else f" of its {count} classes"
                self.problems.append(f"the names{several} are not in the model: give them in the order of its outputs")
                self.typed["--labels"] = "FILE|A,B,…"
            return
        if len(set(config.labels)) < len(config.labels):
            self.problems.append("--labels: expected different names, received some of them twice")
        if count is not None and len(config.labels) != count and config.anchors is None:
            self.problems.append(
                f"--labels: expected {count} names, one a class of its output, received {len(config.labels)}"
            )
            self.typed["--labels"] = "FILE|A,B,…"


def given_options(config: AdoptConfig) -> dict[str, str | None]:
    """Returns the options that were given, as they are typed."""
    numbers = {option: getattr(config, option) for option in ("mean", "std")}
    size = config.image_size
    outputs = [f"{name}={tensor}" for name, tensor in config.outputs.items()]
    options = {
        "--architecture": None if config.file.architecture is None else shlex.quote(str(config.file.architecture)),
        "--import": " --import ".join(config.file.imports) or None,
        "--data": None if config.data is None else shlex.quote(config.data),
        "--labels": None if config.labels is None else shlex.quote(",".join(config.labels)),
        "--pixels": config.pixels,
        **{f"--{option}": None if values is None else ",".join(map(str, values)) for option, values in numbers.items()},
        "--color": config.color,
        "--image-size": None if size is None else f"{size[0]},{size[1]}",
        "--resize": None if config.resize == "stretch" else config.resize,
        "--output": " --output ".join(outputs) or None,
        "--decoder": config.decoder,
    }
    return {option: value for option, value in options.items() if value is not None}
