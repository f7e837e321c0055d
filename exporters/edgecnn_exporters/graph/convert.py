"""From a Keras model to an ONNX graph; the only module that touches TensorFlow and tf2onnx.

The large weights are *arguments* of the traced function and become initializers afterwards, because tf2onnx takes about
seventy times the memory of weights that are captured as constants. Vectors (biases, batch-norm statistics) are small
and stay constants, so that tf2onnx folds their arithmetic and moves its Transposes past them. No weight is copied here.

Recurrent layers are loops in TensorFlow, and tf2onnx knows an LSTM among them only by constant weights and a dynamic
batch. So theirs are constants too, and a model that has one gets its fixed batch once it is converted.
"""

import contextlib
import functools
import gc
import hashlib
import logging
import re
import sys
import textwrap
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
import tf2onnx.convert
import tf2onnx.graph

from edgecnn_exporters.errors import ExportError, WeightsError
from edgecnn_exporters.graph.layer_names import LayerNames, find_layer, mark, unique
from edgecnn_exporters.graph.ranking import ranking_handlers
from edgecnn_exporters.graph.transposed import transposed_handlers
from edgecnn_exporters.graph.writer import Converted, Weight

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ARGUMENT = "edgecnn_weight_"
_SCOPE = "edgecnn.model"  # TensorFlow lets no name at the root begin with "_" or "-"
_LAYER_NAME = re.compile(r"[A-Za-z0-9_.\\/>-]*")  # what TensorFlow takes for a scope
_OTHER_FLOATS = frozenset({"float16", "bfloat16", "float64"})
_LARGEST_FILE = 2**31 - 2**20  # protobuf ends at 2 GiB; a MiB is left for the graph


def convert(
    model: keras.Model,
    *,
    output_names: Sequence[str],
    input_names: Sequence[str] = ("image",),
    batch: int | None = 1,
    opset: int = 17,
) -> Converted:
    """Returns the model's inference graph as tf2onnx makes it.

    Its nodes carry their Keras layers (see `graph.layer_names`); kernels are under their Keras variable path.
    Operators that tf2onnx lacks are still in the graph: `graph.publish` refuses them.

    Args:
        model: a built Keras model.
        output_names: one a model output, in its order.
        input_names: one a model input, in its order.
        batch: the fixed batch size, or None for a dynamic one.
        opset: of the default ONNX domain.

    Raises:
        ExportError: the model has no inputs yet or computes in another precision than float32, a layer has a name that
            TensorFlow refuses, the numbers of names and tensors differ, a name cannot be printed, the weights exceed
            2 GiB, or TensorFlow or tf2onnx fail.
        WeightsError: a bias or a statistic is NaN or infinite; a kernel is checked when it is read.
    """
    _check_built(model)
    _check_layers(model)
    _check_size(model)
    _check_count("inputs", input_names, len(model.inputs))
    _check_count("outputs", output_names, len(model.outputs))
    _check_names((*input_names, *output_names))
    recurrent = _recurrent_weights(model)
    arguments = _arguments(model, recurrent)
    function = _function(model, list(arguments.values()), output_names)
    signature = [_input_specs(model, input_names, None if recurrent else batch), _weight_specs(arguments)]
    graph: onnx.ModelProto
    with _quiet() as messages, _inlined(), _in_order():
        try:
            traced = function.get_concrete_function(*signature)
            captured = _captured(traced)
            handlers = _handlers() | ranking_handlers() | transposed_handlers(traced.graph)
            graph, _ = tf2onnx.convert.from_function(function, signature, opset=opset, custom_op_handlers=handlers)
        except Exception as error:
            raise ExportError(
                f"the conversion failed: {type(error).__name__}: {_summary(error)}{_said(messages)}. Check that the "
                "model runs inside tf.function with a fixed image size."
            ) from error
    gc.collect()  # the graphs that tf2onnx leaves are cycles
    _mark_layers(graph, _layer_names(model))
    given = {f"{_ARGUMENT}{number}": _weight(*item) for number, item in enumerate(arguments.items())}
    weights = _take_weights(graph, given | captured)
    if recurrent and batch is not None:
        _fix_batch(graph, batch)
    return Converted(graph, weights)


