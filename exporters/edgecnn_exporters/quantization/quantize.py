"""From a float32 graph to one of fewer bits, and what of it really is.

Graphs come in under the names that `edgecnn_exporters.graph.canonical` gives, and go out to be named by it again.
"""

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from edgecnn_exporters.errors import ExportError, QuantizationError
from edgecnn_exporters.files import writing
from edgecnn_exporters.graph.layer_names import mark
from edgecnn_exporters.quantization.biases import Means, correct_biases
from edgecnn_exporters.quantization.calibration import Method, empty_tensors, ort_method
from edgecnn_exporters.quantization.scales import mend_scales
from edgecnn_exporters.regions import (
    COMPUTE,
    MOVES,
    after_choice,
    cheap_last_convolutions,
    float_arithmetic,
    not_of_image_alone,
    outside,
)
from edgecnn_exporters.rewrites import pixel_tensors, response_normalization_nodes, skip_pixel_quantization

# No Transpose, Reshape or Squeeze: ONNX Runtime moves the quantization past them by itself.
INT8_OPERATORS = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Add", "Mul", "Concat"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Resize"),
)
# Squares and sums leave float16's range (65,504) or its 11 bits; recurrent layers are small, and add up over the words.
_FLOAT32_OPERATORS = ("LRN", "Pow", "ReduceSum", "ReduceSumSquare", "ReduceMean", "ReduceL2", "Sqrt", "LSTM", "GRU")
_CAST_BACK = "_cast_to_fp16"  # how the converter calls what a node in float32 gives
_OWN_ACCUMULATOR = frozenset({"Gemm", "MatMul"})  # give float32 outputs out of integers where none is asked to be
_BEFORE_ROUNDING = "_QuantizeLinear_Input"  # the quantizer adds it to an output's name
_PIXELS = {"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}  # ONNX Runtime takes 0-d arrays only
_PREPROCESSED = ("onnx.quant.pre_process", "onnxruntime.quant")  # spares the advice to run what has been run


@dataclass(frozen=True, slots=True)
class Layers:
    """The convolutions and matrix products of a graph, by node name, in its order.

    Attributes:
        reduced: those of the precision that was asked for.
        kept: those in float32.
    """

    reduced: tuple[str, ...]
    kept: tuple[str, ...]


def write_source(model: ModelProto, target: Path) -> None:
    """Writes a float32 graph for the calibrators and for `quantize_int8`.

    Raises:
        ExportError: it cannot be written.
    """
    marked = ModelProto()
    marked.metadata_props.add(key=_PREPROCESSED[0], value=_PREPROCESSED[1])
    with writing(target), target.open("xb") as file:  # a message behind a message adds to it
        file.write(model.SerializeToString())
        file.write(marked.SerializeToString())


def quantize_int8(
    source: Path,
    ranges: Path,
    *,
    method: Method,
    image: str = "image",
    float_nodes: Collection[str] = (),
    reduce_range: bool = False,
    means: Means | None = None,
) -> ModelProto:
    """Returns the graph with its layers in 8 bits, in QDQ form: activations U8, weights S8 per channel.

    What reads another input than the image stays in float32, as a question's words: it is small, and an LSTM is not
    quantized.

    Args:
        source: a float32 graph that `write_source` wrote; others appear beside it.
        ranges: of the activations, that `Calibrator.ranges` wrote.
        method: that found them.
        image: the name of the image's input.
        float_nodes: names of nodes to keep in float32, besides those before the first layer and after the last, and the
            last convolutions where they are cheap.
        reduce_range: whether weights take 7 bits.
        means: of each channel of what the layers read, that `Calibrator.means` found, by which biases take back what
            the rounding of weights adds; None leaves them as they are.

    Raises:
        QuantizationError: ONNX Runtime's quantizer fails.
        ExportError: a temporary file cannot be written.
    """
    float32, target = onnx.load(source), source.with_name("quantized.onnx")
    kept = {
        *outside(float32.graph),
        *not_of_image_alone(float32.graph, image),
        *after_choice(float32.graph),
        *cheap_last_convolutions(float32),
        *float_arithmetic(float32.graph, INT8_OPERATORS),
        *response_normalization_nodes(float32),
        *float_nodes,
    }
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            quantize_static(
                source,
                target,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(INT8_OPERATORS),
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(kept),
                calibrate_method=ort_method(method),
                extra_options={
                    "MatMulConstBOnly": True,
                    "TensorQuantOverrides": {tensor: [_PIXELS] for tensor in pixel_tensors(float32)},
                },
                calibration_cache_path=ranges,
            )
        model = onnx.load(target)
    except OSError as error:
        raise ExportError(f"the quantized graph cannot be written: {error.strerror or error}") from error
    except Exception as error:
        raise QuantizationError(
            f"ONNX Runtime's quantizer failed: {type(error).__name__}: {str(error).splitlines()[0]}. Export with "
            "--quantize fp16 or none."
        ) from error
    finally:
        target.unlink(missing_ok=True)
    mend_scales(model, float32, empty=empty_tensors(ranges))
    if means is not None:
        correct_biases(model, float32, means)
    model, _ = skip_pixel_quantization(model)
    _hand_on_floats(model, float32, kept)
    _pack(model)
    _mark_layers(model, {node.name for node in float32.graph.node})
    return model


def to_float16(model: ModelProto) -> ModelProto:
    """Returns the graph in float16, from its uint8 input to its float32 outputs.

    The normalisation and operators that square or sum stay in float32.

    Args:
        model: in float32; is changed.
    """
    names = {node.name for node in model.graph.node}
    converted: ModelProto = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_FLOAT32_OPERATORS],
        node_block_list=[*outside(model.graph), *after_choice(model.graph)],
    )
    _drop_repeated_casts(converted)
    _drop_round_trips(converted)
    _pack(converted)
    _mark_layers(converted, names)
    return converted


