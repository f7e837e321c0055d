import copy
import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecnn_runtime import payload as module
from edgecnn_runtime.container import read_model_file
from edgecnn_runtime.errors import ModelFileError
from edgecnn_runtime.payload import hold_payload
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.session import Session

CONTENT = bytes(range(256)) * 5
PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 8, 6, 1)

needs_memory_files = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no memory files")


def memory_files() -> list[str]:
    """The memory files that this process has open."""
    return [link.name for link in Path("/proc/self/fd").iterdir() if "memfd:edgecnn" in os.path.realpath(link)]


@pytest.fixture
def without_memory_files(monkeypatch):
    def refuse() -> int:
        raise OSError("none")

    monkeypatch.setattr(module, "_memory_file", refuse)


@pytest.mark.parametrize("size", [0, 1, 1000, 1280, 9999])
def test_hold_payload_copies_and_hashes_the_first_bytes(monkeypatch, size):
    monkeypatch.setattr(module, "_BUFFER_BYTES", 300)
    held = hold_payload(io.BytesIO(CONTENT), size)
    assert held.read() == CONTENT[:size]
    assert held.size_bytes == len(CONTENT[:size])
    assert held.sha256 == hashlib.sha256(CONTENT[:size]).hexdigest()


@pytest.mark.usefixtures("without_memory_files")
def test_hold_payload_keeps_bytes_where_there_are_no_memory_files():
    held = hold_payload(io.BytesIO(CONTENT), 1000)
    assert (held.source, held.size_bytes) == (CONTENT[:1000], 1000)
    assert held.sha256 == hashlib.sha256(CONTENT[:1000]).hexdigest()
    held.close()
    assert held.read() == CONTENT[:1000]


@pytest.mark.usefixtures("without_memory_files")
def test_a_file_loads_where_there_are_no_memory_files(model_path, photo):
    assert Predictor.load(model_path, device="cpu").predict(photo()).label == "two"


@needs_memory_files
def test_a_file_loads_under_a_limit_on_the_size_of_files(model_path, run_python):
    code = """
        import resource, sys
        from edgecnn_runtime.container import read_model_file
        from edgecnn_runtime.session import Session
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        payload = read_model_file(sys.argv[1]).payload
        print(type(payload.source).__name__, Session(payload, device="cpu").provider)
    """
    done = run_python(code, str(model_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "bytes CPUExecutionProvider\n", "")


def test_a_stream_that_cannot_be_read_is_an_error():
    class Broken(io.BytesIO):
        def readinto(self, _):
            raise OSError("bad sector")

        def read(self, _=-1):
            raise OSError("bad sector")

    with pytest.raises(OSError, match="bad sector"):
        hold_payload(Broken(CONTENT), 1000)


@needs_memory_files
def test_nobody_can_change_what_was_hashed():
    held = hold_payload(io.BytesIO(CONTENT), 1000)
    with Path(held.source).open("r+b", buffering=0) as file:
        for change in (lambda: file.write(b"x"), lambda: file.truncate(10), lambda: file.truncate(2000)):
            with pytest.raises(PermissionError):
                change()
    assert held.read() == CONTENT[:1000]


def test_a_file_that_changes_after_its_check_is_loaded_as_it_was_checked(make_graph, model_path):
    expected = Session(make_graph(), device="cpu").run({"image": PIXELS})["logits"]
    file = read_model_file(model_path)
    changed = model_path.read_bytes().replace(make_graph(), make_graph(bias=[9, 9, 9]))
    assert changed != model_path.read_bytes()
    model_path.write_bytes(changed)
    loaded = Session(file.payload, device="cpu")
    np.testing.assert_array_equal(loaded.run({"image": PIXELS})["logits"], expected)


@needs_memory_files
def test_a_session_runs_after_its_payload_is_closed(make_graph, model_path):
    file = read_model_file(model_path)
    loaded = Session(file.payload, device="cpu")
    file.payload.close()
    expected = Session(make_graph(), device="cpu").run({"image": PIXELS})["logits"]
    np.testing.assert_array_equal(loaded.run({"image": PIXELS})["logits"], expected)
    for use in (file.payload.read, lambda: Session(file.payload, device="cpu")):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_payload_cannot_be_pickled_or_copied():
    held = hold_payload(io.BytesIO(CONTENT), 1000)
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            use(held)


@needs_memory_files
def test_a_predictor_holds_no_memory_file(model_path):
    before = memory_files()
    predictor = Predictor.load(model_path, device="cpu")
    assert memory_files() == before
    assert predictor.provider


@needs_memory_files
def test_a_payload_that_is_dropped_leaves_no_memory_file(model_path):
    before = memory_files()
    file = read_model_file(model_path)
    assert len(memory_files()) == len(before) + 1
    del file
    assert memory_files() == before


@needs_memory_files
def test_a_graph_that_is_refused_leaves_no_memory_file_and_no_path_of_one(
    make_graph, make_manifest, write_model, tmp_path
):
    before = memory_files()
    path = write_model(tmp_path / "m.onnx", make_graph(operator="Nonsense"), make_manifest())
    with pytest.raises(ModelFileError, match="Nonsense") as caught:
        Predictor.load(path, device="cpu")
    assert "/proc/" not in str(caught.value)
    del caught
    assert memory_files() == before


@needs_memory_files
def test_a_file_that_is_refused_leaves_no_memory_file_while_its_error_is_kept(model_path):
    before = memory_files()
    model_path.write_bytes(model_path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelFileError) as kept:
        Predictor.load(model_path, device="cpu")
    assert memory_files() == before
    assert kept.value


@needs_memory_files
@pytest.mark.parametrize("location", ["w.bin", "/etc/passwd", "../../etc/passwd", ".", "/proc/self/environ"])
def test_weights_outside_the_file_are_refused(make_graph, make_manifest, write_model, tmp_path, location):
    (tmp_path / "w.bin").write_bytes(bytes(4096))
    graph = onnx.load_from_string(make_graph())
    weight = graph.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    path = write_model(tmp_path / "m.onnx", graph.SerializeToString(), make_manifest())
    with pytest.raises(ModelFileError) as refused:
        Predictor.load(path, device="cpu")
    assert "/fd/" not in str(refused.value)


@needs_memory_files
def test_loading_a_file_holds_its_weights_twice_at_most(tmp_path, run_python):
    """In the file's protobuf and packed for the processor, but never in Python as well."""
    size = write_chain(tmp_path / "chain.onnx")
    code = """
        import sys
        from pathlib import Path
        from edgecnn_runtime.container import read_model_file
        from edgecnn_runtime.session import Session

        def peak():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

        before = peak()
        Session(read_model_file(sys.argv[1]).payload, device="cpu", threads=1)
        print(peak() - before)
    """
    done = run_python(code, str(tmp_path / "chain.onnx"))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2.6 * size  # with the bytes in Python 3.1, without 2.1


def write_chain(path: Path) -> int:
    """Writes 12 matrix products of 4 MB each; returns the file's size."""
    weights = np.random.default_rng(0).standard_normal((12, 1024, 1024), dtype=np.float32)
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(len(weights))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1024]) for name in ("x0", "x12")]
    initializers = [numpy_helper.from_array(matrix, f"w{i}") for i, matrix in enumerate(weights)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return path.write_bytes(model.SerializeToString())