def hash_weights(model: keras.Model) -> str:
    """Returns the hex SHA-256 over names, dtypes, shapes and values of the weights, in the model's order.

    Random seeds and metrics are no weights.

    Raises:
        WeightsError: a weight is NaN or infinite.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        values = _values(variable, variable.path)
        digest.update(f"{variable.path}\0{values.dtype.str}\0{values.shape}\0".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _recurrent_weights(model: keras.Model) -> frozenset[int]:
    """Returns the identities of the weights of recurrent layers, those inside other layers among them."""
    found: set[int] = set()
    waiting = list(model.layers)
    while waiting:
        layer = waiting.pop()
        if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
            found.update(id(variable) for variable in layer.weights)
        elif isinstance(layer, keras.Model):
            waiting += layer.layers
        elif isinstance(layer, keras.layers.Wrapper):
            waiting.append(layer.layer)
    return frozenset(found)


def _fix_batch(graph: onnx.ModelProto, batch: int) -> None:
    """Gives the inputs and outputs of a graph with a dynamic batch a fixed one; what it implies is folded later."""
    for tensor in (*graph.graph.input, *graph.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = batch
    graph.graph.ClearField("value_info")


def _arguments(model: keras.Model, recurrent: Container[int]) -> dict[str, keras.Variable]:
    """Returns the weights that become arguments by their path, made unique.

    Args:
        model: built.
        recurrent: identities of weights that stay constants.
    """
    weights: dict[str, keras.Variable] = {}
    for variable in model.weights:
        if len(variable.shape) >= 2 and id(variable) not in recurrent:
            weights[unique(variable.path, weights)] = variable
    return weights


def _input_specs(model: keras.Model, names: Sequence[str], batch: int | None) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec((batch, *tensor.shape[1:]), tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, names, strict=True)
    ]


def _weight_specs(weights: Mapping[str, keras.Variable]) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec(variable.shape, variable.dtype, name=f"{_ARGUMENT}{number}")
        for number, variable in enumerate(weights.values())
    ]


def _function(model: keras.Model, arguments: Sequence[keras.Variable], output_names: Sequence[str]) -> Any:
    """Returns a tf.function from (images, arguments) to the outputs by name; other variables are constants in it."""
    given = {id(variable) for variable in arguments}
    constants = {id(v): _values(v, v.path) for v in model.variables if id(v) not in given}

    def call(images: list[tf.Tensor], weights: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        values = constants | {id(variable): weight for variable, weight in zip(arguments, weights, strict=True)}
        with tf.name_scope(_SCOPE):
            outputs, _ = model.stateless_call(
                [tf.convert_to_tensor(values[id(variable)]) for variable in model.trainable_variables],
                [tf.convert_to_tensor(values[id(variable)]) for variable in model.non_trainable_variables],
                images[0] if len(images) == 1 else images,
                training=False,
            )
        return dict(zip(output_names, tf.nest.flatten(outputs), strict=True))

    return tf.function(call, autograph=False)  # Keras never lets it reach a layer, and it writes a temporary file


def _captured(function: Any) -> dict[str, Weight]:
    """Returns the tensors that layers hold without a variable, by the graph inputs that tf2onnx makes of them."""
    tensors = function.captured_inputs
    inputs = function.inputs[len(function.inputs) - len(tensors) :]
    return {
        inner.name: _weight(inner.name, tensor)
        for inner, tensor in zip(inputs, tensors, strict=True)
        if tensor.dtype != tf.resource
    }


def _take_weights(graph: onnx.ModelProto, given: Mapping[str, Weight]) -> tuple[Weight, ...]:
    """Takes the weights out of the graph's inputs and returns those that it reads, under their own names.

    Args:
        graph: is changed.
        given: by the name of the input.
    """
    read = {name for node in graph.graph.node for name in node.input}
    for node in graph.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = given[name].name if name in given else name
    images = [tensor for tensor in graph.graph.input if tensor.name not in given]
    del graph.graph.input[:]
    graph.graph.input.extend(images)
    return tuple(weight for name, weight in given.items() if name in read)


def _weight(name: str, variable: Any) -> Weight:
    """Returns a Keras variable or a tensor as a weight."""
    dtype = np.dtype(tf.as_dtype(variable.dtype).as_numpy_dtype)
    return Weight(name, tuple(variable.shape), dtype, functools.partial(_values, variable, name))


def _mark_layers(graph: onnx.ModelProto, names: LayerNames) -> None:
    for number, node in enumerate(graph.graph.node):
        node.name = mark(find_layer(node.name, names), number)


def _layer_names(model: keras.Model) -> LayerNames:
    return LayerNames(
        {layer.name: _layer_names(layer) if isinstance(layer, keras.Model) else LayerNames() for layer in model.layers}
    )


def _values(variable: Any, name: str) -> npt.NDArray[Any]:
    """Returns the values of a Keras variable or a tensor, where TensorFlow holds them, once they are found finite."""
    tensor = tf.convert_to_tensor(variable.value if isinstance(variable, keras.Variable) else variable)
    values = np.asarray(tensor, order="C")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise WeightsError(
            f"weight {name!r}: expected finite numbers, received {count} of {values.size} NaN or infinite. Train "
            "again, with a lower learning rate."
        )
    return values


def _check_built(model: keras.Model) -> None:
    if not _has_ends(model):
        raise ExportError(
            f"model {model.name!r}: expected one that knows its inputs and outputs, received a "
            f"{type(model).__name__} that does not. Give a Sequential model a keras.Input first, or call "
            "model.build((None, height, width, channels)); wrap a model of a class of its own: "
            'image = keras.Input((height, width, channels), dtype="uint8"); keras.Model(image, model(image)).'
        )


def _has_ends(model: keras.Model) -> bool:
    try:
        return bool(model.inputs and model.outputs)
    except AttributeError:  # Keras has none before the first input
        return False


def _check_layers(model: keras.Model) -> None:
    """Refuses layers of another precision, or of a name that TensorFlow refuses and Keras would stay in."""
    for layer in sorted(model.layers, key=lambda layer: not layer.weights):  # the first to be named holds weights
        if not _LAYER_NAME.fullmatch(layer.name):
            raise ExportError(
                f"layer {layer.name!r}: expected a name of letters, digits and _ . - > only, which is what TensorFlow "
                "takes. Build the model with another name for it, and load the weights with "
                "new.set_weights(old.get_weights())."
            )
        if layer.compute_dtype in _OTHER_FLOATS and not isinstance(layer, keras.Model):
            raise ExportError(
                f"layer {layer.name!r}: expected one that computes in float32, received the policy "
                f"{layer.dtype_policy.name!r}. It need not be trained again: load it in Python, run for layer in "
                'model.layers: layer.dtype_policy = "float32" (likewise for the layers of models inside it), save it, '
                "and export what was saved. --quantize fp16 makes a float16 file of that."
            )
        if isinstance(layer, keras.Model):
            _check_layers(layer)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not name or not name.isprintable():  # surrogates, which no file can hold, are not printable
            raise ExportError(f"expected names of inputs and outputs in printable characters, received {name!r}")


def _check_size(model: keras.Model) -> None:
    size = sum(int(np.prod(v.shape)) * tf.as_dtype(v.dtype).size for v in model.weights)
    if size > _LARGEST_FILE:
        raise ExportError(
            f"expected weights of at most {_LARGEST_FILE:,} bytes, the most that one ONNX file holds, received "
            f"{size:,}. Use a smaller width."
        )


def _check_count(what: str, names: Sequence[str], count: int) -> None:
    if len(names) != count:
        raise ExportError(f"expected {len(names)} {what} of the Keras model, {list(names)}, received {count}")


@contextlib.contextmanager
def _quiet() -> Iterator[list[str]]:
    """Keeps stdout clean and collects what tf2onnx says, so that it can stand in an error's message."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, collector = logging.getLogger("tf2onnx"), Collector(logging.WARNING)
    propagate = logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield messages
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate


