"""Small model files and pictures that tests make, whole ones and the parts that faulty ones are put together from."""

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgecnn_runtime import Predictor
from edgecnn_runtime.container import append_metadata
from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.evidence import (
    Evidence,
    Gate,
    MetricParity,
    Parity,
    Provenance,
    Quantization,
    Requirements,
    ScoresParity,
    TensorParity,
    payload_sha256,
)
from edgecnn_runtime.golden import GoldenSample, Tolerance
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST_KEY
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.session import Session
from edgecnn_runtime.verification import describe

CLASSES = 3
ALIKE, ELSEWHERE = Tolerance(2.0, 1e-4, 1e-4), Tolerance(2.0, 0.01, 0.01)
RECIPES = {
    "float32": None,
    "float16": Quantization("float16", "float16", "float16", False, False, None, 1, (), ()),
    "int8": Quantization("QDQ", "uint8", "int8", True, False, None, 1, (), ()),
}


def make_graph(
    *,
    batch: int | str = 1,
    size: tuple[int | str, int | str] = (8, 6),
    channels: int = 1,
    classes: int = CLASSES,
    opset: int = 17,
    ir_version: int = 8,
    input_name: str = "image",
    output_name: str = "logits",
    input_type: int = TensorProto.UINT8,
    operator: str = "GlobalAveragePool",
    bias: Sequence[float] | None = None,
    precision: str = "float32",
) -> bytes:
    """A classifier whose logits are linear in each channel's mean: small, and different for different pixels.

    With another precision it adds zeros that are held in fewer bits to the biases.
    """
    weights = np.linspace(-0.02, 0.02, channels * classes, dtype=np.float32).reshape(channels, classes)
    biases = np.asarray(bias if bias is not None else np.linspace(1, -1, classes), dtype=np.float32)
    nodes = [
        helper.make_node("Cast", [input_name], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(operator, ["planes"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "weights", "biases"], [output_name]),
    ]
    initializers = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(biases, "biases")]
    if precision != "float32":
        narrow = np.zeros(classes, np.int8 if precision == "int8" else np.float16)
        widen = helper.make_node("Cast", ["narrow"], ["wide"], to=TensorProto.FLOAT)
        if precision == "int8":
            widen = helper.make_node("DequantizeLinear", ["narrow", "scale"], ["wide"])
            initializers.append(numpy_helper.from_array(np.float32(1), "scale"))
        initializers.append(numpy_helper.from_array(narrow, "narrow"))
        nodes[-1].input[2] = "sum"
        nodes[-1:-1] = [widen, helper.make_node("Add", ["biases", "wide"], ["sum"])]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(input_name, input_type, [batch, *size, channels])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [batch, classes])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    return model.SerializeToString()


def make_constant_graph(outputs: Mapping[str, np.ndarray], *, size: tuple[int, int], channels: int = 3) -> bytes:
    """A model that answers every image of a batch with the same raw outputs, each (...) without the batch axis."""
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["zeros"]),
    ]
    initializers = [numpy_helper.from_array(np.float32(0), "zero")]
    for name, values in outputs.items():
        initializers += [
            numpy_helper.from_array(values[np.newaxis].astype(np.float32), f"{name}_values"),
            numpy_helper.from_array(np.array([-1] + [1] * values.ndim), f"{name}_shape"),
        ]
        nodes += [
            helper.make_node("Reshape", ["zeros", f"{name}_shape"], [f"{name}_zeros"]),
            helper.make_node("Add", [f"{name}_values", f"{name}_zeros"], [name]),
        ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *size, channels])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *values.shape])
            for name, values in outputs.items()
        ],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def make_manifest(**changes: object) -> Manifest:
    """The manifest of `make_graph()`, with changed fields of Manifest or of its ImageInput."""
    image_fields = {field.name for field in dataclasses.fields(ImageInput)}
    image = ImageInput(name="image", height=8, width=6, color="gray")
    image = dataclasses.replace(image, **{k: v for k, v in changes.items() if k in image_fields})
    manifest = Manifest(
        task="classification",
        model=ModelInfo("test_cnn", 1.0),
        inputs=(image,),
        labels=("zero", "one", "two"),
        decoder=SoftmaxDecoder(),
        outputs=(OutputSpec("logits", (CLASSES,)),),
    )
    return dataclasses.replace(manifest, **{k: v for k, v in changes.items() if k not in image_fields})


def make_evidence(payload: bytes) -> Evidence:
    return Evidence(
        payload_sha256=payload_sha256(payload),
        precision="float32",
        parity=Parity(
            images_from="synthetic",
            tensors=(TensorParity("logits", 1e-7, 1e-8),),
            decoded=ScoresParity(32, 1.0, 1e-7),
            metric=MetricParity("accuracy", 100, 0.99, 0.99),
        ),
        gates=(Gate("parity.tensors", 1e-4, 1e-8, True),),
        requirements=Requirements(17, 8, "1.13", ("Cast", "Gemm")),
        provenance=Provenance("0" * 64, 1, None, {"edgecnn": "0.1.0"}),
        cpu_family="x86-64-avx512-vnni",
        golden=(),
    )


def make_golden(
    payload: bytes, manifest: Manifest, images: Mapping[str, bytes] | None = None
) -> tuple[GoldenSample, ...]:
    """Golden samples of a graph: a PNG and a JPEG that lies on its side, or the encoded images that are given."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = photo()
    encoded = images or {"plain.png": encode(picture), "turned.jpg": encode(picture, "JPEG", exif=exif)}
    predictor = Predictor(Session(payload, device="cpu", threads=1), manifest)
    samples = []
    for name, image in encoded.items():
        prepared = predictor.inputs(image)
        held = describe(manifest, prepared, predictor.run(prepared.feeds), limit=2)
        samples.append(GoldenSample(name, base64.b64encode(image).decode(), None, None, held, ALIKE, ELSEWHERE))
    return tuple(samples)


def stamp(
    payload: bytes, manifest: Manifest | str | None, extra: Mapping[str, str] | None = None, **evidence: object
) -> bytes:
    """The bytes of a stamped file; a manifest given as text is written as it is; with changed fields of Evidence."""
    recipe = {"quantization": RECIPES[str(evidence["precision"])]} if "precision" in evidence else {}
    changed = dataclasses.replace(make_evidence(payload), **{**recipe, **evidence})
    entries = {EVIDENCE_KEY: changed.to_json(), **(extra or {})}
    if manifest is not None:
        entries[MANIFEST_KEY] = manifest if isinstance(manifest, str) else manifest.to_json()
    return append_metadata(payload, entries)


def write_model(path: Path, payload: bytes | None = None, manifest: Manifest | str | None = None) -> Path:
    payload = make_graph() if payload is None else payload
    path.write_bytes(stamp(payload, make_manifest() if manifest is None else manifest))
    return path


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def photo(height: int = 40, width: int = 60, mode: str = "RGB") -> Image.Image:
    """A smooth, asymmetric picture: every corner differs."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x + 2 * y) * 85 // (height + width)]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8)).convert(mode)
