"""MaxPool before LeakyRelu instead of behind it."""

from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.wiring import attributes, read_wiring, replace


def pool_before_leaky_relu(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with each LeakyRelu behind the MaxPool that follows it, where the pool leaves fewer values.

    A function that never falls keeps the largest value the largest, so nothing changes but the number of values that
    LeakyRelu sees. A Relu stays where it is: it costs nothing in the convolution before it.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    for activation in model.graph.node:
        pool = wiring.only_consumer(activation.output[0]) if activation.op_type == "LeakyRelu" else None
        if pool is not None and _shrinks(pool) and attributes(activation).get("alpha", 0.01) >= 0:
            nodes[activation.output[0]] = []
            nodes[pool.output[0]] = _swapped(activation, pool)
    return (replace(model, nodes, {}), True) if nodes else (model, False)


def _shrinks(node: NodeProto) -> bool:
    """Returns whether a node is a MaxPool, without indices, that steps over values."""
    return node.op_type == "MaxPool" and len(node.output) == 1 and max(attributes(node).get("strides", [1])) > 1


def _swapped(activation: NodeProto, pool: NodeProto) -> list[NodeProto]:
    pooled = f"{activation.output[0]}/pooled"
    first, second = NodeProto(), NodeProto()
    first.CopyFrom(pool)
    first.input[0], first.output[0] = activation.input[0], pooled
    second.CopyFrom(activation)
    second.input[0], second.output[0] = pooled, pool.output[0]
    return [first, second]
