"""Model files: the container, what travels in it, and the whole of them through `Predictor.load`."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import model_files
import onnx
from fuzzing.harness import Target
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from edgecnn_runtime import Predictor
from edgecnn_runtime.container import (
    METADATA_SHA256_KEY,
    ModelFile,
    append_metadata,
    holds_operator,
    holds_weights,
    is_plain_file,
    parse_model_file,
)
from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.integrity import read_evidence, read_manifest
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST_KEY
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.plain import PlainModel, load_plain_file
from edgecnn_runtime.raw import RawAnswer, answer_raw
from edgecnn_runtime.verification import verify

_FLOAT16 = 10
_TOKENS = (
    *(name.encode() for name in ("Loop", "If", "Scan", "PyOp", "ConstantOfShape", "Gemm", "ai.onnx", "com.microsoft")),
    *(key.encode() for key in (MANIFEST_KEY, EVIDENCE_KEY, METADATA_SHA256_KEY)),
    b"\x72\x00",  # an entry of metadata without key
    b"\x3a\x00",  # an empty graph
    b"\x42\x04\x0a\x00\x10\x11",  # the default opset, 17
    b"\xff" * 9 + b"\x01",  # the longest varint
    b"location\x12\x0b/etc/passwd",
)


def targets(folder: Path) -> Iterator[Target]:
    payload, manifest = model_files.make_graph(), model_files.make_manifest()
    golden = model_files.make_golden(payload, manifest)
    whole = model_files.stamp(payload, manifest, golden=golden)
    evidence = parse_model_file(whole, "m").metadata[EVIDENCE_KEY]
    small = model_files.stamp(payload, manifest)
    predictor = Predictor.load(whole, device="cpu", threads=1)
    yield Target("container", [small, payload, b""], _take_apart, 18_000, compare=_as_onnx, tokens=_TOKENS)
    yield Target("manifest", _manifests(), _text(Manifest.from_json), 14_000, compare=_as_json, is_json=True)
    yield Target(
        "evidence", _evidences(payload, evidence), _text(Evidence.from_json), 6_000, compare=_as_json, is_json=True
    )
    yield Target("golden", [evidence.encode()], _verifier(predictor), 2_000, is_json=True)
    yield Target("model", [small], _load, 4_000, tokens=_TOKENS)
    yield Target("graph", _graphs(), _load_graph, 2_000, tokens=_TOKENS)
    yield Target(
        "plain",
        [*_graphs(), payload + b"\x72\x06\n\x01a\x12\x01b"],
        _run_plain(folder / "plain.onnx"),
        4_000,
        tokens=_TOKENS,
    )
    yield Target("manifest-in-file", [manifest.to_json().encode()], _load_with_manifest(payload), 2_000, is_json=True)


def _manifests() -> list[bytes]:
    plain = model_files.make_manifest()
    letterbox = model_files.make_manifest(height=None, width=None, resize="letterbox", pad_value=3, multiple_of=8)
    crop = model_files.make_manifest(resize="center_crop", crop_fraction=0.5, labels=None)
    return [manifest.to_json().encode() for manifest in (plain, letterbox, crop)]


def _evidences(payload: bytes, whole: str) -> list[bytes]:
    int8 = dataclasses.replace(
        model_files.make_evidence(payload), precision="int8", quantization=model_files.RECIPES["int8"]
    )
    return [whole.encode(), int8.to_json().encode()]


def _graphs() -> list[bytes]:
    return [
        model_files.make_graph(),
        model_files.make_graph(precision="int8"),
        model_files.make_graph(batch="N", precision="float16"),
        _branching(),
    ]


def _branching() -> bytes:
    """A graph with another inside it, a sparse tensor and weights in a file."""
    model = onnx.load_from_string(model_files.make_graph())
    branch = helper.make_graph(
        [helper.make_node("Identity", ["biases"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [3])],
    )
    condition = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    node = helper.make_node("If", ["true"], ["chosen"], then_branch=branch, else_branch=branch)
    model.graph.initializer.append(condition)
    model.graph.node.insert(0, node)
    return model.SerializeToString()


def _take_apart(data: bytes) -> ModelFile:
    """Takes a file apart; what it says of itself is read too, and may be refused for itself."""
    file = parse_model_file(data, "m")
    for read in (read_manifest, read_evidence, lambda it: holds_operator(it, "Loop"), _holds_float16):
        with contextlib.suppress(EdgeCNNError):
            read(file)
    return file


def _holds_float16(file: ModelFile) -> bool:
    return holds_weights(file, _FLOAT16)


def _as_onnx(data: bytes, result: object) -> None:
    """What is taken must mean the same to the library of ONNX."""
    if not isinstance(result, ModelFile):
        return
    model, graph = _parsed(data), _parsed(result.payload.read())
    if model is None and graph is None:
        return  # the graph is damaged, which is the session's to say
    assert model is not None, "onnx refuses the file, but not its graph"
    assert graph is not None, "onnx refuses the graph, but not the file"
    assert {entry.key: entry.value for entry in model.metadata_props} == dict(result.metadata)
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx") and entry.version]
    assert (model.ir_version, opsets[-1:]) == (result.ir_version, [result.opset])
    if not result.is_plain:
        del model.metadata_props[:]
    assert model == graph


def _parsed(data: bytes) -> onnx.ModelProto | None:
    try:
        return onnx.ModelProto.FromString(data)
    except DecodeError:
        return None


def _text(read: Callable[[str], Any]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "replace"))


def _as_json(data: bytes, result: Any) -> None:
    if result is not None:
        assert json.loads(result.to_json()) == json.loads(data.decode("utf-8", "replace"))


def _verifier(predictor: Predictor) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        predictor.claims = Evidence.from_json(data.decode("utf-8", "replace"))
        return json.dumps(verify(predictor).to_dict(), allow_nan=False)

    return read


def _load(data: bytes) -> object:
    return Predictor.load(data, device="cpu", threads=1, verify=True)


_PICTURE = model_files.encode(model_files.photo())


def _load_graph(data: bytes) -> object:
    """Loads a file whose hashes are right, as whoever means harm would write it."""
    predictor = Predictor.load(model_files.stamp(data, model_files.make_manifest()), device="cpu", threads=1)
    return predictor.predict(_PICTURE)


def _run_plain(path: Path) -> Callable[[bytes], object]:
    """Runs what anybody may call plain ONNX, with all checks that stand before it."""

    def read(data: bytes) -> object:
        path.write_bytes(data)
        if not is_plain_file(path):
            return None
        model = PlainModel(load_plain_file(path, device="cpu", threads=1))
        (answer,) = answer_raw(model, [_PICTURE])
        return json.dumps(answer.to_dict(3) if isinstance(answer, RawAnswer) else answer.to_dict(), allow_nan=False)

    return read


def _load_with_manifest(payload: bytes) -> Callable[[bytes], object]:
    evidence = model_files.make_evidence(payload).to_json()

    def read(data: bytes) -> object:
        entries = {MANIFEST_KEY: data.decode("utf-8", "replace"), EVIDENCE_KEY: evidence}
        predictor = Predictor.load(append_metadata(payload, entries), device="cpu", threads=1)
        return json.dumps(predictor.predict(_PICTURE).to_dict(), allow_nan=False)

    return read
