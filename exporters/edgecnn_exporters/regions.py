"""Which parts of a graph are computed with integers, and which belong together when one goes back to float32."""

from onnx import GraphProto

COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_RELAYS = frozenset({"Relu", "Clip", "MaxPool", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_FUSED = frozenset({"Relu", "Clip"})  # the quantizer lets the ends of the range before them do their work


def compute_layers(graph: GraphProto) -> tuple[str, ...]:
    """Returns the names of the convolutions and matrix products that have constant weights, in the graph's order."""
    weights = {tensor.name for tensor in graph.initializer}
    return tuple(node.name for node in graph.node if node.op_type in COMPUTE and node.input[1] in weights)


def outside(graph: GraphProto) -> tuple[str, ...]:
    """Returns the names of the nodes that no convolution or matrix product comes before, or none after.

    A Relu or Clip behind the last of them counts as a part of it.
    """
    computed, used = set[str](), set[str]()  # tensors behind a compute layer, and before one
    for node in graph.node:
        if node.op_type in COMPUTE or computed.intersection(node.input):
            computed.update(filter(None, node.output))
    for node in reversed(graph.node):
        if node.op_type in COMPUTE or used.intersection(node.output):
            used.update(filter(None, node.input))
    return tuple(
        node.name
        for node in graph.node
        if node.op_type not in COMPUTE
        and (not computed.intersection(node.output) or not (node.op_type in _FUSED or used.intersection(node.output)))
    )


def with_producer(graph: GraphProto, layer: str) -> tuple[str, ...]:
    """Returns the nodes that must be in float32 for a layer to read and compute float32.

    These are the layer, the operator that makes its input, and those between them that only pass values on.

    Args:
        graph: of float32.
        layer: the name of a node.
    """
    producers = {tensor: node for node in graph.node for tensor in node.output}
    node = next(node for node in graph.node if node.name == layer)
    names = [layer]
    producer = producers.get(node.input[0])
    while producer is not None:
        names.append(producer.name)
        producer = producers.get(producer.input[0]) if producer.op_type in _RELAYS else None
    return tuple(reversed(names))
