"""Which decoder the outputs of a loaded model fit, and the manifest that follows; Keras is not needed for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgecnn.adopting.config import BOXES, CLASSES, SCALE
from edgecnn.adopting.mounting import Change, End
from edgecnn.adopting.plan import Plan
from edgecnn.errors import UsageError
from edgecnn.models.catalog import CATALOG
from edgecnn_runtime.decoder_kind import OutputSpec
from edgecnn_runtime.decoders import (
    AnswerDecoder,
    ClassMapDecoder,
    Decoder,
    LocationDecoder,
    ProbabilitiesDecoder,
    ScoreMapDecoder,
    SigmoidDecoder,
    SoftmaxDecoder,
    YoloDecoder,
    YoloScale,
)
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.questions import TextInput

_BOX_UNITS = 5


@dataclass(frozen=True, slots=True)
class FittedPlan:
    """What is known of a model once it is loaded.

    Attributes:
        manifest: of the run.
        ends: one an output of the manifest, in its order.
    """

    manifest: Manifest
    ends: tuple[End, ...]


def fit_plan(
    plan: Plan,
    shapes: Mapping[str, tuple[int | None, ...]],
    heads: Sequence[str],
    labels: Sequence[str] | None,
    *,
    text_length: int | None = None,
) -> FittedPlan:
    """Returns the manifest and what its outputs are of the loaded model's.

    Args:
        plan: of the model.
        shapes: of its outputs by name, without the batch axis, for images of the plan's size; in order.
        heads: what each comes from: "softmax", "sigmoid", "linear" or "unknown".
        labels: one name a class.
        text_length: words of a question that it takes.

    Raises:
        UsageError: they fit no decoder, or other labels.
        ManifestError: the parts contradict each other.
    """
    fitting = _Fitting(plan, shapes, dict(zip(shapes, heads, strict=True)))
    decoder, ends = fitting.decoder()
    config = plan.config
    name = config.name
    image = ImageInput(
        "image",
        *plan.image_size,
        plan.color,
        resize=config.resize,
        crop_fraction=config.kept_part,
        pad_value=config.padding,
    )
    text = () if text_length is None else (TextInput("question", text_length, config.vocabulary),)
    specs = tuple(OutputSpec(end.name, end.shape) for end in ends)
    units = next(end.shape[-1] for end in ends if end.name == decoder.output)
    count = decoder.num_classes(units)
    if labels is not None and len(labels) != count:
        origin = "--labels" if config.labels is not None else f"the classes of {config.data}"
        raise UsageError(
            f"{config.file.path}: expected {count} labels, one a class of its output, received {len(labels)} by "
            f"{origin}"
        )
    return FittedPlan(
        Manifest(
            task=decoder.task,
            model=ModelInfo(f"{name} (adopted)" if name in CATALOG else name, 1.0),
            inputs=(image, *text),
            labels=None if labels is None else tuple(labels),
            decoder=decoder,
            outputs=specs,
        ),
        ends,
    )


class _Fitting:
    """Finds the decoder that a model's outputs fit."""

    def __init__(self, plan: Plan, shapes: Mapping[str, tuple[int | None, ...]], heads: Mapping[str, str]) -> None:
        self.plan, self.shapes, self.heads = plan, shapes, heads
        self.names = list(shapes)

    def decoder(self) -> tuple[Decoder, tuple[End, ...]]:
        """Returns the decoder, and what its outputs are of the model's; raises where none fits."""
        config = self.plan.config
        given = {("logits" if name == "probabilities" else name): tensor for name, tensor in config.outputs.items()}
        unknown = [tensor for tensor in given.values() if tensor not in self.names]
        if unknown:
            raise UsageError(f"--output: expected one of {', '.join(self.names)}, received {', '.join(unknown)}")
        if config.anchors is not None or any(name.startswith(SCALE) for name in given):
            return self._detection({name: tensor for name, tensor in given.items() if name.startswith(SCALE)})
        if BOXES in given:
            return self._localization(given.get(CLASSES), given[BOXES])
        if not given and len(self.names) > 1:
            raise UsageError(
                f"{config.file.path}: it has {len(self.names)} outputs, {', '.join(self.names)}: say with --output "
                f"{CLASSES}=NAME which are the scores"
            )
        tensor = given.get(CLASSES, self.names[0])
        rank = len(self.shapes[tensor])
        if config.vocabulary is not None:
            return self._question(tensor)
        if rank == 1:
            return self._classification(tensor)
        if rank == 3:
            return self._segmentation(tensor)
        raise UsageError(
            f"{config.file.path}: output {tensor} has shape {self.shapes[tensor]}: expected (classes,) to classify, or "
            f"({self.plan.image_size[0]}, {self.plan.image_size[1]}, classes) to segment, or grids of boxes with "
            "--anchors"
        )

    def _shape(self, tensor: str) -> tuple[int, ...]:
        shape = self.shapes[tensor]
        if not shape or None in shape:
            raise UsageError(
                f"{self.plan.config.file.path}: output {tensor}: expected a shape that the input's size settles, "
                f"received {shape}"
            )
        return tuple(int(side or 0) for side in shape)

    def _end(self, name: str, tensor: str, change: Change = "none", shape: tuple[int, ...] | None = None) -> End:
        return End(name, self.names.index(tensor), change, self._shape(tensor) if shape is None else shape)

    def _logits(self, tensor: str) -> End:
        """Returns the end of a decoder that takes a softmax itself."""
        head = self.heads[tensor]
        if head == "sigmoid":
            raise UsageError(
                f"{self.plan.config.file.path}: output {tensor} ends in a sigmoid: expected a softmax or raw numbers"
            )
        return self._end(CLASSES, tensor, "log" if head == "softmax" else "none")

    def _classification(self, tensor: str) -> tuple[Decoder, tuple[End, ...]]:
        asked, head = self.plan.config.decoder, self.heads[tensor]
        units = self._shape(tensor)[-1]
        kind = asked or ("probabilities" if head in ("softmax", "sigmoid") else self._taken(units))
        decoder: Decoder
        if kind == "probabilities":
            decoder = ProbabilitiesDecoder()
        else:
            decoder = SoftmaxDecoder() if kind == "softmax" else SigmoidDecoder()
        return decoder, (self._end(decoder.output, tensor),)

    def _taken(self, units: int) -> str:
        """Returns what is taken of raw numbers where nobody says."""
        return "sigmoid" if units == 1 or "binarycrossentropy" in (self.plan.architecture.loss or "") else "softmax"

    def _localization(self, classes: str | None, boxes: str) -> tuple[Decoder, tuple[End, ...]]:
        others = [name for name in self.names if name != boxes]
        if classes is None and len(others) != 1:
            raise UsageError(
                f"--output {BOXES}={boxes}: say with --output {CLASSES}=NAME which are the classes' scores"
            )
        end = self._logits(classes or others[0])
        return LocationDecoder(), (end, self._end(BOXES, boxes))

    def _segmentation(self, tensor: str) -> tuple[Decoder, tuple[End, ...]]:
        head, shape = self.heads[tensor], self._shape(tensor)
        if shape[-1] == 1:
            if head != "sigmoid":
                raise UsageError(
                    f"{self.plan.config.file.path}: output {tensor} {shape}: expected one unit a class, or one that "
                    "ends in a sigmoid"
                )
            decoder = ScoreMapDecoder()
            return decoder, (self._end(decoder.output, tensor, "both", (*shape[:-1], 2)),)
        scores = head in ("softmax", "sigmoid")
        either: Decoder = ScoreMapDecoder() if scores else ClassMapDecoder()
        return either, (self._end(either.output, tensor),)

    def _question(self, tensor: str) -> tuple[Decoder, tuple[End, ...]]:
        return AnswerDecoder(), (self._logits(tensor),)

    def _detection(self, given: Mapping[str, str]) -> tuple[Decoder, tuple[End, ...]]:
        path, anchors = self.plan.config.file.path, self.plan.config.anchors
        grids = list(given.values()) or self.names
        if anchors is None or len(anchors) % len(grids):
            raise UsageError(
                f"{path}: expected --anchors 'W,H W,H …', as many for each of its {len(grids)} grids, the smallest "
                f"first, received {0 if anchors is None else len(anchors)}"
            )
        each = len(anchors) // len(grids)
        finest_first = sorted(grids, key=lambda tensor: -self._shape(tensor)[0])
        scales, ends = [], []
        for number, tensor in enumerate(finest_first):
            shape = self._shape(tensor)
            stride = self.plan.image_size[0] // shape[0]
            own = {value: name for name, value in given.items()}.get(tensor, f"{SCALE}{stride}")
            if own != f"{SCALE}{stride}":
                raise UsageError(
                    f"--output {own}={tensor}: its cells are {stride} pixels wide: call it {SCALE}{stride}"
                )
            if len(shape) == 3 and shape[-1] % each == 0:
                end = self._end(own, tensor, "grid", (*shape[:2], each, shape[-1] // each))
            elif len(shape) == 4 and shape[2] == each:
                end = self._end(own, tensor)
            else:
                raise UsageError(
                    f"{path}: output {tensor} {shape}: expected (rows, columns, {each} x (5 + classes)), {each} "
                    "anchors a cell"
                )
            if end.shape[-1] <= _BOX_UNITS:
                raise UsageError(f"{path}: output {tensor} {shape}: expected 5 numbers and one a class an anchor")
            ends.append(end)
            scales.append(YoloScale(own, stride, anchors[number * each : (number + 1) * each]))
        return YoloDecoder(tuple(scales)), tuple(ends)
