"""The kinds of decoders that answer with any number of boxes: plain data, as all of `edgecnn_runtime.decoders`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from edgecnn_runtime.decoder_kind import Kind, Reads, Shape, Suppresses, Takes, TaskName

MOST_BOXES = 100_000  # that a decoder may let through
_BOX_UNITS = 5  # tx, ty, tw, th and the logit that there is an object
_LARGEST_ANCHOR = 65535.0  # pixels, as of an input
_NEVER = 2.0  # no score is that high
_MOST_SCORED = 1 << 20  # classes; a list of thresholds is made of the number


@dataclass(frozen=True, slots=True)
class YoloScale:
    """One of the grids that a detector answers on.

    Attributes:
        output: the name of the graph output, shape (N, rows, columns, anchors, 5 + classes): of each cell and anchor
            the raw tx, ty, tw, th, the logit that there is an object, and one logit a class.
        stride: pixels of the network's input that a cell is wide and high.
        anchors: (width, height) of each, in pixels of the network's input.
    """

    output: str
    stride: int
    anchors: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """From which score on a class counts as found.

    Attributes:
        class_id: its index.
        score: the least score that is answered, 0 to below 1.
        precision: of the answers, the part that was right on the data that the point was found on; null where nobody
            measured it.
        recall: of those data's objects, the part that was found; null likewise.
    """

    class_id: int
    score: float
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _BoxesKind(Kind):
    """What the kinds share that answer with any number of boxes; each says it in its own words too."""

    task: ClassVar[TaskName] = "detection"
    reads: ClassVar[Reads] = "numbers"
    takes: ClassVar[Takes] = "nothing"
    score_threshold: float = 0.25
    iou_threshold: float = 0.6
    most: int = 300
    classes: tuple[int, ...] | None = None
    operating_points: tuple[OperatingPoint, ...] | None = None

    def thresholds(self, num_classes: int) -> list[float]:
        """Returns the least score that is answered of each class: above 1 where the class is not answered at all."""
        scores = [self.score_threshold] * num_classes
        for point in self.operating_points or ():
            scores[point.class_id] = point.score
        if self.classes is None:
            return scores
        return [score if class_id in self.classes else _NEVER for class_id, score in enumerate(scores)]

    def _range_misfit(self) -> str | None:
        if not 0 <= self.score_threshold < 1:
            return f"expected a score_threshold from 0 to below 1, received {self.score_threshold}"
        if not 0 < self.iou_threshold <= 1:
            return f"expected an iou_threshold above 0, at most 1, received {self.iou_threshold}"
        if not 1 <= self.most <= MOST_BOXES:
            return f"most: expected from 1 to {MOST_BOXES} boxes an image, received {self.most}"
        for point in self.operating_points or ():
            where, parts = f"operating point of class {point.class_id}", (point.precision, point.recall)
            if not 0 <= point.score < 1:
                return f"{where}: expected a score from 0 to below 1, received {point.score}"
            if not all(part is None or 0 <= part <= 1 for part in parts):
                return f"{where}: expected precision and recall from 0 to 1, received {parts}"
        return None

    def _class_misfit(self, count: int) -> str | None:
        points = None if self.operating_points is None else [point.class_id for point in self.operating_points]
        for what, ids in (("operating points", points), ("classes", self.classes)):
            if ids is not None and (len(set(ids)) < len(ids) or not all(0 <= class_id < count for class_id in ids)):
                return f"{what}: expected different class ids from 0 to {count - 1}, received {list(ids)}"
        if self.classes is not None and not self.classes:
            return "classes: expected one or more that are answered, received none"
        return None


@dataclass(frozen=True, slots=True)
class YoloDecoder(_BoxesKind):
    """Many boxes with a class each: those of high score, and of boxes that overlap each other the best.

    Of a cell (column, row) with s the sigmoid: centre x is (column + s(tx)) stride and the width that of the anchor
    times exp(tw), y and the height likewise; the score of a class is s(object's logit) s(class's logit). Reference:
    Redmon and Farhadi 2018, YOLOv3: An Incremental Improvement, section 2.1.

    Attributes:
        scales: the grids, the finest (of the smallest stride) first.
        score_threshold: the least score that is answered, 0 to below 1, of a class without an operating point.
        iou_threshold: of boxes that overlap by this intersection over union or more, the one of the lower score is
            dropped; above 0, at most 1.
        agnostic: whether boxes of different classes drop each other too.
        most: boxes an image, the best.
        classes: the ids of those that are answered, before any box drops another; null for all.
        operating_points: at most one a class, as `edgecnn export --data` finds them; null for none.
        kind: always "yolo".
    """

    least_units: ClassVar[int] = 6
    too_few: ClassVar[str] = ": four of a box, one of the object, and one a class."
    suppresses: ClassVar[Suppresses] = "runtime"
    scales: tuple[YoloScale, ...]
    agnostic: bool = False
    kind: Literal["yolo"] = "yolo"

    @property
    def output(self) -> str:
        """The first scale's output; the others score as many classes."""
        return self.scales[0].output if self.scales else ""

    def num_classes(self, units: int) -> int:
        """Returns how many classes an output of so many units scores: all but a box's four and the object's one."""
        return units - _BOX_UNITS

    def misfit(self, outputs: Mapping[str, Shape], image_size: Shape, *, multiple_of: int | None = None) -> str | None:
        """Returns what is wrong with the scales, the thresholds or the classes; as for every kind."""
        del multiple_of
        if not self.scales:
            return f"expected one scale or more for decoder {self.kind!r}, received none"
        strides = [scale.stride for scale in self.scales]
        if min(strides) < 1 or sorted(set(strides)) != strides:
            return f"expected strides of 1 or more, the smallest first, received {strides}"
        units = (outputs.get(self.output) or (None,))[-1]
        for scale in self.scales:
            if (misfit := _scale_misfit(scale, outputs, image_size, units)) is not None:
                return misfit
        return self._range_misfit() or self._class_misfit(self.num_classes(units or 0))


