"""Plain ONNX files as other tools write them: small, and with answers that differ where pixels, layout or scale do."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

CLASSES = 7
FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}


def make_plain(
    *,
    shape: Sequence[int | str | None] = ("batch_size", 3, 12, 16),
    layout: str = "nchw",
    dtype: int = TensorProto.FLOAT,
    channels: int = 3,
    name: str = "input",
    domains: Sequence[str] = (),
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A convolution of the given input: the map itself ("map"), and the mean of each of its channels ("output").

    By default as PyTorch's exporter names things. The computation is in float32, or in float16 where the input is.
    """
    work = dtype if dtype in FLOATS else TensorProto.FLOAT
    weights = np.random.default_rng(3).normal(size=(CLASSES, channels, 3, 2)).astype(FLOATS[work])
    nodes, current = [], name
    if dtype not in FLOATS:
        nodes.append(helper.make_node("Cast", [current], ["floats"], to=work))
        current = "floats"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [current], ["planes"], perm=[0, 3, 1, 2]))
        current = "planes"
    nodes += [
        helper.make_node("Conv", [current, "weights"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["output"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info(name, dtype, shape)],
        [
            helper.make_tensor_value_info("output", work, [shape[0], CLASSES]),
            helper.make_tensor_value_info("map", work, None),
        ],
        [numpy_helper.from_array(weights, "weights")],
        domains=domains,
        metadata=metadata,
    )


def make_quantized(kind: str) -> bytes:
    """A convolution in int8 of float32 pixels: "QDQ" as pairs round it, "QLinear" as one operator and a QLinearAdd."""
    weights = np.random.default_rng(4).integers(-90, 90, (CLASSES, 3, 3, 3), dtype=np.int8)
    tensors = {
        "weights": weights,
        **{"input_scale": np.float32(1.0), "input_zero": np.uint8(0)},
        **{"weights_scale": np.float32(0.02), "weights_zero": np.int8(0)},
        **{"output_scale": np.float32(4.0), "output_zero": np.uint8(120)},
    }
    pair = ["input_scale", "input_zero"]
    nodes = [helper.make_node("QuantizeLinear", ["input", *pair], ["q"])]
    if kind == "QDQ":
        nodes += [
            helper.make_node("DequantizeLinear", ["q", *pair], ["x"]),
            helper.make_node("DequantizeLinear", ["weights", "weights_scale", "weights_zero"], ["w"]),
            helper.make_node("Conv", ["x", "w"], ["map"]),
        ]
    else:
        ends = ["output_scale", "output_zero"]
        nodes += [
            helper.make_node(
                "QLinearConv", ["q", *pair, "weights", "weights_scale", "weights_zero", *ends], ["convolved"]
            ),
            helper.make_node(
                "QLinearAdd", ["convolved", *ends, "convolved", *ends, *ends], ["sum"], domain="com.microsoft"
            ),
            helper.make_node("DequantizeLinear", ["sum", *ends], ["map"]),
        ]
    nodes += [
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["output"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in tensors.items()],
        domains=() if kind == "QDQ" else ("com.microsoft",),
    )


def write_external(path: Path) -> Path:
    """Writes a file whose weights lie beside it, as exporters of PyTorch do by default."""
    model = onnx.load_from_string(make_plain())
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)
    return path


def change_plain(change) -> bytes:
    """Returns `make_plain()` with its ModelProto changed."""
    model = onnx.load_from_string(make_plain())
    change(model)
    return model.SerializeToString()


def _model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    tensors: Sequence[TensorProto],
    *,
    domains: Sequence[str] = (),
    metadata: dict[str, str] | None = None,
) -> bytes:
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="pytorch")
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()