@contextlib.contextmanager
def _in_order() -> Iterator[None]:
    """Lets tf2onnx go through nodes by their names, where it goes through sets of them.

    What its optimizers make of a graph depends on that order, so that a model exported in two processes was not always
    the same bytes: ResNet-34, whose last maps are of one pixel at 32x32, was one of two graphs.
    """
    graph = tf2onnx.graph.Graph
    before = {name: getattr(graph, name) for name in ("find_output_consumers", "extract_sub_graph_nodes")}

    def by_name(found: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        return lambda *given, **named: sorted(found(*given, **named), key=lambda node: str(node.name))

    for name, found in before.items():
        setattr(graph, name, by_name(found))
    try:
        yield
    finally:
        for name, found in before.items():
            setattr(graph, name, found)


@contextlib.contextmanager
def _inlined() -> Iterator[None]:
    """Traces functions that are called inside the model as a part of it.

    Keras computes convolutions of several groups in a function that XLA compiles; tf2onnx would be left with the call.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _handlers() -> dict[str, tuple[Any, list[Any]]]:
    """Returns how to write what tf2onnx lacks in operators that ONNX has."""
    return {
        "Erfc": (functools.partial(_write_with_one, "Erf", "Sub", one_first=True), []),
        "Expm1": (functools.partial(_write_with_one, "Exp", "Sub", one_first=False), []),
        "Log1p": (_write_log1p, []),
    }


def _write_with_one(
    operator: str, combine: str, context: Any, node: Any, name: str, _: Any, *, one_first: bool
) -> None:
    """Writes 1 - operator(x) or operator(x) - 1 in place of a node of tf2onnx's graph."""
    one = context.make_const(f"{name}/one", np.array(1, np.float32)).output[0]
    inner = context.make_node(operator, list(node.input), name=f"{name}/{operator}").output[0]
    _replace_node(context, node, combine, [one, inner] if one_first else [inner, one])


def _write_log1p(context: Any, node: Any, name: str, _: Any) -> None:
    """Writes log(x + 1) in place of a node of tf2onnx's graph."""
    one = context.make_const(f"{name}/one", np.array(1, np.float32)).output[0]
    _replace_node(context, node, "Log", [context.make_node("Add", [node.input[0], one], name=f"{name}/Add").output[0]])


def _replace_node(context: Any, node: Any, operator: str, inputs: Sequence[str]) -> None:
    outputs, shape, dtype = list(node.output), context.get_shape(node.output[0]), context.get_dtype(node.output[0])
    context.remove_node(node.name)
    context.make_node(operator, list(inputs), outputs=outputs, name=node.name, shapes=[shape], dtypes=[dtype])


def _said(messages: Sequence[str]) -> str:
    return f" (tf2onnx: {messages[-1].splitlines()[0]})" if messages else ""


def _summary(error: Exception) -> str:
    """Returns what an error says first: Keras names the layer in its first line and the reason in the second."""
    lines = [line.strip() for line in _ANSI.sub("", str(error)).splitlines() if line.strip()]
    return textwrap.shorten(" ".join(lines[:2]), 200, placeholder=" ...").rstrip(".") or "no message"
