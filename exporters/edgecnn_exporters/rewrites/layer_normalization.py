"""Layer normalisation as the one operator that ONNX has for it.

Keras computes x * m - mean * m + beta, with m = gamma / sqrt(variance + epsilon), by ten operators or more.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, replace

_TAG = "layer_normalization"
_OPSET = 17  # that brought the operator
_TO_CHANNELS_LAST, _TO_CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


@dataclass(frozen=True, slots=True)
class _LayerNorm:
    """What one normalisation reads.

    Attributes:
        source: the tensor.
        axes: that are normalised together, rising.
        epsilon: is added to the variance.
        gamma: by which the result is multiplied, in the shape of those axes.
        beta: what is added to it, likewise.
    """

    source: str
    axes: tuple[int, ...]
    epsilon: float
    gamma: npt.NDArray[np.float32]
    beta: npt.NDArray[np.float32]


def write_layer_normalization(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with a LayerNormalization for each over the last axes, or over the channels of (N, C, H, W).

    The latter stands between Transposes to (N, H, W, C) and back; where one to (N, H, W, C) follows already, neither
    that nor the one back is needed. ONNX Runtime takes the mean off before it squares from 1.29 on, the least that
    files ask for: before, a mean of ten deviations cost three digits.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed; opsets below 17 do not have the operator.
    """
    if next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) < _OPSET:
        return model, False
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for node in model.graph.node:
        found = _read(node, wiring) if node.op_type == "Add" else None
        if found is not None:
            replaced, steps = _steps(node, found, wiring)
            nodes[replaced.output[0]], added = chain(replaced, _TAG, steps, {"gamma": found.gamma, "beta": found.beta})
            weights |= added
    return (replace(model, nodes, weights), True) if nodes else (model, False)


def _steps(node: NodeProto, found: _LayerNorm, wiring: Wiring) -> tuple[NodeProto, list[Step]]:
    """Returns the node whose output the operator makes, and the steps to it."""
    options = {"axis": found.axes[0], "epsilon": found.epsilon}
    if found.axes[-1] == len(wiring.shapes[found.source]) - 1:
        return node, [Step("LayerNormalization", (found.source, "@gamma", "@beta"), node.output[0], options)]
    following = wiring.only_consumer(node.output[0])
    turned = following is not None and following.op_type == "Transpose"
    if following is not None and turned and list(attributes(following).get("perm", ())) == _TO_CHANNELS_LAST:
        node, back = following, []
    else:
        back = [Step("Transpose", ("@y",), node.output[0], {"perm": _TO_CHANNELS_FIRST})]
    made = "@y" if back else node.output[0]
    return node, [
        Step("Transpose", (found.source,), "@x", {"perm": _TO_CHANNELS_LAST}),
        Step("LayerNormalization", ("@x", "@gamma", "@beta"), made, options | {"axis": 3}),
        *back,
    ]


def _read(last: NodeProto, wiring: Wiring) -> _LayerNorm | None:
    """Returns the normalisation that ends in an Add; None where none does that the operator can do."""
    for product, shift in _either_way(last):
        scaled = wiring.producers.get(product)
        if scaled is not None and scaled.op_type == "Mul":
            for source, factor in _either_way(scaled):
                found = _of_parts(source, factor, shift, wiring)
                if found is not None:
                    return found
    return None


def _of_parts(source: str, factor: str, shift: str, wiring: Wiring) -> _LayerNorm | None:
    """Returns the normalisation source * factor + shift; None where it is another sum."""
    inverse, gamma = _without_constant(factor, "Mul", wiring)
    moved, beta = _without_constant(shift, "Add", wiring)
    variance, epsilon = _without_constant(_up(inverse, wiring, "Reciprocal", "Sqrt"), "Add", wiring)
    mean = _mean_behind(moved, factor, wiring)
    axes = _mean_axes(mean, source, wiring)
    shape = wiring.shapes.get(source, ())
    if epsilon is None or epsilon.size != 1 or epsilon.ndim > len(shape) or axes is None:
        return None
    sizes = tuple(size for axis in axes if (size := shape[axis]) is not None)
    operator_has = axes == tuple(range(axes[0], len(shape))) or (axes == (1,) and len(shape) == 4)
    if not operator_has or len(sizes) < len(axes) or wiring.types.get(source) != TensorProto.FLOAT:
        return None
    factors, shifts = (_spread(one, axes, sizes, len(shape)) for one in (gamma, beta))
    if factors is None or shifts is None or not _is_variance(variance, mean, source, wiring):
        return None
    factors = factors if gamma is not None else np.ones(sizes, np.float32)
    return _LayerNorm(source, axes, float(epsilon.reshape(-1)[0]), factors, shifts)


