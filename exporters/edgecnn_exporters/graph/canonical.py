"""Order and names that depend on nothing but the structure of the graph.

Nodes stand in the order in which a walk from the outputs back to the inputs meets them. Nodes are named LAYER/OPERATOR,
tensors NODE:OUTPUT, weights LAYER/ROLE. Nothing else is kept: no documentation, no inferred shapes, no unused domain.
"""

from collections.abc import Iterator, Mapping, Sequence

import onnx
import onnx.defs
from onnx import GraphProto, NodeProto, ValueInfoProto

from edgecnn_exporters.graph.layer_names import marked_layer, unique

_PRODUCER = "edgecnn"
_BATCH = "batch"
_FREE_AXES = {1: "height", 2: "width"}  # of the input, (N, H, W, C)
# Keras' names for what ONNX calls by a letter
_ROLES: Mapping[tuple[str, int], str] = {
    **{(operator, 1): "kernel" for operator in ("Conv", "ConvTranspose", "Gemm", "MatMul")},
    **{(operator, 2): "bias" for operator in ("Conv", "ConvTranspose", "Gemm")},
}


def canonicalise(
    model: onnx.ModelProto, *, input_names: Sequence[str], output_names: Sequence[str], batch: int | None
) -> None:
    """Orders and names everything in a model, in place and without copying a weight.

    Args:
        model: its nodes carry their layers (see `edgecnn_exporters.graph.layer_names`); no subgraphs.
        input_names: in the order that the graph is to have.
        output_names: in the order that the graph is to have.
        batch: the fixed batch size, or None for the dimension "batch".
    """
    graph = model.graph
    _order_nodes(graph, output_names)
    layers = _layers(graph)
    _rename(graph, layers)
    _order_initializers(graph)
    _strip(model)
    graph.input.sort(key=lambda tensor: input_names.index(tensor.name))
    graph.output.sort(key=lambda tensor: output_names.index(tensor.name))
    with_default = {weight.name for weight in graph.initializer}
    for tensor in graph.input:
        if tensor.name not in with_default:  # what has one is no row of a batch
            _name_dimensions(tensor, batch, _FREE_AXES)
    for tensor in graph.output:
        _name_dimensions(tensor, batch, {})


def _order_nodes(graph: GraphProto, output_names: Sequence[str]) -> None:
    """Sorts nodes by a depth-first walk from the outputs, producers first; nodes that no output needs are dropped."""
    rank = {node.output[0]: number for number, node in enumerate(_walk(graph, output_names))}
    for index in reversed(range(len(graph.node))):
        if graph.node[index].output[0] not in rank:
            del graph.node[index]
    graph.node.sort(key=lambda node: rank[node.output[0]])


def _walk(graph: GraphProto, output_names: Sequence[str]) -> Iterator[NodeProto]:
    producers = {tensor: node for node in graph.node for tensor in node.output if tensor}
    done: set[str] = set()
    stack = [(name, False) for name in reversed(output_names)]
    while stack:
        tensor, inputs_done = stack.pop()
        node = producers.get(tensor)
        if node is None or node.output[0] in done:
            continue
        if inputs_done:
            done.add(node.output[0])
            yield node
        else:
            stack.append((tensor, True))
            stack.extend((name, False) for name in reversed(node.input))


def _layers(graph: GraphProto) -> list[str]:
    """Returns the layer of each node; one that carries none belongs with its producer, or else with its consumer."""
    found = [marked_layer(node.name) for node in graph.node]
    of_tensor: dict[str, str] = {}
    for index, node in enumerate(graph.node):
        found[index] = found[index] or next((of_tensor[name] for name in node.input if of_tensor.get(name)), "")
        of_tensor |= dict.fromkeys(filter(None, node.output), found[index])
    of_tensor = {}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        found[index] = found[index] or next((of_tensor[name] for name in node.output if of_tensor.get(name)), "")
        of_tensor |= dict.fromkeys(filter(None, node.input), found[index])
    return found


def _rename(graph: GraphProto, layers: Sequence[str]) -> None:
    kept = {tensor.name for tensor in (*graph.input, *graph.output)}
    weights = {tensor.name for tensor in graph.initializer}
    names = {name: name for name in kept}
    taken = set(kept)
    node_names: set[str] = set()
    for node, layer in zip(graph.node, layers, strict=True):
        node.name = unique(f"{layer}/{node.op_type}" if layer else node.op_type, node_names)
        node_names.add(node.name)
        for index, tensor in enumerate(node.input):
            if tensor in weights and tensor not in names:
                names[tensor] = unique(f"{layer}/{_role(node, index)}" if layer else _role(node, index), taken)
                taken.add(names[tensor])
            node.input[index] = names[tensor] if tensor else ""
        for index, tensor in enumerate(node.output):
            if tensor and tensor not in names:
                names[tensor] = unique(f"{node.name}:{index}", taken)
                taken.add(names[tensor])
            node.output[index] = names[tensor] if tensor else ""
    for weight in graph.initializer:
        weight.name = names.get(weight.name, "")


def _role(node: NodeProto, index: int) -> str:
    """Returns what a weight is to the node that reads it: "kernel", "bias", or the name in ONNX's operator schema."""
    role = _ROLES.get((node.op_type, index))
    formal = onnx.defs.get_schema(node.op_type).inputs
    return role or formal[min(index, len(formal) - 1)].name


def _order_initializers(graph: GraphProto) -> None:
    """Sorts weights by their first use; those that nothing reads are dropped."""
    rank: dict[str, int] = {}
    for node in graph.node:
        for name in filter(None, node.input):  # "" stands for an input that is left out
            rank.setdefault(name, len(rank))
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in rank:
            del graph.initializer[index]
    graph.initializer.sort(key=lambda tensor: rank[tensor.name])


def _strip(model: onnx.ModelProto) -> None:
    """Removes what varies or is not needed, and sorts attributes (ONNX Runtime writes them in hash order)."""
    graph = model.graph
    for message in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        for name in ("doc_string", "metadata_props"):
            message.ClearField(name)
    for node in graph.node:
        node.domain = ""
        node.attribute.sort(key=lambda attribute: attribute.name)
    graph.ClearField("value_info")
    for index in reversed(range(len(model.opset_import))):
        if model.opset_import[index].domain not in ("", "ai.onnx"):
            del model.opset_import[index]
    model.ClearField("producer_version")
    model.producer_name = graph.name = _PRODUCER


def _name_dimensions(tensor: ValueInfoProto, batch: int | None, free_axes: Mapping[int, str]) -> None:
    for axis, dimension in enumerate(tensor.type.tensor_type.shape.dim):
        if axis == 0 and batch is not None:
            dimension.dim_value = batch
        elif axis == 0:
            dimension.dim_param = _BATCH
        elif dimension.WhichOneof("value") != "dim_value" and axis in free_axes:
            dimension.dim_param = free_axes[axis]
        elif dimension.WhichOneof("value") == "dim_param":
            dimension.ClearField("dim_param")
