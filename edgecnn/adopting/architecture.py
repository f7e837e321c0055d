"""What the configuration of a saved model says of it: layers and how they are wired, without Keras.

Three forms are read: that of Keras 3, of functional and Sequential models and those nested in them; that of Keras 2 in
HDF5 files; and a class of one's own, of which the file says nothing but its name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

Activation = Literal["softmax", "sigmoid", "linear"]
Reference = tuple[str, int]  # a layer, and which of its calls

_MODELS = ("Functional", "Sequential", "Model")
_OURS = "edgecnn>"
# What leaves the numbers that go through it scores, or logits; likewise in edgecnn.models.head
_PASSED = {"Reshape", "Flatten", "Dropout", "Permute", "Identity", "GlobalAveragePooling2D", "Squeeze", "Cast"}
_COUNTED = {"Dense": "units", "Conv2D": "filters", "Conv2DTranspose": "filters", "SeparableConv2D": "filters"}
_SCORING: dict[str, Activation] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}  # layers, and operations of keras.ops


@dataclass(frozen=True, slots=True)
class InputTensor:
    """An input of a model.

    Attributes:
        name: of the input's layer.
        shape: without the batch axis; None where a size is free.
        dtype: for example "float32".
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Node:
    """A layer, or an operation of `keras.ops`, as it is called.

    Attributes:
        name: of the layer, unique in its model.
        class_name: for example "Conv2D".
        config: its own.
        calls: what each call is given: positional and named arguments, with references for tensors.
        inner: the graph of a model that is called as a layer; else None.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    calls: tuple[tuple[Any, ...], ...]
    inner: "Graph | None" = None

    def given(self, call: int) -> list[Reference]:
        """Returns the tensors that a call is given."""
        return list(_references(self.calls[call])) if call < len(self.calls) else []


@dataclass(frozen=True, slots=True)
class Graph:
    """A functional or Sequential model.

    Attributes:
        nodes: by name.
        inputs: names of the input layers, in order.
        outputs: in order.
        built_for: what a Sequential model without an input layer was called with; else None.
    """

    nodes: Mapping[str, Node]
    inputs: tuple[str, ...]
    outputs: tuple[Reference, ...]
    built_for: tuple[int | None, ...] | None = None

    def readers(self, reference: Reference) -> list[Reference]:
        """Returns the calls that are given a tensor."""
        return [
            (node.name, call)
            for node in self.nodes.values()
            for call in range(len(node.calls))
            if reference in node.given(call)
        ]

    def everything(self) -> Iterator[Node]:
        """Yields all nodes, those of nested models too."""
        for node in self.nodes.values():
            yield node
            if node.inner is not None:
                yield from node.inner.everything()


@dataclass(frozen=True, slots=True)
class Head:
    """What a model ends in.

    Attributes:
        name: of the output's layer, which the option --output takes.
        activation: that its numbers come from; None where the configuration does not say.
        units: how many numbers there are in the last axis; None likewise.
    """

    name: str
    activation: Activation | None
    units: int | None


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a model is, as far as its file says.

    Attributes:
        name: of the model.
        class_name: "Functional", "Sequential", or a class of somebody's own.
        graph: None of a class of somebody's own.
        inputs: in order; empty where they are not known.
        heads: one an output, in order; empty where they are not known.
        random: names of layers that change images at random while a model learns.
        own: classes that are not Keras', in words: "Swish (mine>Swish)".
        mixed: the policy of layers that compute in fewer bits; None where there are none.
        loss: that it was compiled with, in lower case, without underscores; None where the file does not say.
        families: names of models in it, its own first, as keras.applications calls them.
    """

    name: str
    class_name: str
    graph: Graph | None = None
    inputs: tuple[InputTensor, ...] = ()
    heads: tuple[Head, ...] = ()
    random: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    mixed: str | None = None
    loss: str | None = None
    families: tuple[str, ...] = field(default=())


def read_architecture(config: Any) -> Architecture:
    """Reads the configuration of a model.

    Args:
        config: as JSON gives it, from `ModelFile.read_config`.

    Raises:
        ValueError: it is none.
    """
    try:
        return _read(config)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"no configuration of a Keras model ({type(error).__name__}: {error})") from error


def _read(config: dict[str, Any]) -> Architecture:
    if config is None:
        raise TypeError("nothing")
    class_name, own = str(config["class_name"]), tuple(sorted(set(_own_classes(config))))
    inner = config.get("config") or {}
    name = str(inner.get("name") or class_name)
    loss = _loss(config.get("compile_config") or {})
    if class_name not in _MODELS or "layers" not in inner:
        built = (config.get("build_config") or {}).get("input_shape")
        inputs = (InputTensor("image", tuple(built[1:]), "float32"),) if _is_shape(built) else ()
        return Architecture(name, class_name, inputs=inputs, own=own, loss=loss, mixed=_mixed(config))
    graph = _graph(config)
    layers = list(graph.everything())
    return Architecture(
        name,
        class_name,
        graph,
        inputs=tuple(_inputs(graph)),
        heads=tuple(_head(graph, output) for output in graph.outputs),
        random=tuple(node.name for node in layers if node.class_name.startswith("Random")),
        own=own,
        mixed=_mixed(config),
        loss=loss,
        families=(name, *(node.name for node in layers if node.inner is not None)),
    )


