"""What `edgecnn inspect` tells of a plain ONNX file."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgecnn.cli.tables import format_bytes

if TYPE_CHECKING:
    from edgecnn_runtime.plain import PlainFile
    from edgecnn_runtime.session import TensorInfo

NOT_KNOWN = (
    "without manifest and evidence: nothing is known of preprocessing, labels, or whether it answers like its source"
)
_TYPES = {  # of TensorProto.DataType, those of weights
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool"},
    **{10: "float16", 11: "float64", 16: "bfloat16", 21: "uint4", 22: "int4"},
}


def describe_tensor(tensor: TensorInfo) -> dict[str, Any]:
    """Returns the JSON object of a graph input or output."""
    return {"name": tensor.name, "dtype": str(tensor.dtype), "shape": list(tensor.shape)}


def format_tensor(tensor: dict[str, Any]) -> str:
    """Returns a graph input or output for people."""
    return f"{tensor['name']}, {tensor['dtype']} ({', '.join(map(str, tensor['shape']))})"


def describe_plain(file: PlainFile) -> dict[str, Any]:
    """Returns the JSON object of a plain file: the keys of one of edgecnn's, and what is guessed of its input."""
    from edgecnn_runtime.errors import ModelFileError, PlainInputError  # loads the runtime, which --help must not
    from edgecnn_runtime.plain import guess_input

    guessed, reason = None, None
    try:
        guessed = asdict(guess_input(file.session.inputs))
    except (ModelFileError, PlainInputError) as error:
        reason = str(error)
    inputs = [describe_tensor(tensor) for tensor in file.session.inputs]
    return {
        "manifest": None,
        "evidence": None,
        "golden": None,
        "inputs": inputs,
        "image_input": guessed,
        "no_image_input": reason,
        "graph": {
            "size_bytes": file.size_bytes,
            "payload_bytes": file.size_bytes,
            "payload_sha256": file.sha256,
            "opset": file.opset,
            "opsets": dict(file.facts.opsets),
            "ir_version": file.ir_version,
            "batch": "dynamic" if file.session.batch is None else file.session.batch,
            "inputs": inputs,
            "inputs_with_default": [describe_tensor(tensor) for tensor in file.session.settings],
            "outputs": [describe_tensor(tensor) for tensor in file.session.outputs],
            "operators": list(file.facts.operators),
            "operator_counts": dict(file.facts.operators),
            "nodes": file.facts.nodes,
            "parameters": file.facts.parameters,
            "parameters_by_type": {
                _TYPES.get(number, f"type {number}"): count for number, count in file.facts.parameters_by_type.items()
            },
        },
    }


def format_plain(model: str, report: dict[str, Any]) -> list[str]:
    """Returns what people read of it."""
    graph, guessed = report["graph"], report["image_input"]
    domains = [f"{domain} {version}" for domain, version in graph["opsets"].items() if domain not in ("", "ai.onnx")]
    needs = [f"opset {graph['opset']}", f"IR version {graph['ir_version']}", *domains]
    types = [f"{count:,} {name}" for name, count in graph["parameters_by_type"].items()]
    return [
        model,
        f"plain ONNX  {NOT_KNOWN}",
        *(f"input       {format_tensor(tensor)}" for tensor in graph["inputs"]),
        *(f"            {format_tensor(tensor)}, has a default" for tensor in graph["inputs_with_default"]),
        f"image       {report['no_image_input'] if guessed is None else _format_guess(guessed)}",
        *(f"output      {format_tensor(tensor)}" for tensor in graph["outputs"]),
        f"size        {format_bytes(graph['size_bytes'])}",
        f"sha256      {graph['payload_sha256']}",
        f"weights     {', '.join(types) or 'none'}",
        f"needs       {', '.join(needs)}",
        f"operators   {', '.join(f'{name} {count}' for name, count in graph['operator_counts'].items())}",
    ]


def _format_guess(guessed: dict[str, Any]) -> str:
    color = "RGB" if guessed["channels"] == 3 else "gray"
    size = f"{guessed['height']} x {guessed['width']}"
    return f"guessed: {guessed['layout']}, {size}, {color}; edgecnn run --raw and bench take it so"
