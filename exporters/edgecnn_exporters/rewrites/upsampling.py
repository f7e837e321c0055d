"""Rows and columns repeated by Tile and Reshape, as one Resize."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, replace

_TAG = "upsampling"
_MOVES = frozenset({"Unsqueeze", "Tile", "Reshape", "Transpose"})
_NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def resize_instead_of_tile(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with each chain of Tiles that repeats rows and columns as one Resize.

    What a chain does is found by running it on a tensor of numbered positions: if they come out as rows and columns,
    each repeated a number of times, it is a nearest-neighbour Resize.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for start in model.graph.node:
        if start.op_type not in _MOVES or _continues(start, wiring):
            continue
        for length in range(len(moves := list(_moves(start, wiring))), 1, -1):
            factors = _factors(moves[:length], wiring)
            if factors is not None:
                nodes |= {node.output[0]: [] for node in moves[: length - 1]}
                nodes[moves[length - 1].output[0]], added = _resized(moves[0].input[0], moves[length - 1], factors)
                weights |= added
                break
    return (replace(model, nodes, weights), True) if nodes else (model, False)


def _continues(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a chain that starts further up comes through this node."""
    before = wiring.producers.get(node.input[0])
    return before is not None and before.op_type in _MOVES and wiring.only_consumer(node.input[0]) is not None


def _moves(start: NodeProto, wiring: Wiring) -> Iterator[NodeProto]:
    """Yields the nodes from `start` on that do nothing but move and repeat values."""
    node: NodeProto | None = start
    while node is not None and node.op_type in _MOVES:
        yield node
        node = wiring.only_consumer(node.output[0])


def _factors(moves: list[NodeProto], wiring: Wiring) -> tuple[int, int] | None:
    """Returns how often the moves repeat each row and column of an (N, C, H, W) tensor; None if they do not."""
    shape, repeated = wiring.shapes.get(moves[0].input[0], ()), wiring.shapes.get(moves[-1].output[0], ())
    if len(shape) != 4 or len(repeated) != 4 or None in (*shape[1:], *repeated[1:]):
        return None
    batch, channels, height, width = (1 if size is None else size for size in shape)
    rows, columns = (repeated[2] or 0) // height, (repeated[3] or 0) // width
    if (rows, columns) == (1, 1):
        return None
    for images in {batch, batch + 1} if shape[0] is None else {batch}:
        positions = np.arange(images * channels * height * width).reshape(images, channels, height, width)
        moved = _run(moves, positions, wiring)
        if moved is None or not np.array_equal(moved, positions.repeat(rows, axis=2).repeat(columns, axis=3)):
            return None
    return rows, columns


def _run(moves: list[NodeProto], values: npt.NDArray[Any], wiring: Wiring) -> npt.NDArray[Any] | None:
    """Returns what the nodes make of an array; None where that depends on more than constants."""
    for node in moves:
        if node.op_type == "Transpose":
            values = values.transpose(attributes(node)["perm"])
            continue
        constant = wiring.constant(node, 1)
        if constant is None:
            return None
        numbers = [int(number) for number in constant]
        if node.op_type == "Unsqueeze":
            values = np.expand_dims(values, tuple(numbers))
        elif node.op_type == "Tile":
            values = np.tile(values, numbers)
        elif attributes(node).get("allowzero", 0):
            return None
        else:
            kept = [values.shape[axis] if number == 0 else number for axis, number in enumerate(numbers)]
            values = values.reshape(kept)
    return values


def _resized(x: str, last: NodeProto, factors: tuple[int, int]) -> tuple[list[NodeProto], Weights]:
    steps = [Step("Resize", (x, "", "@scales"), last.output[0], _NEAREST)]
    return chain(last, _TAG, steps, {"scales": np.array([1, 1, *factors], np.float32)})
