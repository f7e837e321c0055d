"""How the tensors of a graph hang together, and a copy of a model with some of its nodes replaced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from edgecnn_exporters.rewrites.chain import Weights

_SMALL = 1024  # elements; shape inference reads the values of weights up to here, which are shapes, axes and pads

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Wiring:
    """A graph by its tensors.

    Attributes:
        producers: the node that makes each tensor.
        consumers: the nodes that read each tensor, once for each time they do.
        weights: the initializers.
        outputs: names of the graph's outputs.
        shapes: of every tensor where it is known; None for a free dimension.
        types: of every tensor where it is known, of ONNX's enumeration.
    """

    producers: Mapping[str, NodeProto]
    consumers: Mapping[str, tuple[NodeProto, ...]]
    weights: Mapping[str, TensorProto]
    outputs: frozenset[str]
    shapes: Mapping[str, Shape]
    types: Mapping[str, int]

    def only_consumer(self, tensor: str) -> NodeProto | None:
        """Returns the one node that reads a tensor; None where there are several, none, or it is an output."""
        consumers = self.consumers.get(tensor, ())
        return consumers[0] if len(consumers) == 1 and tensor not in self.outputs else None

    def constant(self, node: NodeProto, index: int) -> npt.NDArray[Any] | None:
        """Returns the values that a node reads from a weight; None where it reads none there."""
        name = node.input[index] if index < len(node.input) else ""
        return numpy_helper.to_array(self.weights[name]) if name in self.weights else None

    def values(self, node: NodeProto, index: int) -> npt.NDArray[Any]:
        """Returns the values that a node reads from a weight.

        Raises:
            KeyError: it reads none there.
        """
        return numpy_helper.to_array(self.weights[node.input[index]])

    def size(self, tensor: str) -> tuple[int, int]:
        """Returns height and width of an (N, C, H, W) tensor.

        Raises:
            ValueError: they are not fixed.
        """
        height, width = self.shapes[tensor][2:]
        if height is None or width is None:
            raise ValueError(f"{tensor}: expected a fixed height and width, received {self.shapes[tensor]}")
        return height, width


def read_wiring(model: ModelProto) -> Wiring:
    """Returns how a model's graph hangs together; no weight is copied.

    Args:
        model: without subgraphs.
    """
    graph, tensors = model.graph, _infer(model)
    consumers: dict[str, tuple[NodeProto, ...]] = {}
    for node in graph.node:
        for name in filter(None, node.input):  # "" stands for an input that is left out
            consumers[name] = (*consumers.get(name, ()), node)
    return Wiring(
        producers={name: node for node in graph.node for name in node.output if name},
        consumers=consumers,
        weights={weight.name: weight for weight in graph.initializer},
        outputs=frozenset(tensor.name for tensor in graph.output),
        shapes={tensor.name: _shape(tensor) for tensor in tensors if tensor.type.tensor_type.HasField("shape")},
        types={tensor.name: tensor.type.tensor_type.elem_type for tensor in tensors},
    )


def attributes(node: NodeProto) -> dict[str, Any]:
    """Returns a node's attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def reading(node: NodeProto, sources: Mapping[str, str]) -> NodeProto:
    """Returns a copy of a node that reads other tensors.

    Args:
        node: is not changed.
        sources: by the name of the tensor that each is read in place of.
    """
    changed = NodeProto()
    changed.CopyFrom(node)
    changed.input[:] = [sources.get(name, name) for name in node.input]
    return changed


def replace_each(
    model: ModelProto, operator: str, make: Callable[[NodeProto, Wiring], tuple[list[NodeProto], Weights] | None]
) -> tuple[ModelProto, bool]:
    """Returns a model in which others stand for the nodes of one operator, and whether it has changed.

    Args:
        model: is not changed.
        operator: of the nodes.
        make: returns the nodes that stand in place of one, with their weights; None leaves it.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for node in model.graph.node:
        if node.op_type == operator and (made := make(node, wiring)) is not None:
            nodes[node.output[0]], added = made
            weights |= added
    return (replace(model, nodes, weights), True) if nodes else (model, False)


def replace(
    model: ModelProto,
    nodes: Mapping[str, Sequence[NodeProto]],
    weights: Mapping[str, npt.NDArray[Any]],
) -> ModelProto:
    """Returns a copy of a model in which other nodes stand where some stood.

    Weights and nodes that nothing reads any more are gone.

    Args:
        model: is not changed.
        nodes: by the first output of the node that they replace; they make all that is still read of it.
        weights: new initializers by name; one that has the name already is gone.
    """
    replaced = ModelProto()
    replaced.CopyFrom(model)
    graph = replaced.graph
    kept = [new for node in model.graph.node for new in nodes.get(node.output[0], (node,))]
    del graph.node[:]
    graph.node.extend(_needed(kept, {tensor.name for tensor in graph.output}))
    read = {name for node in graph.node for name in node.input}
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read or graph.initializer[index].name in weights:
            del graph.initializer[index]
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in weights.items() if name in read)
    graph.ClearField("value_info")
    return replaced


def _needed(nodes: Sequence[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Returns the nodes, in their order, that an output needs."""
    needed, read = [], set(outputs)
    for node in reversed(nodes):
        if not read.isdisjoint(node.output):
            needed.append(node)
            read.update(filter(None, node.input))
    return needed[::-1]


def _infer(model: ModelProto) -> list[ValueInfoProto]:
    """Infers shape and type of all tensors from a graph without its large weights, which inference would copy."""
    graph = model.graph
    small = [weight for weight in graph.initializer if np.prod(weight.dims, dtype=np.int64) <= _SMALL]
    weights = [helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in graph.initializer]
    skeleton = GraphProto(
        name="skeleton", node=graph.node, input=[*graph.input, *weights], initializer=small, output=graph.output
    )
    inferred = onnx.shape_inference.infer_shapes(
        ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=skeleton), data_prop=True
    ).graph
    return [*inferred.value_info, *inferred.input, *inferred.output]


def _shape(tensor: ValueInfoProto) -> Shape:
    dimensions = tensor.type.tensor_type.shape.dim
    return tuple(int(size.dim_value) if size.HasField("dim_value") else None for size in dimensions)
