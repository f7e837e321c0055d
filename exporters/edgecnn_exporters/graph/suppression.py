"""Decoding and non-max suppression behind a detector's raw outputs, in standard operators: no Loop, no If.

What is computed is what the runtime computes (`edgecnn_runtime.tasks.detection`), in its order: ties keep the lower
index, a score counts from its threshold on, and a box goes from the IoU threshold on. docs/adr/0028 has what was
measured.
"""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.graph.layer_names import mark
from edgecnn_runtime.decoders import OutputSpec, SuppressedDecoder
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.anchors import LARGEST_LOG_SIZE, cells_at

NmsPlace = Literal["runtime", "graph"]
MOST_CELLS = 4096  # that boxes are looked for in, those of the likeliest objects
_LAYER = "detections"
_NO_SCORE, _LEAST_SCORE = -1.0, -0.5  # of what is not answered; between that and any score
# times this a float32 is the next one down: ONNX drops boxes above a threshold, and here they go from it on
_NEXT_DOWN = np.nextafter(np.float32(1), np.float32(0))


def in_graph(manifest: Manifest) -> Manifest:
    """Returns the manifest of a detector whose graph decodes and suppresses by itself; all thresholds stay.

    Args:
        manifest: of the same detector with raw outputs.

    Raises:
        ExportError: it is of no detector with raw outputs, or its size is free.
    """
    decoder = manifest.decoder
    if decoder.kind != "yolo":
        raise ExportError(
            f"--nms graph: expected a detector with raw outputs, decoder 'yolo', received decoder {decoder.kind!r}. "
            "Leave it out."
        )
    if any(None in output.shape for output in manifest.outputs):
        raise ExportError("--nms graph: expected a fixed height and width, whose grids the graph holds, received none")
    inside = SuppressedDecoder(
        manifest.num_classes,
        "together" if decoder.agnostic else "by class",
        score_threshold=decoder.score_threshold,
        iou_threshold=decoder.iou_threshold,
        most=decoder.most,
        classes=decoder.classes,
        operating_points=decoder.operating_points,
    )
    outputs = (OutputSpec(inside.output, (decoder.most, 6)), OutputSpec(inside.valid, ()))
    return replace(manifest, decoder=inside, outputs=outputs)


def append_suppression(model: ModelProto, manifest: Manifest) -> ModelProto:
    """Returns the model with `detections` and `valid` in place of its raw outputs, and thresholds as inputs.

    Each threshold is an initializer that is listed as an input too: whoever feeds none gets the manifest's.

    Args:
        model: named as it is published; is not changed.
        manifest: of the raw outputs, as `in_graph` takes it.

    Raises:
        ExportError: as `in_graph`.
    """
    inside = in_graph(manifest)
    appended = ModelProto()
    appended.CopyFrom(model)
    graph = appended.graph
    for number, node in enumerate(graph.node):
        node.name = mark(node.name.rpartition("/")[0], number)
    del graph.output[:]
    graph.ClearField("value_info")
    for output in inside.outputs:
        graph.output.append(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [None, *output.shape]))
    steps = _Steps(appended)
    for name, values in inside.decoder.settings().items():
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(values)]))
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32), name))
    _append(steps, manifest, inside)
    return appended