@dataclass(frozen=True, slots=True)
class RegionsDecoder(_BoxesKind):
    """Many boxes with a class each, of regions that the graph looks at one by one.

    The scores of a region are the softmax of its logits, of which the last means that nothing is there. For each class
    it has a box of its own: with w and h of the region and d the four numbers of the class, the centre moves by
    .1 d0 w and .1 d1 h, and the sides are w exp(.2 d2) and h exp(.2 d3), where no logarithm is above log(1000 / 16).
    Reference: Ren et al. 2015, Faster R-CNN, section 3.1.2, with the deviations of the authors' code.

    Attributes:
        anchors: (width, height) of the boxes that the graph's regions begin from at each of its cells, in pixels of the
            network's input; none where the regions are an input.
        score_threshold: the least score that is answered, 0 to below 1, of a class without an operating point.
        iou_threshold: of boxes that overlap by this intersection over union or more, the one of the lower score is
            dropped; above 0, at most 1.
        agnostic: whether boxes of different classes drop each other too.
        most: boxes an image, the best.
        classes: the ids of those that are answered, before any box drops another; null for all.
        operating_points: at most one a class, as `edgecnn export --data` finds them; null for none.
        regions: the name of the graph output that holds them, shape (N, rows, 4): xyxy in pixels of the input, zeros
            beyond `valid`, the likeliest first.
        valid: the name of the graph output that says how many there are, shape (N,).
        output: the name of the graph output that holds the logits, shape (N, rows, classes + 1).
        shifts: the name of the graph output that holds the numbers of their boxes, shape (N, rows, classes, 4).
        kind: always "regions".
    """

    least_units: ClassVar[int] = 2
    too_few: ClassVar[str] = ": one a class, and one of nothing."
    suppresses: ClassVar[Suppresses] = "runtime"
    anchors: tuple[tuple[float, float], ...]
    agnostic: bool = False
    regions: str = "regions"
    valid: str = "valid"
    output: str = "logits"
    shifts: str = "shifts"
    kind: Literal["regions"] = "regions"

    def num_classes(self, units: int) -> int:
        """Returns how many classes an output of so many units scores: all but the last."""
        return units - 1

    def beside(self) -> Literal["text", "proposals"] | None:
        """Returns that the regions are an input, where the graph has no anchors to begin from."""
        return None if self.anchors else "proposals"

    def ranks(self) -> bool:
        """Returns whether the graph proposes the regions, the likeliest first."""
        return bool(self.anchors)

    def misfit(self, outputs: Mapping[str, Shape], image_size: Shape, *, multiple_of: int | None = None) -> str | None:
        """Returns what is wrong with the outputs, the anchors, the thresholds or the classes; as for every kind."""
        del multiple_of
        if None in image_size:
            return f"expected a fixed height and width for decoder {self.kind!r}, received {image_size}"
        rows, units = (*(outputs.get(self.output) or ()), None, None)[:2]
        for name, expected, meaning in (
            (self.output, (rows, units), "(rows, classes + 1)"),
            (self.regions, (rows, 4), "(rows, 4)"),
            (self.valid, (), "(), one number an image"),
            (self.shifts, (rows, (units or 0) - 1, 4), "(rows, classes, 4)"),
        ):
            if name not in outputs:
                return f"the decoder reads output {name!r}, of shape {meaning}, but the outputs are {list(outputs)}"
            if outputs[name] != expected or rows is None or units is None:
                return f"output {name!r}: expected shape {meaning}, {expected}, received {outputs[name]}"
        return (
            _anchors_misfit(self.anchors, "anchors")
            or self._range_misfit()
            or self._class_misfit(self.num_classes(units or 0))
        )