def int8_layers(model: ModelProto) -> Layers:
    """Returns which layers of a QDQ graph compute with integers: those that read integers on both sides.

    Raises:
        QuantizationError: none does.
    """
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return _layers(model, lambda node: dequantized.issuperset(node.input[:2]), "int8")


def float16_layers(model: ModelProto) -> Layers:
    """Returns which layers of a graph have float16 weights.

    Raises:
        QuantizationError: none has.
    """
    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    return _layers(model, lambda node: node.input[1] in halves, "float16")


def _layers(model: ModelProto, is_reduced: Callable[[NodeProto], bool], precision: str) -> Layers:
    layers = [node for node in model.graph.node if node.op_type in COMPUTE]
    reduced = tuple(node.name for node in layers if is_reduced(node))
    if not reduced:
        raise QuantizationError(
            f"expected {precision} layers in the graph, received none: all of its {len(layers)} convolutions and "
            "matrix products are in float32. Export with --quantize none."
        )
    return Layers(reduced, tuple(node.name for node in layers if node.name not in reduced))


def _hand_on_floats(model: ModelProto, float32: ModelProto, float_nodes: Collection[str]) -> None:
    """Lets what computes in float32 read what is made in float32 as it is, and drops the roundings that none reads.

    The quantizer gives all readers of a tensor the rounded one where any of them takes integers. Matrix products of
    integers make float32 too, where they are not asked to round. Where the quantizer has let the ends of a range do the
    work of a Relu or Clip, the rounding stays: the node before has the name of what that made.
    """
    names = {node.name: node.output[0] for node in float32.graph.node}
    outputs = {output.name for output in model.graph.output}
    producers = {tensor: node for node in model.graph.node for tensor in node.output}
    readers = defaultdict[str, list[NodeProto]](list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)

    def takes_integers(node: NodeProto) -> bool:
        if node.op_type in MOVES:
            return any(map(takes_integers, readers[node.output[0]]))
        return node.op_type == "QuantizeLinear" or (node.op_type in INT8_OPERATORS and node.name not in float_nodes)

    def makes_floats(tensor: str) -> bool:
        node = producers.get(tensor)
        if node is None or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            return False
        if node.op_type in MOVES:
            return makes_floats(node.input[0])
        if node.output[0].removesuffix(_BEFORE_ROUNDING) != names.get(node.name):
            return False
        return node.op_type not in INT8_OPERATORS or node.name in float_nodes or node.op_type in _OWN_ACCUMULATOR

    for quantize in [node for node in model.graph.node if node.op_type == "QuantizeLinear"]:
        made, pair = quantize.input[0], readers[quantize.output[0]]
        if len(pair) != 1 or pair[0].op_type != "DequantizeLinear" or not makes_floats(made):
            continue
        rounded = pair[0].output[0]
        exact = [reader for reader in readers[rounded] if not takes_integers(reader)]
        for reader in exact:
            reader.input[:] = [made if name == rounded else name for name in reader.input]
        if len(exact) < len(readers[rounded]):
            continue
        if rounded in outputs:  # then it is made under this name
            for reader in (producers[made], *readers[made], *exact):
                reader.input[:] = [rounded if name == made else name for name in reader.input]
                reader.output[:] = [rounded if name == made else name for name in reader.output]
        model.graph.node.remove(quantize)
        model.graph.node.remove(pair[0])


def _drop_repeated_casts(model: ModelProto) -> None:
    """Leaves one Cast where the converter wrote several of one output, for nodes in float32 that read one tensor."""
    made, repeated = set[str](), list[int]()
    for index, node in enumerate(model.graph.node):
        if node.op_type == "Cast" and node.output[0] in made:
            repeated.append(index)
        made.update(node.output)
    for index in reversed(repeated):
        del model.graph.node[index]


def _drop_round_trips(model: ModelProto) -> None:
    """Lets nodes in float32 that follow each other hand on float32: the converter rounds to float16 between them.

    Boxes in pixels would lose their fractions, which float16 does not hold above 1,024 and but for a quarter above 256.
    """
    rounded = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Cast" and node.input[0].endswith(_CAST_BACK)
    }
    exact = {
        node.output[0]: rounded[node.input[0]]
        for node in model.graph.node
        if node.op_type == "Cast" and node.input[0] in rounded and node.attribute[0].i == TensorProto.FLOAT
    }
    for node in model.graph.node:
        node.input[:] = [exact.get(name, name) for name in node.input]
    _name_outputs(model, {exact[one.name]: one.name for one in model.graph.output if one.name in exact})
    read = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
    for node in [node for node in model.graph.node if node.op_type == "Cast" and not read.intersection(node.output)]:
        model.graph.node.remove(node)


def _name_outputs(model: ModelProto, names: Mapping[str, str]) -> None:
    """Gives tensors the names of outputs that nothing in the graph reads, in place of the nodes that made these."""
    made = {tensor for node in model.graph.node for tensor in node.output}
    names = {tensor: output for tensor, output in names.items() if tensor in made}
    for node in [node for node in model.graph.node if set(node.output) & set(names.values())]:
        model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _pack(model: ModelProto) -> None:
    """Stores every weight as its bytes; as numbers, negative ones take ten bytes each."""
    for tensor in model.graph.initializer:
        if not tensor.HasField("raw_data"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))


def _mark_layers(model: ModelProto, named: Collection[str]) -> None:
    """Writes the layers back into the names of the nodes that had one; those in between belong to their neighbours."""
    for number, node in enumerate(model.graph.node):
        node.name = mark(node.name.rpartition("/")[0] if node.name in named else "", number)
