"""Nodes that take the place of one node, named after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
from onnx import NodeProto, helper

Weights = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a chain.

    Attributes:
        operator: of the default domain.
        inputs: tensors of the graph; "@name" is the result of an earlier step or a weight of the chain.
        output: a tensor that the graph reads, or "@name".
        attributes: of the node.
    """

    operator: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


def chain(
    replaced: NodeProto, tag: str, steps: Sequence[Step], weights: Mapping[str, npt.NDArray[Any]]
) -> tuple[list[NodeProto], Weights]:
    """Returns the nodes and weights of a chain under names that no other tensor has.

    Args:
        replaced: the nodes are named after it, so that they keep its layer, and the tensors after its first output.
        tag: names the rewrite.
        steps: in order.
        weights: by their names in the chain, without "@".

    Example:
        >>> relu = helper.make_node("Relu", ["x"], ["y"], name="layer//7")
        >>> nodes, weights = chain(relu, "twice", [Step("Relu", ["x"], "@a"), Step("Relu", ["@a"], "y")], {})
        >>> [(node.name, *node.input, *node.output) for node in nodes]
        [('layer//7/twice/0', 'x', 'y/twice/a'), ('layer//7/twice/1', 'y/twice/a', 'y')]
    """

    def full(name: str) -> str:
        return f"{replaced.output[0]}/{tag}/{name[1:]}" if name.startswith("@") else name

    nodes = [
        helper.make_node(
            step.operator,
            [full(name) for name in step.inputs],
            [full(step.output)],
            name=f"{replaced.name}/{tag}/{number}",
            **step.attributes,
        )
        for number, step in enumerate(steps)
    ]
    return nodes, {full(f"@{name}"): values for name, values in weights.items()}
