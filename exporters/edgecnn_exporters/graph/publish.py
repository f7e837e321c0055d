"""From tf2onnx's graph to the graph that is published: folded, named, ordered, checked; the same bytes every time.

ONNX Runtime's basic level (hardware-independent, standard operators only) folds constants, batch norm and Transposes.
What it leaves is written in faster operators where there are equal ones (see `edgecnn_exporters.rewrites`) and put into
an order and under names that depend on nothing but the structure of the graph, so two processes that export one model
write the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.defs
import onnx.numpy_helper

from edgecnn_exporters.errors import ExportError, UnsupportedOpError
from edgecnn_exporters.graph.canonical import canonicalise
from edgecnn_exporters.graph.layer_names import marked_layer
from edgecnn_exporters.graph.writer import Converted, Written, write_model
from edgecnn_exporters.rewrites import rewrite
from edgecnn_runtime.evidence import LEAST_ONNXRUNTIME, Requirements
from edgecnn_runtime.providers import onnxruntime
from edgecnn_runtime.session import EXPORTED_OPSET

IR_VERSION = 8
OPSETS = range(13, EXPORTED_OPSET + 1)

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_FATAL = 4  # of ONNX Runtime's severities; its errors arrive as exceptions


@dataclass(frozen=True, slots=True)
class Graph:
    """A published graph, on the disk.

    Attributes:
        written: hash and size of its bytes, a ModelProto without metadata.
        requirements: what a machine needs to run it.
    """

    written: Written
    requirements: Requirements


def finish(
    converted: Converted, target: Path, *, input_names: Sequence[str], output_names: Sequence[str], batch: int | None
) -> Graph:
    """Writes the published form of a converted model.

    Args:
        converted: its model is changed.
        target: the file to write; two others appear beside it meanwhile.
        input_names: in the order that the graph is to have.
        output_names: in the order that the graph is to have.
        batch: the fixed batch size, or None for the dimension "batch".

    Raises:
        UnsupportedOpError: an operator is no standard ONNX operator, or is control flow; the layer is named.
        WeightsError: a weight is NaN or infinite.
        ExportError: ONNX Runtime refuses the graph or cannot write.
        OSError: the file cannot be written.
    """
    opset = _opset(converted.model)
    check_operators(converted.model, opset)
    keep_zeros_before_pools(converted.model)
    model, _ = rewrite(_fold(converted, target.parent), precision="float32")
    return write_graph(model, target, input_names=input_names, output_names=output_names, batch=batch)


def write_graph(
    model: onnx.ModelProto, target: Path, *, input_names: Sequence[str], output_names: Sequence[str], batch: int | None
) -> Graph:
    """Writes a graph in its canonical order and under canonical names.

    Args:
        model: is changed; its nodes carry their layers.
        target: the file to write.
        input_names: in the order that the graph is to have.
        output_names: in the order that the graph is to have.
        batch: the fixed batch size, or None for the dimension "batch".

    Raises:
        UnsupportedOpError: an operator is no standard ONNX operator, or is control flow; the layer is named.
        OSError: the file cannot be written.
    """
    opset, model.ir_version = _opset(model), IR_VERSION
    canonicalise(model, input_names=input_names, output_names=output_names, batch=batch)
    check_operators(model, opset, control_flow=False)
    return write_named(model, target, operators={node.op_type for node in model.graph.node})


def write_named(model: onnx.ModelProto, target: Path, *, operators: Iterable[str]) -> Graph:
    """Writes a graph that is ordered and named already.

    Args:
        model: is not changed.
        target: the file to write.
        operators: all that are in it.

    Raises:
        OSError: the file cannot be written.
    """
    _check(model)
    with target.open("xb") as file:
        written = write_model(Converted(model), file)
    requirements = Requirements(_opset(model), model.ir_version, LEAST_ONNXRUNTIME, tuple(sorted(set(operators))))
    return Graph(written, requirements)


def check_operators(model: onnx.ModelProto, opset: int, *, control_flow: bool = True) -> None:
    """Refuses a graph with an operator that the default ONNX domain does not have at that opset.

    Args:
        model: its nodes carry their layers.
        opset: of the default domain.
        control_flow: whether If, Loop and Scan are let through; folding may still remove them.

    Raises:
        UnsupportedOpError: names the operators and their layers.
    """
    found = {}
    for node in model.graph.node:
        known = node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type, max_inclusive_version=opset, domain="")
        if not known or (node.op_type in _CONTROL_FLOW and not control_flow):
            layer = marked_layer(node.name) or node.name.rpartition("/")[0]
            found[node.op_type, layer] = f"{node.op_type} of layer {layer!r}" if layer else node.op_type
    if found:
        raise UnsupportedOpError(
            f"expected standard operators of ONNX opset {opset} without control flow, received "
            f"{', '.join(found.values())}. Replace the layer by convolutions, pooling, matrix products and elementwise "
            "arithmetic."
        )


def keep_zeros_before_pools(model: onnx.ModelProto) -> None:
    """Keeps ONNX Runtime from taking the zeros of a Pad for the padding of the MaxPool behind it, which counts as -inf.

    Its PadFusion (seen in 1.31) makes one node of the two without a look at the values, so at the border the largest of
    negative values is answered instead of zero. It asks that all bytes of the padding are zero, which those of -0.0 are
    not. Where a Relu stands before the Pad both answer alike and one node is faster.

    Args:
        model: is changed.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    zeros = {"", *(weight.name for weight in graph.initializer if not onnx.numpy_helper.to_array(weight).any())}
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        pad = _behind_transposes(pool.input[0], producers)
        if pad is None or pad.op_type != "Pad" or (pad.input[2] if len(pad.input) > 2 else "") not in zeros:
            continue
        before = _behind_transposes(pad.input[0], producers)
        if before is None or before.op_type != "Relu":
            name = f"{pad.output[0]}/padding"
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(-0.0, np.float32), name))
            pad.input[2:3] = [name]


def _behind_transposes(tensor: str, producers: Mapping[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """Returns the node that makes a tensor's values, in whatever order of its axes; None for an input or a weight."""
    node = producers.get(tensor)
    while node is not None and node.op_type == "Transpose":
        node = producers.get(node.input[0])
    return node


def _check(model: onnx.ModelProto) -> None:
    """Runs onnx's checker over all but the values of the weights, which it would copy."""
    graph = model.graph
    weights = [onnx.helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in graph.initializer]
    inputs = {tensor.name: tensor for tensor in (*weights, *graph.input)}.values()  # some have a default
    skeleton = onnx.GraphProto(name=graph.name, node=graph.node, input=inputs, output=graph.output)
    onnx.checker.check_model(
        onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=skeleton)
    )


def _opset(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _fold(converted: Converted, folder: Path) -> onnx.ModelProto:
    """Returns the graph after ONNX Runtime's basic level, which reads and writes files."""
    source, target = folder / "converted.onnx", folder / "folded.onnx"
    converted.model.ir_version = IR_VERSION
    try:
        with source.open("xb") as file:
            write_model(converted, file)
        _run_basic_level(source, target)
        source.unlink()
        return onnx.load(target)
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def _run_basic_level(source: Path, target: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _FATAL
    # nothing is run: a second copy of the weights in the layout of the kernels would be made for nothing
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:
        raise ExportError(
            f"ONNX Runtime {onnxruntime.__version__} could not load the converted graph or not write the folded one: "
            f"{_first_line(error)}. Check that the disk has room for twice the model."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
