"""Where the time of a detector goes that proposes regions: the map of the picture, the proposals, the regions.

What is measured are graphs that end after each part, run in turn, so that noise hits all of them. Operators are joined
across the borders in the whole graph, so the parts are near what they take there, and not exact.
"""

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto

from edgecnn_exporters.regions import MOVES, after_choice
from edgecnn_runtime.session import Session

PARTS = ("backbone", "proposals", "heads")
_WARMUP, _FEWEST, _MOST = 5, 20, 500  # runs of each
_SECONDS = 2.0  # of measured runs, once there are the fewest
_PASSED = MOVES | {"DequantizeLinear", "QuantizeLinear"}


def measure_shares(payload: bytes, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, float] | None:
    """Returns which part of a run's time each of `PARTS` takes, on one thread; None of a graph that proposes nothing.

    Args:
        payload: of the graph, in float32 or in fewer bits.
        feeds: of one run.
    """
    model = onnx.load_from_string(payload)
    borders = _borders(model)
    if borders is None:
        return None
    cut = [_ending(model, border).SerializeToString() for border in borders]
    sessions = [Session(graph, device="cpu", threads=1) for graph in (*cut, payload)]
    times: list[list[float]] = []
    end = None
    while end is None or len(times) < _FEWEST or (len(times) < _MOST and perf_counter() < end):
        if len(times) == _WARMUP and end is None:
            times, end = [], perf_counter() + _SECONDS
        times.append([_seconds(session, feeds) for session in sessions])
    until = np.median(np.array(times), axis=0)  # (3,)
    each = np.maximum(np.diff(until, prepend=0.0), 0.0)
    return {part: round(float(share), 4) for part, share in zip(PARTS, each / each.sum(), strict=True)}


def _borders(model: ModelProto) -> tuple[list[str], list[str]] | None:
    """Returns the tensors that the backbone ends in, and those that the heads begin with."""
    chosen = set(after_choice(model.graph))
    if not chosen:
        return None
    producers = {tensor: node for node in model.graph.node for tensor in node.output}
    read = {
        tensor: _source(tensor, producers)
        for node in model.graph.node
        if node.name in chosen
        for tensor in node.input
        if tensor in producers and producers[tensor].name not in chosen
    }
    inner = {tensor: _before(node, producers) for tensor, node in read.items()}
    maps = [
        tensor
        for tensor, node in read.items()
        if any(node.name in before for other, before in inner.items() if read[other].name != node.name)
    ]
    given = [
        tensor
        for node in model.graph.node
        if node.name not in chosen
        for tensor in node.input
        if tensor in producers and producers[tensor].name in chosen
    ]
    return (maps, list(dict.fromkeys(given))) if maps and given else None


def _source(tensor: str, producers: Mapping[str, NodeProto]) -> NodeProto:
    """Returns the node whose numbers a tensor holds, however they were moved."""
    node = producers[tensor]
    while node.op_type in _PASSED and node.input[0] in producers:
        node = producers[node.input[0]]
    return node


def _before(node: NodeProto, producers: Mapping[str, NodeProto]) -> set[str]:
    """Returns the names of the nodes that one depends on, without its own."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for tensor in waiting.pop().input:
            if tensor in producers and producers[tensor].name not in found:
                found.add(producers[tensor].name)
                waiting.append(producers[tensor])
    return found


def _ending(model: ModelProto, tensors: Iterable[str]) -> ModelProto:
    """Returns the part of a graph that some of its tensors, all of float32, are computed by."""
    producers = {tensor: node for node in model.graph.node for tensor in node.output}
    tensors = list(tensors)
    kept = {producers[tensor].name for tensor in tensors}
    kept |= {name for tensor in tensors for name in _before(producers[tensor], producers)}
    part = ModelProto()
    part.CopyFrom(model)
    nodes = [node for node in model.graph.node if node.name in kept]
    del part.graph.node[:], part.graph.output[:], part.graph.value_info[:]
    part.graph.node.extend(nodes)
    part.graph.output.extend(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    read = {tensor for node in nodes for tensor in node.input}
    weights = [weight for weight in model.graph.initializer if weight.name in read]
    del part.graph.initializer[:]
    part.graph.initializer.extend(weights)
    return part


def _seconds(session: Session, feeds: Mapping[str, npt.NDArray[Any]]) -> float:
    start = perf_counter()
    session.run(feeds)
    return perf_counter() - start