def _graph(config: dict[str, Any]) -> Graph:
    inner = config["config"]
    entries = inner["layers"]
    if config["class_name"] == "Sequential":
        nodes: dict[str, Node] = {}
        before: str | None = None
        for number, entry in enumerate(entries):
            name = str(entry["config"].get("name") or f"layer_{number}")
            calls = () if before is None else ((((before, 0),),),)
            nodes[name] = _node(name, entry, calls)
            before = name
        first = next(iter(nodes.values()), None)
        has_input = first is not None and first.class_name == "InputLayer"
        built = inner.get("build_input_shape") or (config.get("build_config") or {}).get("input_shape")
        if built is None and first is not None:  # Keras 2 keeps it at the first layer
            built = first.config.get("batch_input_shape")
        return Graph(
            nodes,
            (first.name,) if has_input and first is not None else (),
            () if before is None else ((before, 0),),
            tuple(built[1:]) if _is_shape(built) and not has_input else None,
        )
    nodes = {}
    for entry in entries:
        name = str(entry.get("name") or entry["config"]["name"])
        nodes[name] = _node(name, entry, tuple(_call(call) for call in entry.get("inbound_nodes", ())))
    return Graph(
        nodes,
        tuple(name for name, _ in _references(_ends(inner["input_layers"]))),
        tuple(_references(_ends(inner["output_layers"]))),
    )


def _node(name: str, entry: Any, calls: tuple[tuple[Any, ...], ...]) -> Node:
    class_name = str(entry["class_name"])
    nested = class_name in _MODELS and isinstance(entry.get("config"), dict) and "layers" in entry["config"]
    inner = _graph(entry) if nested else None
    return Node(name, class_name, entry.get("config") or {}, calls, inner)


def _call(call: Any) -> tuple[Any, ...]:
    """Returns the arguments of a call, with a `Reference` for each tensor: of Keras 3's form, or of Keras 2's."""
    if isinstance(call, dict):
        return (*map(_argument, call.get("args", ())), *map(_argument, (call.get("kwargs") or {}).values()))
    return tuple(_ends(call))


def _argument(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, call, *_ = value["config"]["keras_history"]
            return str(name), int(call)
        if value.get("class_name") in ("__tensor__", "__numpy__"):
            return value["config"]["value"]
        return {key: _argument(inner) for key, inner in value.items()}
    return [_argument(inner) for inner in value] if isinstance(value, list) else value


def _ends(value: Any) -> list[Reference]:
    """Returns the references in lists of [name, call, number], nested or alone, or by name."""
    if isinstance(value, dict):
        return [found for inner in value.values() for found in _ends(inner)]
    if isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            return [(value[0], value[1])]
        return [found for inner in value for found in _ends(inner)]
    return []


def _references(value: Any) -> Iterator[Reference]:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _references(inner)


def _inputs(graph: Graph) -> Iterator[InputTensor]:
    if not graph.inputs and graph.built_for is not None:
        yield InputTensor("image", graph.built_for, "float32")
    for name in graph.inputs:
        config = graph.nodes[name].config
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        dtype = config.get("dtype") or "float32"
        if _is_shape(shape):
            yield InputTensor(name, tuple(shape[1:]), dtype if isinstance(dtype, str) else "float32")


def _is_shape(value: Any) -> TypeGuard[list[int | None]]:
    return (
        isinstance(value, list | tuple) and len(value) > 1 and all(side is None or type(side) is int for side in value)
    )


def _head(graph: Graph, output: Reference) -> Head:
    """Follows an output back to what gave its numbers."""
    activation: Activation | None = None
    known = False
    within, reference = graph, output
    while True:
        node = within.nodes[reference[0]]
        if node.inner is not None and node.inner.outputs:
            within, reference = node.inner, node.inner.outputs[0]
            continue
        own = _activation(node)
        if not known and own != "linear":
            activation, known = own, True
        if node.class_name in _COUNTED:
            units = node.config.get(_COUNTED[node.class_name])
            return Head(output[0], activation if known else "linear", units if isinstance(units, int) else None)
        passes = node.class_name in _PASSED or node.class_name in _SCORING or node.class_name == "Activation"
        given = node.given(reference[1])
        if not passes or len(given) != 1:
            return Head(output[0], activation, None)
        reference = given[0]


def _activation(node: Node) -> Activation | None:
    """Returns what a layer applies to its numbers; None where that is something else."""
    if node.class_name in _SCORING:
        return _SCORING[node.class_name]
    name = node.config.get("activation", "linear")
    if isinstance(name, dict):
        name = (name.get("config") or {}).get("name") if isinstance(name.get("config"), dict) else name.get("config")
    if name in (None, "linear"):
        return "linear"
    return name if name in ("softmax", "sigmoid") else None


def _own_classes(config: Any) -> Iterator[str]:
    """Yields the classes and functions that Keras does not have and that are not ours, but for losses and the like."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            registered, module = value.get("registered_name"), value.get("module")
            known = isinstance(module, str) and module.startswith("keras")
            if isinstance(registered, str) and "config" in value and not known and not registered.startswith(_OURS):
                yield _title(value, registered)
            waiting.extend(inner for key, inner in value.items() if key != "compile_config")
        elif isinstance(value, list):
            waiting.extend(value)


def _title(value: dict[str, Any], registered: str) -> str:
    """Returns what messages call a class, by its registered name too, or a function."""
    name = str(value["config"] if registered == "function" else value.get("class_name"))
    return name if registered in (name, "function") else f"{name} ({registered})"


def _mixed(config: Any) -> str | None:
    """Returns the policy of fewer bits that some layer has: "mixed_float16", "float16" and the like; or None."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            dtype = value.get("dtype") if "trainable" in value else None  # a layer's, not a tensor's
            inner = dtype.get("config") if isinstance(dtype, dict) else None
            name = inner.get("name") if isinstance(inner, dict) else dtype
            if isinstance(name, str) and ("16" in name and "float" in name):
                return name
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return None


def _loss(compiled: Any) -> str | None:
    loss = compiled.get("loss") if isinstance(compiled, dict) else None
    if isinstance(loss, dict):
        loss = loss.get("class_name")
    return loss.replace("_", "").lower() if isinstance(loss, str) else None