def _either_way(node: NodeProto) -> Iterator[tuple[str, str]]:
    """Yields the two operands of a node in both orders."""
    yield from ((node.input[0], node.input[1]), (node.input[1], node.input[0]))


def _up(tensor: str, wiring: Wiring, *operators: str) -> str:
    """Returns what the first operand of the last of some operators is, on the way up from a tensor; "" for others."""
    for operator in operators:
        maker = wiring.producers.get(tensor)
        if maker is None or maker.op_type != operator:
            return ""
        tensor = maker.input[0]
    return tensor


def _without_constant(tensor: str, operator: str, wiring: Wiring) -> tuple[str, npt.NDArray[np.float32] | None]:
    """Returns what an operator joins with a constant, and the constant; the tensor and None where it does not."""
    maker = wiring.producers.get(tensor)
    if maker is not None and maker.op_type == operator:
        for index in (0, 1):
            constant = wiring.constant(maker, index)
            if constant is not None:
                return maker.input[1 - index], constant
    return tensor, None


def _mean_behind(moved: str, factor: str, wiring: Wiring) -> str:
    """Returns the mean of which a tensor is the negative, times a factor; "" where it is another product."""
    maker = wiring.producers.get(moved)
    if maker is not None and maker.op_type == "Mul":
        for minus, other in _either_way(maker):
            if other == factor:
                return _up(minus, wiring, "Neg")
    return ""


def _mean_axes(mean: str, source: str, wiring: Wiring) -> tuple[int, ...] | None:
    """Returns the axes over which a tensor is the mean of another, which keeps them; None where it is not."""
    maker, rank = wiring.producers.get(mean), len(wiring.shapes.get(source, ()))
    if maker is None or maker.input[0] != source or not rank:
        return None
    if maker.op_type == "GlobalAveragePool":
        return tuple(range(2, rank))
    values, given = attributes(maker), wiring.constant(maker, 1)
    axes = values.get("axes", ()) if given is None else given.tolist()  # an input from opset 18 on
    if maker.op_type != "ReduceMean" or not values.get("keepdims", 1) or not axes:
        return None
    return tuple(sorted(axis % rank for axis in axes))


def _is_variance(variance: str, mean: str, source: str, wiring: Wiring) -> bool:
    """Returns whether a tensor is the mean, over the same axes, of the squares of a source less its mean."""
    squares = next(iter(wiring.producers[variance].input), "") if variance in wiring.producers else ""
    square = wiring.producers.get(squares)
    if square is None or square.op_type != "Mul" or square.input[0] != square.input[1]:
        return False
    difference = wiring.producers.get(square.input[0])
    if difference is None or difference.op_type != "Sub" or difference.input[0] != source:
        return False
    taken = difference.input[1]
    before, shape = _up(taken, wiring, "Reshape"), wiring.shapes.get(taken, ())
    if shape == wiring.shapes.get(before) and shape.count(None) < 2:  # to the shape that it has
        taken = before
    return taken == mean and _mean_axes(variance, squares, wiring) == _mean_axes(mean, source, wiring)


def _spread(
    constant: npt.NDArray[np.float32] | None, axes: tuple[int, ...], sizes: tuple[int, ...], rank: int
) -> npt.NDArray[np.float32] | None:
    """Returns a constant in the shape of the axes, zeros for none; None where it differs along others."""
    if constant is None:
        return np.zeros(sizes, np.float32)
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if len(shape) != rank or math.prod(shape[axis] for axis in axes) != constant.size:
        return None
    inner = constant.reshape([shape[axis] for axis in axes])
    return np.ascontiguousarray(np.broadcast_to(inner, sizes)) if inner.size == 1 or inner.shape == sizes else None
