import resource
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgecnn_runtime.container import append_metadata
from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
from edgecnn_runtime.evidence import (
    LEAST_ONNXRUNTIME,
    Evidence,
    Parity,
    Provenance,
    Requirements,
    ScoresParity,
    payload_sha256,
)
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.manifest import METADATA_KEY, ImageInput, Manifest, ModelInfo

CLASSES = ("cat", "dog", "owl")


def labelled_pixels(images_per_class, *, classes=3, side=8, seed=0):
    """Images that a linear model can tell apart: class i is bright in column i."""
    random = np.random.default_rng(seed)
    class_ids = np.tile(np.arange(classes), images_per_class)
    pixels = random.integers(0, 60, (len(class_ids), side, side), dtype=np.uint8)
    pixels[np.arange(len(class_ids)), :, class_ids] = 220
    return pixels, class_ids


@pytest.fixture
def arrays():
    """The four arrays of a small, valid data set."""
    x_train, y_train = labelled_pixels(8)
    x_test, y_test = labelled_pixels(3, seed=1)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@pytest.fixture
def write_npz(tmp_path):
    def write(name="set.npz", **contents):
        path = tmp_path / name
        np.savez(path, **contents)
        return path

    return write


@pytest.fixture
def npz(arrays, write_npz):
    """The path of a small data set of three classes with names."""
    return write_npz(**arrays, labels=np.array(CLASSES))


@pytest.fixture
def write_classes():
    """Writes a folder a class of PNGs: `write(root, cat=2, dog=3)`."""

    def write(root, **images_by_class):
        for class_id, (name, count) in enumerate(images_by_class.items()):
            folder = root / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (6, 5), (40 * class_id, 20 * index, 7)).save(folder / f"{index}.png")
        return root

    return write


@pytest.fixture
def disk_with_room_for():
    """Lets no file grow beyond so many bytes in the block, as on a full disk; pytest's own log is such a file too."""

    @contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


def proof_of(payload):
    """Evidence of a float32 graph that was compared on synthetic images."""
    return Evidence(
        payload_sha256=payload_sha256(payload),
        precision="float32",
        parity=Parity("synthetic", (), ScoresParity(32, 1.0, 0.0), None),
        gates=(),
        requirements=Requirements(17, 8, LEAST_ONNXRUNTIME, ("Cast", "Flatten", "MatMul")),
        provenance=Provenance("0" * 64, None, None, {}),
        cpu_family="x86-64-avx512-vnni",
        golden=(),
    )


@pytest.fixture
def write_model(tmp_path):
    """Writes a linear classifier of 4x4 gray pixels, proven without a metric: `write_model("a.onnx", batch=2)`."""

    def write(name="model.onnx", *, batch=1, labels=None):
        nodes = [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["floats"], ["features"]),
            helper.make_node("MatMul", ["features", "weights"], ["logits"]),
        ]
        weights = numpy_helper.from_array(np.ones((16, 2), np.float32), "weights")
        inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, 4, 4, 1])]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2])]
        graph = helper.make_graph(nodes, "test", inputs, outputs, [weights])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        manifest = Manifest(
            task="classification",
            model=ModelInfo("test", 1.0),
            inputs=(ImageInput("image", 4, 4, "gray"),),
            labels=labels,
            decoder=SoftmaxDecoder(),
            outputs=(OutputSpec("logits", (2,)),),
        )
        path, payload = tmp_path / name, model.SerializeToString()
        entries = {METADATA_KEY: manifest.to_json(), EVIDENCE_KEY: proof_of(payload).to_json()}
        path.write_bytes(append_metadata(payload, entries))
        return str(path)

    return write
