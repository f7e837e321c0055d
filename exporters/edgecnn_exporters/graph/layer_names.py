"""Which Keras layer a node of the graph came from, read off the scopes in TensorFlow's operation names.

`convert` writes the answer into the node's name as LAYER//NUMBER, which survives ONNX Runtime's rewrites (they only
append); `graph` reads it back and gives the final name LAYER/OPERATOR.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

_MARK = "//"  # cannot stand in a Keras layer's name
_COUNTED = re.compile(r"(.+)_\d+")


@dataclass(frozen=True, slots=True)
class LayerNames:
    """The names of a model's layers, nested as the models in it are.

    Attributes:
        children: the layers by name; empty for a layer that is no model.
    """

    children: Mapping[str, "LayerNames"] = field(default_factory=dict)


def find_layer(operation: str, names: LayerNames) -> str:
    """Returns the path of the layer that made a TensorFlow operation, "" where none is recognised.

    Keras enters a layer's name as a scope more than once, so TensorFlow appends a count to it.

    Args:
        operation: for example "block_1/conv_1/BiasAdd__12".
        names: of the model.

    Example:
        >>> leaf = LayerNames()
        >>> names = LayerNames({"block": LayerNames({"conv": leaf}), "conv": leaf, "conv_1": leaf})
        >>> find_layer("block_1/conv_1/BiasAdd__12", names)
        'block/conv'
        >>> [find_layer(name, names) for name in ("conv_1/Relu", "conv_1_2/Relu", "Transpose__7")]
        ['conv', 'conv_1', '']
    """
    path: list[str] = []
    for scope in operation.split("/")[:-1]:
        counted = _COUNTED.fullmatch(scope)
        name = counted.group(1) if counted and counted.group(1) in names.children else scope
        if name in names.children:
            path.append(name)
            names = names.children[name]
    return "/".join(path)


def mark(layer: str, number: int) -> str:
    """Returns a node name that carries its layer."""
    return f"{layer}{_MARK}{number}"


def marked_layer(node_name: str) -> str:
    """Returns the layer in a name that `mark` made, whatever was appended to it; "" where there is none.

    Example:
        >>> marked_layer(mark("block/conv", 3) + "/MatMulAddFusion")
        'block/conv'
    """
    layer, mark_found, _ = node_name.partition(_MARK)
    return layer if mark_found else ""


def unique(name: str, taken: Container[str]) -> str:
    """Returns the name, with a count appended if it is taken.

    Example:
        >>> unique("conv/Relu", {"conv/Relu", "conv/Relu_1"})
        'conv/Relu_2'
    """
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate
