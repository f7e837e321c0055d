"""What a graph that nobody has proven may hold, looked at before ONNX Runtime sees it; no manifest is needed.

Operators and domains that networks for images are made of and no others; all weights in the file, and as many as it
says; no functions, branches or loops; a bounded number of nodes; no constant that is far larger than the file.

Reference: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from edgecnn_runtime.container import ModelFile
from edgecnn_runtime.errors import ModelFileError
from edgecnn_runtime.protobuf import BYTES, VARINT, Field, content, fields_of, read_varint, walk

# Of the domain that ONNX itself defines. Left out: branches and loops (If, Loop, Scan, SequenceMap), sequences,
# optionals, texts, random numbers, decoding of files, training.
_OPERATORS = """
Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress
Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace
DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU
Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool
MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or
PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
ReverseSequence RoiAlign RotaryEmbedding Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin
Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu
Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
"""
# Of ONNX Runtime's own domain: what its tools for quantization and fusion write.
_CONTRIBUTED = """
BiasGelu BiasSoftmax ConvTransposeWithDynamicPads CropAndResize DequantizeLinear DynamicQuantizeMatMul FastGelu
FusedConv FusedGemm FusedMatMul GatherND Gelu GridSample Inverse MatMulInteger16 MatMulIntegerToFloat MatMulNBits
MulInteger MultiHeadAttention NhwcConv NhwcFusedConv NhwcMaxPool Pad QAttention QGemm QLinearAdd QLinearAveragePool
QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu ReduceSumInteger SkipLayerNormalization TransposeMatMul Trilu
Unique
"""
OPERATORS: Mapping[str, frozenset[str]] = {  # by domain
    **dict.fromkeys(("", "ai.onnx"), frozenset(_OPERATORS.split())),
    "com.microsoft": frozenset(_CONTRIBUTED.split()),
}

MOST_NODES = 20_000
MOST_ELEMENTS = 1 << 26  # that a constant may be blown up to: 268 MB of float32
_MOST_SHAPE = 4096  # bytes of a tensor that is read because it may be a shape

_GRAPH, _OPSET_IMPORT, _FUNCTION = 7, 8, 25  # of a ModelProto
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15  # of a GraphProto
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_TENSOR, _ATTRIBUTE_INTEGERS, _ATTRIBUTE_TENSORS = 1, 5, 8, 10
_ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (6, 11), (22, 23)
_DIMS, _DATA_TYPE, _INT64_DATA, _TENSOR_NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 7, 8, 9, 13, 14
_INT64 = 7  # of TensorProto.DataType
# Operators whose output is as large as the values of an input say, and which input that is.
_SIZED_BY = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What a graph is made of.

    Attributes:
        nodes: how many it has.
        operators: how many nodes there are of each, by name; outside ONNX's own domain the domain and a dot before it.
        opsets: version by domain; ONNX's own is "".
        parameters: elements of all weights.
        parameters_by_type: of them those of each data type, by its number in TensorProto.DataType.
    """

    nodes: int
    operators: Mapping[str, int]
    opsets: Mapping[str, int]
    parameters: int
    parameters_by_type: Mapping[int, int]


def check_graph(file: ModelFile) -> GraphFacts:
    """Returns what a graph is made of, once it is seen that it holds nothing but networks do; the payload must be open.

    Args:
        file: of anybody.

    Raises:
        ModelFileError: it holds what is not taken from a file that nobody has proven; the message names it.
    """
    with file.payload.open() as stream:
        return _Check(stream, file).facts()


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A constant: its name, data type, how many elements it says it has, and its values if they may be a shape."""

    name: str
    data_type: int
    elements: int
    values: tuple[int, ...] | None


class _Check:
    """One look through a graph; messages name the file."""

    def __init__(self, stream: BinaryIO, file: ModelFile) -> None:
        self._stream, self._file, self._name = stream, file, file.name
        self._operators, self._by_type = Counter[str](), Counter[int]()
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._sized: list[tuple[str, str]] = []  # operator, and the name of what says how large its output is

    def facts(self) -> GraphFacts:
        opsets: dict[str, int] = {}
        for field in walk(self._stream, self._file.payload.size_bytes, self._name):
            if field.number == _FUNCTION:
                raise self._refused("operators alone", "functions of the file's own", "Export it with them inlined.")
            if field.number == _OPSET_IMPORT:
                parts = {part.number: part for part in fields_of(self._stream, field, self._name)}
                opsets[self._text(parts.get(1))] = parts[2].value if 2 in parts else 0
            elif field.number == _GRAPH:
                self._check_graph(field)
        self._check_sizes()
        return GraphFacts(
            nodes=self._operators.total(),
            operators=dict(sorted(self._operators.items())),
            opsets=dict(sorted(opsets.items())),
            parameters=self._by_type.total(),
            parameters_by_type=dict(sorted(self._by_type.items())),
        )

    def _check_graph(self, graph: Field) -> None:
        for field in fields_of(self._stream, graph, self._name):
            if field.number == _SPARSE_INITIALIZER:
                raise self._refused("dense weights", "sparse ones")
            if field.number == _INITIALIZER:
                tensor = self._tensor(field)
                self._by_type[tensor.data_type] += tensor.elements
                if tensor.values is not None:
                    self._shapes[tensor.name] = tensor.values
            elif field.number == _NODE:
                self._check_node(field)

    def _check_node(self, node: Field) -> None:
        names: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_OPERATOR: [], _NODE_DOMAIN: []}
        attributes: list[Field] = []
        for part in fields_of(self._stream, node, self._name):
            if part.number in names:
                names[part.number].append(self._text(part))
            elif part.number == _NODE_ATTRIBUTE:
                attributes.append(part)
        operator, domain = "".join(names[_NODE_OPERATOR][-1:]), "".join(names[_NODE_DOMAIN][-1:])
        full = f"{domain}.{operator}" if domain not in ("", "ai.onnx") else operator
        if operator not in OPERATORS.get(domain, ()):
            raise self._refused("operators that networks for images are made of", full)
        self._operators[full] += 1
        if self._operators.total() > MOST_NODES:
            raise self._refused(f"at most {MOST_NODES:,} nodes", "more")
        values = [tensor for attribute in attributes for tensor in self._attribute_values(attribute, full)]
        if operator == "Constant" and names[_NODE_OUTPUT] and values:
            self._shapes[names[_NODE_OUTPUT][0]] = values[0]
        index = _SIZED_BY.get(operator)
        if index is not None and index < len(names[_NODE_INPUT]):
            self._sized.append((full, names[_NODE_INPUT][index]))

    def _attribute_values(self, attribute: Field, operator: str) -> Iterator[tuple[int, ...]]:
        """Yields the integers of an attribute's tensors, or of itself, where they may be a shape."""
        integers: list[int] = []
        for part in fields_of(self._stream, attribute, self._name):
            if part.number in _ATTRIBUTE_GRAPHS:
                raise self._refused("a graph without branches and loops", f"a graph within {operator}")
            if part.number in _ATTRIBUTE_SPARSE:
                raise self._refused("dense constants", f"a sparse one within {operator}")
            if part.number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                values = self._tensor(part).values
                if values is not None:
                    yield values
            elif part.number == _ATTRIBUTE_INTEGERS and part.end - part.begin <= _MOST_SHAPE:
                integers.extend(self._integers(part))
        if integers:
            yield tuple(integers)

    def _tensor(self, tensor: Field) -> _Tensor:
        dims: list[int] = []
        name, data_type, raw, values = "", 0, b"", list[int]()
        for part in fields_of(self._stream, tensor, self._name):
            if part.number == _EXTERNAL_DATA or (part.number == _DATA_LOCATION and part.value):
                raise self._refused(
                    "all weights in this one file",
                    "one whose weights lie in another",
                    "Save it whole, with onnx.save(onnx.load(FILE), OTHER), or export it without external data.",
                )
            if part.number == _DIMS:
                dims.extend(self._integers(part))
            elif part.number == _DATA_TYPE:
                data_type = part.value
            elif part.number == _TENSOR_NAME:
                name = self._text(part)
            elif part.number == _RAW_DATA and part.end - part.begin <= _MOST_SHAPE:
                raw = content(self._stream, part)
            elif part.number == _INT64_DATA and part.end - part.begin <= _MOST_SHAPE:
                values.extend(self._integers(part))
        elements, held = math.prod(dims), tensor.end - tensor.begin
        if min(dims, default=0) < 0 or elements > 8 * held:  # of the smallest type a byte holds eight at most
            raise self._refused(
                f"weights of the size that they say, {dims} for {name!r:.80}", f"{held:,} bytes in all", "Get it again."
            )
        if data_type == _INT64 and len(raw) == 8 * elements:
            values = [*struct.unpack(f"<{elements}q", raw)]
        return _Tensor(name, data_type, elements, tuple(values) if values else None)

    def _check_sizes(self) -> None:
        for operator, source in self._sized:
            shape = self._shapes.get(source)
            if shape is not None and math.prod(abs(size) or 1 for size in shape) > MOST_ELEMENTS:
                raise self._refused(
                    f"tensors of at most {MOST_ELEMENTS:,} elements", f"{operator} of the shape {list(shape)}"
                )

    def _integers(self, field: Field) -> Iterator[int]:
        """Yields the signed numbers of a repeated field: one of them, or several packed."""
        if field.wire == VARINT:
            yield _signed(field.value)
        elif field.wire == BYTES:
            packed, position = content(self._stream, field), 0
            while position < len(packed):
                value, position = read_varint(packed, position, self._name, field.begin)
                yield _signed(value)

    def _text(self, field: Field | None) -> str:
        return "" if field is None else content(self._stream, field).decode("utf-8", "backslashreplace")

    def _refused(self, expected: str, received: str, cure: str = "") -> ModelFileError:
        return ModelFileError(
            f"{self._name}: the file is not taken, because nothing is proven of it: expected {expected}, received "
            f"{received:.300}. {cure}".rstrip()
        )


def _signed(value: int) -> int:
    """Returns the number of 64 bits that a varint means."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
