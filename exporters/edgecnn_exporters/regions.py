"""Which parts of a graph are computed with integers, and which belong together when one goes back to float32."""

import math
from collections import defaultdict
from collections.abc import Collection

from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from edgecnn_exporters.rewrites.wiring import Wiring, read_wiring

COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_RELAYS = frozenset({"Relu", "Clip", "MaxPool", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
MOVES = frozenset({"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_CARRY = MOVES | {"Slice", "Split", "Pad", "DepthToSpace", "SpaceToDepth", "Identity"}  # numbers as they are
_CHOOSES = frozenset({"NonMaxSuppression", "TopK"})
_CHEAP = 0.03  # of all products: what the last layers may have to stay in float32
_OF_FLOATS = frozenset({"Add", "Mul", "GlobalAveragePool"})  # that compute in float32 where a neighbour does
_PRODUCTS = frozenset({"Gemm", "MatMul"})
_FUSED = frozenset({"Relu", "Clip"})  # the quantizer lets the ends of the range before them do their work


def compute_layers(graph: GraphProto) -> tuple[str, ...]:
    """Returns the names of the convolutions and matrix products that have constant weights, in the graph's order.

    Weights of fewer bits are constant too.
    """
    weights = {tensor.name for tensor in graph.initializer}
    weights |= {
        node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in weights
    }
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


def not_of_image_alone(graph: GraphProto, image: str) -> tuple[str, ...]:
    """Returns the names of the nodes that read, directly or not, what is no part of the image: a question's part.

    What the image and a question are joined by is among them. Regions, an input of float32, say which part of the image
    is looked at: what reads them reads the image alone.

    Args:
        graph: whose inputs have no default.
        image: the name of the image's input.
    """
    others = {tensor.name for tensor in graph.input if tensor.type.tensor_type.elem_type != TensorProto.FLOAT} - {image}
    names = []
    for node in graph.node:
        if others.intersection(node.input):
            others.update(filter(None, node.output))
            names.append(node.name)
    return tuple(names)


def after_choice(graph: GraphProto) -> tuple[str, ...]:
    """Returns the names of the nodes that pick by rank, and of those that depend on it as far as the next layers.

    In fewer bits many ranks are equal, and a box that is computed in them is another box.

    Args:
        graph: of float32.
    """
    layers, chosen, names = set(compute_layers(graph)), set[str](), []
    for node in graph.node:
        if node.op_type in _CHOOSES or (chosen.intersection(node.input) and node.name not in layers):
            chosen.update(filter(None, node.output))
            names.append(node.name)
    return tuple(names)


def float_arithmetic(graph: GraphProto, integer: Collection[str]) -> tuple[str, ...]:
    """Returns the names of the sums, products and global means that have no use for 8 bits.

    They read what an operator makes in float32, or only such operators read them: to round there costs accuracy and
    spares nothing, as in the parts of a GELU, of a tanh or of a normalisation. Likewise a sum with what a matrix
    product makes, which gives float32 for nothing: so the sums of a transformer or a ConvNeXt block stay in float32,
    where each block would round them anew.

    Args:
        graph: of float32.
        integer: types of the operators that can compute with integers.
    """
    weights, outputs = {tensor.name for tensor in graph.initializer}, {tensor.name for tensor in graph.output}
    producers = {tensor: node for node in graph.node for tensor in node.output}
    readers = defaultdict[str, list[NodeProto]](list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    kept = set[str]()

    def makers(node: NodeProto) -> list[NodeProto | None]:
        found = []
        for name in (name for name in node.input if name and name not in weights):
            maker = producers.get(name)
            while maker is not None and maker.op_type in _CARRY:
                maker = producers.get(maker.input[0])
            found.append(maker)
        return found

    def users(tensor: str) -> list[NodeProto | None]:
        found: list[NodeProto | None] = [None] if tensor in outputs else []
        for reader in readers[tensor]:
            carried = (user for output in reader.output for user in users(output))
            found += carried if reader.op_type in _CARRY else [reader]
        return found

    def is_float(node: NodeProto | None) -> bool:
        return node is not None and (node.op_type not in integer or node.name in kept)

    candidates = [node for node in graph.node if node.op_type in _OF_FLOATS]
    before = -1
    while before < len(kept):
        before = len(kept)
        for node in candidates:
            made, read = makers(node), users(node.output[0])
            behind_product = any(maker is not None and maker.op_type in _PRODUCTS for maker in made)
            sums = node.op_type == "Add" and len(made) > 1
            if (sums and behind_product) or any(map(is_float, made)) or (read and all(map(is_float, read))):
                kept.add(node.name)
    return tuple(node.name for node in candidates if node.name in kept)


def cheap_last_convolutions(model: ModelProto) -> tuple[str, ...]:
    """Returns the names of the convolutions that give outputs or ranks, where nearly all products are elsewhere.

    A detector's raw numbers span tens of units, of which int8 makes 256 steps; its boxes are exponentials of them. The
    answer is empty where sizes are free. Matrix products need no float32 to give float32.

    Args:
        model: of float32.
    """
    wiring, last, chosen = read_wiring(model), set[str](), set(after_choice(model.graph))
    ranked = (tensor for node in model.graph.node if node.name in chosen for tensor in node.input)
    for tensor in (*(output.name for output in model.graph.output), *ranked):
        node = wiring.producers.get(tensor)
        while node is not None and node.op_type in MOVES:
            node = wiring.producers.get(node.input[0])
        if node is not None and node.op_type == "Conv":
            last.add(node.name)
    layers = set(compute_layers(model.graph))
    products = {node.name: _products(node, wiring) for node in model.graph.node if node.name in layers}
    everything = math.fsum(products.values())
    names = tuple(node.name for node in model.graph.node if node.name in last)
    return names if math.fsum(products[name] for name in names) <= _CHEAP * everything else ()


def _products(node: NodeProto, wiring: Wiring) -> float:
    """Returns how many products a layer takes for an image; NaN where that is not known."""
    weights = wiring.weights.get(node.input[1])
    shape = wiring.shapes.get(node.output[0], ())
    if weights is None or None in shape[1:]:
        return math.nan
    repeated = shape[2:] if node.op_type in ("Conv", "ConvTranspose") else shape[:-1]
    places = math.prod(size or 1 for size in repeated)
    return float(math.prod(weights.dims) * places)


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
