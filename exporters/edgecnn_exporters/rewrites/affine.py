"""Constants that a graph multiplies by and adds, read as one affine function of each channel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from edgecnn_exporters.regions import COMPUTE
from edgecnn_exporters.rewrites.wiring import Wiring, attributes

_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})
_ARITHMETIC = frozenset({"Mul", "Div", "Add", "Sub"})
_UNPADDED = (b"NOTSET", b"VALID")


@dataclass(frozen=True, slots=True)
class Affine:
    """Channel c becomes factor[c] * x + offset[c].

    Attributes:
        factor: (1,) or (C,) float64.
        offset: (1,) or (C,) float64.
    """

    factor: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    @property
    def uniform(self) -> bool:
        """Whether it is the same for every channel."""
        return self.factor.size == self.offset.size == 1

    def then(self, other: "Affine") -> "Affine":
        """Returns this function and another one on its result."""
        return Affine(self.factor * other.factor, self.offset * other.factor + other.offset)


IDENTITY = Affine(np.ones(1), np.zeros(1))


@dataclass(frozen=True, slots=True)
class Run:
    """Nodes in a row through which an affine function of each channel can be moved to any place among them.

    Attributes:
        start: the tensor that the first one reads.
        nodes: arithmetic with constants, means and, where all channels are treated alike, moves of values; maybe none.
        steps: what each node does to a channel; None where it is no arithmetic.
    """

    start: str
    nodes: tuple[NodeProto, ...]
    steps: tuple[Affine | None, ...]

    @property
    def end(self) -> str:
        """The tensor that the last node makes."""
        return self.nodes[-1].output[0] if self.nodes else self.start

    @property
    def arithmetic(self) -> tuple[NodeProto, ...]:
        """The nodes that calculate with constants."""
        return tuple(node for node, step in zip(self.nodes, self.steps, strict=True) if step is not None)

    @property
    def others(self) -> tuple[NodeProto, ...]:
        """The nodes that do not."""
        return tuple(node for node, step in zip(self.nodes, self.steps, strict=True) if step is None)

    @property
    def affine(self) -> Affine:
        """What all of them do to a channel."""
        affine = IDENTITY
        for step in self.steps:
            affine = affine if step is None else affine.then(step)
        return affine


def read_runs(wiring: Wiring) -> tuple[Run, ...]:
    """Returns the longest runs with any arithmetic, in the graph's order.

    What stands before the first convolution or matrix product is not read: it is the normalisation of the image.

    Args:
        wiring: of a graph in topological order.
    """
    computed, taken = set[str](), set[str]()
    runs = []
    for node in wiring.producers.values():
        if node.op_type not in COMPUTE and computed.isdisjoint(node.input):
            continue
        computed.update(node.output)
        if node.output[0] in taken:
            continue
        run = _read_run(node.output[0], wiring)
        if run.arithmetic:
            taken.update(member.output[0] for member in run.nodes)
            runs.append(run)
    return tuple(runs)


def _read_run(start: str, wiring: Wiring) -> Run:
    """Returns the longest run from a tensor on; an output of the graph is no part of it.

    Args:
        start: name of a tensor.
        wiring: of its graph.
    """
    nodes: list[NodeProto] = []
    steps: list[Affine | None] = []
    tensor, uniform, moved = start, True, False
    while (node := wiring.only_consumer(tensor)) is not None and node.output[0] not in wiring.outputs:
        step, moves = _calculated(node, tensor, wiring), node.op_type in _MOVES
        uniform = uniform and (step is None or step.uniform)
        moved = moved or moves
        if (step is None and not moves and not _averages(node)) or (moved and not uniform):
            break
        nodes.append(node)
        steps.append(step)
        tensor = node.output[0]
    return Run(start, tuple(nodes), tuple(steps))


def _calculated(node: NodeProto, tensor: str, wiring: Wiring) -> Affine | None:
    """Returns what arithmetic with one number, or one a channel, does to a tensor; None where a node does not."""
    if node.op_type not in _ARITHMETIC:
        return None
    first = node.input[0] == tensor
    constant = wiring.constant(node, 1 if first else 0)
    numbers = None if constant is None else _by_channel(constant, wiring.shapes.get(tensor, ()))
    if numbers is None or (node.op_type == "Div" and (not first or not numbers.all())):
        return None
    if node.op_type in ("Mul", "Div"):
        return Affine(numbers if node.op_type == "Mul" else 1 / numbers, np.zeros(1))
    if node.op_type == "Add":
        return Affine(np.ones(1), numbers)
    return Affine(np.ones(1), -numbers) if first else Affine(-np.ones(1), numbers)


def _by_channel(constant: npt.NDArray[Any], shape: tuple[int | None, ...]) -> npt.NDArray[np.float64] | None:
    """Returns a constant's number, or numbers for axis 1 of a tensor; None where it has others or widens the tensor."""
    if constant.dtype != np.float32 or constant.ndim > len(shape):
        return None
    if constant.size == 1:
        return constant.astype(np.float64).reshape(1)
    spread = (1,) * (len(shape) - constant.ndim) + constant.shape
    channels = shape[1] if len(shape) > 1 else None
    if channels is None or spread != (1, channels, *(1,) * (len(shape) - 2)):
        return None
    return constant.astype(np.float64).reshape(-1)


def _averages(node: NodeProto) -> bool:
    """Returns whether each of a node's results is the mean of values of one channel, and of no padding."""
    if node.op_type == "GlobalAveragePool":
        return True
    values = attributes(node)
    unpadded = not any(values.get("pads", ())) and values.get("auto_pad", b"NOTSET") in _UNPADDED
    return node.op_type == "AveragePool" and (
        not values.get("count_include_pad", 0) or (unpadded and not values.get("ceil_mode", 0))
    )
