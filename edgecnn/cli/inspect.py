"""`edgecnn inspect`: what a model file says and holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.cli.options import AllowModified, Format, ModelArgument
from edgecnn.cli.plain_options import refuse_given
from edgecnn.cli.plain_text import describe_plain, describe_tensor, format_plain, format_tensor
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tables import format_bytes

if TYPE_CHECKING:
    from edgecnn_runtime.evidence import DecodedParity


def inspect(model: ModelArgument, allow_modified: AllowModified = False, format: Format = "text") -> None:
    """Show the manifest, the evidence, the operators, the sizes, and what a file needs to run.

    Of plain ONNX, which has neither manifest nor evidence: inputs, outputs, weights, operators, what it needs, and what
    is guessed of its image.
    """
    with stdout_for_results() as results:
        from edgecnn_runtime import Predictor  # these load ONNX Runtime
        from edgecnn_runtime.container import is_plain_file, read_model_file
        from edgecnn_runtime.machine import cpu_family
        from edgecnn_runtime.plain import load_plain_file

        if is_plain_file(model):
            refuse_given({"--allow-modified": allow_modified}, f"on {model}, plain ONNX, of which nothing is proven")
            described = describe_plain(load_plain_file(model, device="cpu", threads=1))
            if format == "json":
                results.json(described)
            else:
                results.report(format_plain(model, described))
            return
        predictor = Predictor.load(model, device="cpu", threads=1, allow_modified=allow_modified)
        file = read_model_file(model)
        evidence, session = predictor.evidence, predictor.session
        proven = None if evidence is None else json.loads(evidence.to_json())
        report = {
            "manifest": json.loads(predictor.manifest.to_json()),
            "evidence": proven,
            "golden": None if proven is None else _describe_golden(proven, cpu_family()),
            "graph": {
                "size_bytes": Path(model).stat().st_size,
                "payload_bytes": file.payload.size_bytes,
                "payload_sha256": file.sha256,
                "opset": file.opset,
                "ir_version": file.ir_version,
                "batch": "dynamic" if session.batch is None else session.batch,
                "inputs": [describe_tensor(tensor) for tensor in session.inputs],
                "inputs_with_default": [describe_tensor(tensor) for tensor in session.settings],
                "outputs": [describe_tensor(tensor) for tensor in session.outputs],
                "operators": None if evidence is None else list(evidence.requirements.operators),
            },
        }
        if format == "json":
            results.json(report)
        else:
            results.report(_format_report(model, report, None if evidence is None else evidence.parity.decoded))


def _describe_golden(evidence: dict[str, Any], family: str) -> dict[str, Any]:
    """Returns the golden samples in numbers, and whether this machine's processor is of the family they are from."""
    samples = evidence["golden"]
    return {
        "samples": len(samples),
        "size_bytes": sum(len(json.dumps(sample, separators=(",", ":"))) for sample in samples),
        "cpu_family": family,
        "checked_here": family == evidence["cpu_family"],
    }


def _format_report(model: str, report: dict[str, Any], decoded: DecodedParity | None) -> list[str]:
    manifest, evidence, graph = report["manifest"], report["evidence"], report["graph"]
    labels = manifest["labels"]
    lines = [
        model,
        f"model       {manifest['model']['name']}, width {manifest['model']['width']}, {manifest['task']}",
        *(f"input       {format_tensor(tensor)}" for tensor in graph["inputs"]),
        *(f"            {_format_input(spec, manifest['decoder'])}" for spec in manifest["inputs"]),
        *(f"            {format_tensor(tensor)}, has a default" for tensor in graph["inputs_with_default"]),
        *(f"output      {format_tensor(tensor)}" for tensor in graph["outputs"]),
        f"labels      {'none: the model never saw data' if labels is None else ', '.join(labels)}",
        *_format_decoder(manifest["decoder"], labels),
        f"size        {format_bytes(graph['size_bytes'])}, {format_bytes(graph['payload_bytes'])} without the metadata",
        f"sha256      {graph['payload_sha256']} without the metadata",
        f"needs       opset {graph['opset']}, IR version {graph['ir_version']}",
    ]
    if evidence is None or decoded is None:
        return [*lines, "evidence    none: the file was altered, or never proven"]
    return [*lines, *_format_evidence(evidence, decoded), _format_golden(report["golden"])]


def _format_input(spec: dict[str, Any], decoder: dict[str, Any]) -> str:
    """Returns an image's colour and how it gets its size, or what is known of a question or of regions."""
    if spec["kind"] == "image":
        return f"{spec['color']}, {_format_size(spec, decoder)}"
    if spec["kind"] == "proposals":
        return f"up to {spec['count']} regions of the picture, which the graph does not propose itself"
    words = "none: the model never saw data" if spec["vocabulary"] is None else f"{len(spec['vocabulary'])} words"
    return f"a question of up to {spec['length']} words, vocabulary {words}"