@dataclass(frozen=True, slots=True)
class SuppressedDecoder(_BoxesKind):
    """Many boxes with a class each, which the graph itself decodes and suppresses: `edgecnn export --nms graph`.

    A row is x1, y1, x2, y2 in pixels of the network's input, the score, the class id; the best comes first. The graph
    takes its thresholds as two more inputs, which need not be given: "score_thresholds", one a class, and
    "iou_threshold". Their defaults are what this says.

    Attributes:
        scored: how many classes the graph scores.
        suppression: whether boxes of a class drop each other, or those of all classes; it cannot be changed.
        output: the name of the graph output that holds the rows, shape (N, rows, 6), zeros beyond `valid`.
        valid: the name of the graph output that says how many rows there are, shape (N,); NaN where the network
            answered with NaN or infinity.
        score_threshold: the least score that is answered, 0 to below 1, of a class without an operating point.
        iou_threshold: of boxes that overlap by this intersection over union or more, the one of the lower score is
            dropped; above 0, at most 1.
        most: boxes an image, the best; not more than the output has rows.
        classes: the ids of those that are answered, before any box drops another; null for all.
        operating_points: at most one a class, as `edgecnn export --data` finds them; null for none.
        kind: always "detections".
    """

    least_units: ClassVar[int] = 6
    too_few: ClassVar[str] = ": four of a box, its score, its class."
    suppresses: ClassVar[Suppresses] = "graph"
    scored: int
    suppression: Literal["by class", "together"] = "by class"
    output: str = "detections"
    valid: str = "valid"
    kind: Literal["detections"] = "detections"

    def num_classes(self, units: int) -> int:
        """Returns how many classes the graph scores, whatever the units of its output."""
        del units
        return self.scored

    def settings(self) -> Mapping[str, tuple[float, ...]]:
        """Returns the thresholds by the names of the graph's inputs; as for every kind."""
        return {"score_thresholds": tuple(self.thresholds(self.scored)), "iou_threshold": (self.iou_threshold,)}

    def misfit(self, outputs: Mapping[str, Shape], image_size: Shape, *, multiple_of: int | None = None) -> str | None:
        """Returns what is wrong with the outputs, the thresholds or the classes; as for every kind."""
        del multiple_of
        if None in image_size:
            return (
                f"expected a fixed height and width, whose grids the graph of decoder {self.kind!r} holds, received "
                f"{image_size[0]} x {image_size[1]}"
            )
        if not 1 <= self.scored <= _MOST_SCORED:
            return f"expected scored, the number of classes, from 1 to {_MOST_SCORED}, received {self.scored}"
        for name, meaning in ((self.output, "(rows, 6)"), (self.valid, "()")):
            if name not in outputs:
                return f"the decoder reads output {name!r}, of shape {meaning}, but the outputs are {list(outputs)}"
        shape, rows = outputs[self.output], (outputs[self.output] or (None,))[0]
        if len(shape) != 2 or shape[1] != self.least_units or rows is None:
            return f"output {self.output!r}: expected shape (rows, 6), received {shape}"
        if outputs[self.valid] != ():
            return f"output {self.valid!r}: expected shape (), one number an image, received {outputs[self.valid]}"
        if self.most > rows:
            return f"most: expected up to {rows} boxes an image, the graph's rows, received {self.most}"
        return self._range_misfit() or self._class_misfit(self.scored)


def _scale_misfit(scale: YoloScale, outputs: Mapping[str, Shape], image_size: Shape, units: int | None) -> str | None:
    """Returns what is wrong with one scale; all have as many units a box."""
    if scale.output not in outputs:
        return f"the decoder reads output {scale.output!r}, but the outputs are {list(outputs)}"
    if (misfit := _anchors_misfit(scale.anchors, "one anchor or more")) is not None or not scale.anchors:
        return f"output {scale.output!r}: {misfit or 'expected one anchor or more, received none'}"
    if any(side is not None and side % scale.stride for side in image_size):
        return (
            f"output {scale.output!r}: expected a height and width of the input that {scale.stride}, its stride, "
            f"divides, received {image_size[0]} x {image_size[1]}"
        )
    cells = [None if side is None else side // scale.stride for side in image_size]
    if outputs[scale.output] != (expected := (*cells, len(scale.anchors), units)):
        return (
            f"output {scale.output!r}: expected shape {expected} (rows, columns, anchors, 5 and one a class), received "
            f"{outputs[scale.output]}"
        )
    return None


def _anchors_misfit(anchors: tuple[tuple[float, float], ...], what: str) -> str | None:
    if all(len(anchor) == 2 and all(0 < side <= _LARGEST_ANCHOR for side in anchor) for anchor in anchors):
        return None
    return f"expected {what}, each a width and a height above 0 and up to {_LARGEST_ANCHOR}, received {anchors}"