class _Steps:
    """Appends nodes and weights to a graph, under names that nothing in it has.

    Args:
        model: is changed.
    """

    def __init__(self, model: ModelProto) -> None:
        self._graph, self._count = model.graph, 0

    def weight(self, values: npt.ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Returns the name of a new weight; whole numbers are shapes, axes and counts."""
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """Returns the name of a vector: a shape, axes or a count."""
        return self.weight(values, np.int64)

    def add(self, operator: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> Any:
        """Returns the name of a new node's output, or of all of them where there are several."""
        made = [name or self._name() for _ in range(outputs)]
        where = mark(_LAYER, len(self._graph.node))
        self._graph.node.append(helper.make_node(operator, inputs, made, name=where, **attributes))
        return made[0] if outputs == 1 else made

    def rows(self, tensor: str, indices: str) -> str:
        """Returns rows (N, K, ...) of (N, M, ...) by their numbers (N, K)."""
        return str(self.add("GatherND", tensor, self.add("Unsqueeze", indices, self.integers(2)), batch_dims=1))

    def _name(self) -> str:
        self._count += 1
        return f"{_LAYER}//{self._count}"


def _append(steps: _Steps, manifest: Manifest, inside: Manifest) -> None:
    """Appends everything from the raw outputs on."""
    decoder, classes = inside.decoder, manifest.num_classes
    assert decoder.kind == "detections"
    every, places, cells = _joined(steps, manifest)  # (N, M, 5 + classes) and (1, M, 5)
    raw = every
    if cells > MOST_CELLS:
        raw, places, cells = *_likeliest(steps, every, places), MOST_CELLS
    boxes, scores = _decoded(steps, raw, places, classes)  # (N, K, 4), (N, K, classes)
    kept = _suppressed(steps, boxes, scores, cells, classes, decoder)  # (N, K classes)
    rows = min(decoder.most, cells * classes)
    found, ranks = steps.add("TopK", kept, steps.integers(rows), outputs=2, axis=1)  # (N, rows) each
    count = steps.integers(classes)
    of_class = steps.add("Cast", steps.add("Mod", ranks, count), to=TensorProto.FLOAT)
    last = steps.integers(2)
    answers = steps.add(
        "Concat",
        steps.rows(boxes, steps.add("Div", ranks, count)),
        steps.add("Unsqueeze", found, last),
        steps.add("Unsqueeze", of_class, last),
        axis=2,
    )  # (N, rows, 6)
    answered = steps.add("GreaterOrEqual", found, steps.weight(0.0))
    padded = rows < decoder.most
    name = None if padded else decoder.output
    answers = steps.add("Where", steps.add("Unsqueeze", answered, last), answers, steps.weight(0.0), name=name)
    if padded:
        steps.add("Pad", answers, steps.integers(0, 0, 0, 0, decoder.most - rows, 0), name=decoder.output)
    counted = steps.add("ReduceSum", steps.add("Cast", answered, to=TensorProto.FLOAT), steps.integers(1), keepdims=0)
    steps.add("Add", counted, _nothing_or_nan(steps, every), name=decoder.valid)


def _joined(steps: _Steps, manifest: Manifest) -> tuple[str, str, int]:
    """Returns all raw numbers, (N, M, 5 + classes), as the runtime goes through them, their places, (1, M, 5), and M.

    A place is column, row, half the anchor's width and height, and stride.
    """
    decoder, parts, places = manifest.decoder, [], []
    assert decoder.kind == "yolo"
    for scale in decoder.scales:
        *grid, units = (size or 0 for size in manifest.output(scale.output).shape)
        count = int(np.prod(grid))
        parts.append(steps.add("Reshape", scale.output, steps.integers(0, count, units)))
        cells = cells_at(np.arange(count), tuple(grid), scale)
        places.append(np.concatenate([cells.corners, cells.anchors / 2, cells.strides], axis=1))
    known = np.concatenate(places)
    joined = steps.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    return joined, steps.weight(known[np.newaxis]), len(known)


def _likeliest(steps: _Steps, raw: str, places: str) -> tuple[str, str]:
    """Returns the raw numbers, (N, K, 5 + classes), and places, (N, K, 5), of the cells whose objects are likeliest.

    They stay in their order, so that ties are settled as without this.
    """
    of_object = steps.add("Slice", raw, steps.integers(4), steps.integers(5), steps.integers(2))
    flat = steps.add("Squeeze", of_object, steps.integers(2))
    _, best = steps.add("TopK", flat, steps.integers(MOST_CELLS), outputs=2, axis=1)
    chosen, _ = steps.add("TopK", best, steps.integers(MOST_CELLS), outputs=2, axis=1, largest=0)  # ascending
    return steps.rows(raw, chosen), steps.add("Gather", steps.add("Squeeze", places, steps.integers(0)), chosen, axis=0)


def _decoded(steps: _Steps, raw: str, places: str, classes: int) -> tuple[str, str]:
    """Returns boxes, xyxy in pixels of the input, and scores: `_NO_SCORE` of what is below its threshold."""
    parts, known = steps.integers(2, 2, 1, classes), steps.integers(2, 2, 1)
    xy, log_sizes, of_object, of_classes = steps.add("Split", raw, parts, outputs=4, axis=2)
    corners, half_anchors, strides = steps.add("Split", places, known, outputs=3, axis=2)
    centres = steps.add("Mul", steps.add("Add", steps.add("Sigmoid", xy), corners), strides)
    sizes = steps.add("Exp", steps.add("Min", log_sizes, steps.weight(LARGEST_LOG_SIZE)))
    halves = steps.add("Mul", sizes, half_anchors)
    boxes = steps.add("Concat", steps.add("Sub", centres, halves), steps.add("Add", centres, halves), axis=2)
    scores = steps.add("Mul", steps.add("Sigmoid", of_object), steps.add("Sigmoid", of_classes))
    passed = steps.add("GreaterOrEqual", scores, "score_thresholds")
    return boxes, steps.add("Where", passed, scores, steps.weight(_NO_SCORE))


def _suppressed(steps: _Steps, boxes: str, scores: str, cells: int, classes: int, decoder: SuppressedDecoder) -> str:
    """Returns the scores, (N, cells classes), with `_NO_SCORE` where a box went.

    Args:
        steps: to append to.
        boxes: (N, cells, 4).
        scores: (N, cells, classes).
        cells: how many.
        classes: how many.
        decoder: of the file.
    """
    every = steps.integers(0, cells * classes)
    by_class = decoder.suppression == "by class"
    if by_class:
        groups = steps.add("Transpose", scores, perm=[0, 2, 1])  # (N, classes, cells)
    else:  # a cell's box once for each class
        groups = steps.add("Reshape", scores, steps.integers(0, 1, cells * classes))
        repeated = steps.add("Unsqueeze", boxes, steps.integers(2))
        repeated = steps.add("Expand", repeated, steps.integers(1, cells, classes, 4))
        boxes = steps.add("Reshape", repeated, steps.integers(0, cells * classes, 4))
    limits = steps.integers(decoder.most), steps.add("Mul", "iou_threshold", steps.weight(_NEXT_DOWN))
    stay = steps.add("NonMaxSuppression", boxes, groups, *limits, steps.weight([_LEAST_SCORE]))  # (S, 3)
    none = helper.make_tensor("value", TensorProto.FLOAT, [1], [_NO_SCORE])
    nothing = steps.add("ConstantOfShape", steps.add("Shape", groups), value=none)
    kept = steps.add("ScatterND", nothing, stay, steps.add("GatherND", groups, stay))
    return str(steps.add("Reshape", steps.add("Transpose", kept, perm=[0, 2, 1]) if by_class else kept, every))


def _nothing_or_nan(steps: _Steps, raw: str) -> str:
    """Returns 0 for each image, (N,), or NaN where a raw number is NaN or infinite: "nothing" is no answer then."""
    total = steps.add("ReduceSum", raw, steps.integers(1, 2), keepdims=0)
    return str(steps.add("Mul", total, steps.weight(0.0)))