def _format_size(image: dict[str, Any], decoder: dict[str, Any]) -> str:
    """Returns how a picture of any size is brought to the network's."""
    if (tiles := decoder.get("tiles")) is not None:
        return f"the picture's own size, in tiles of {tiles['size']} that have {tiles['overlap']} pixels in common"
    return str(image["resize"]) if image["resize"] != "pad" else f"padded to a multiple of {image['multiple_of']}"


def _format_decoder(decoder: dict[str, Any], labels: list[str] | None) -> list[str]:
    """Returns the kind, its numbers, and a line for each point from which on a class counts as found."""
    numbers = [f", {name} {value}" for name, value in decoder.items() if isinstance(value, bool | int | float)]
    kept = decoder.get("kept")
    told = f", keeps {kept['size']} numbers of a picture for further questions" if kept else ""
    lines = [f"decoder     {decoder['kind']}{''.join(numbers)}{told}"]
    for point in decoder.get("operating_points") or ():
        name = f"class {point['class_id']}" if labels is None else labels[point["class_id"]]
        worth = [f"{what} {point[what]:.4f}" for what in ("precision", "recall") if point[what] is not None]
        lines.append(f"            {name}: from score {point['score']:.4f}{', '.join(['', *worth])}")
    return lines


def _format_evidence(evidence: dict[str, Any], decoded: DecodedParity) -> list[str]:
    parity, needs, origin = evidence["parity"], evidence["requirements"], evidence["provenance"]
    metric = parity["metric"]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    return [
        f"            ONNX Runtime {_tested_from(needs['onnxruntime'])} or later: the lowest version that was tested",
        f"operators   {', '.join(needs['operators'])}",
        f"precision   {evidence['precision']}",
        *([] if evidence["quantization"] is None else _format_quantization(evidence["quantization"])),
        *(
            f"parity      {tensor['output']}: largest difference {tensor['max_abs']:.3g}, {tensor['max_relative']:.3g} "
            "of the largest value"
            for tensor in parity["tensors"]
        ),
        f"            {decoded.summary()}, {parity['images_from']}",
        f"metric      {'none: no labelled data' if metric is None else _format_metric(metric, decoded.unit)}",
        *(f"gate        {_format_gate(gate)}" for gate in evidence["gates"]),
        f"weights     {origin['weights_sha256']}, seed {origin['seed']}",
        f"data        {origin['data_fingerprint'] or 'none'}",
        f"made with   {versions}",
        f"checked on  {evidence['cpu_family']}",
    ]


def _tested_from(stated: str) -> str:
    """Returns the lowest version that was tested: files of earlier releases state one that only knew their opset."""
    from edgecnn_runtime.evidence import LEAST_ONNXRUNTIME  # loads the runtime, which --help must not

    return max(LEAST_ONNXRUNTIME, stated, key=lambda text: [int(part[:9]) for part in re.findall(r"\d+", text)])


def _format_quantization(quantization: dict[str, Any]) -> list[str]:
    kept, calibration = quantization["float_layers"], quantization["calibration"]
    return [
        f"            {quantization['layers']} layers as {quantization['format']}: activations "
        f"{quantization['activation_type']}, weights {quantization['weight_type']}",
        *([] if calibration is None else [f"            {calibration['method']} over {calibration['images']} images"]),
        *([] if not kept else [f"            in float32: {', '.join(kept)}"]),
        *([] if not quantization["rewrites"] else [f"            rewritten: {', '.join(quantization['rewrites'])}"]),
    ]


def _format_gate(gate: dict[str, Any]) -> str:
    value = "measured at the export" if gate["value"] is None else f"{gate['value']:.3g}"
    bound = "" if gate["bound"] is None else f" (95 % bound {gate['bound']:.3g})"
    verdict = ("passed" if gate["passed"] else "failed") + ("" if gate["decided"] else ", not decided")
    return f"{gate['name']}: {value}{bound}, budget {gate['budget']:.3g}, {verdict}"


def _format_golden(golden: dict[str, Any]) -> str:
    if not golden["samples"]:
        return "golden      none: the file was exported without samples, so edgecnn verify cannot prove it"
    here = "the same family" if golden["checked_here"] else "another family: prove the file here with edgecnn verify"
    return (
        f"golden      {golden['samples']} samples, {format_bytes(golden['size_bytes'])}; this processor is "
        f"{golden['cpu_family']}, {here}"
    )


def _format_metric(metric: dict[str, Any], unit: str) -> str:
    return f"{metric['name']} {metric['source']:.4f} (source), {metric['file']:.4f} (file), {metric['images']} {unit}"
