import os
import types
from time import perf_counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgecnn_runtime.errors import ModelFileError, ResourceError, SessionError
from edgecnn_runtime.session import Session

PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 8, 6, 1)


@pytest.fixture(scope="module")
def cpu_session(make_graph):
    return Session(make_graph(), device="cpu", threads=1)


def test_run_returns_outputs_by_name(cpu_session):
    logits = cpu_session.run({"image": PIXELS})["logits"]
    weights, biases = np.linspace(-0.02, 0.02, 3), np.linspace(1, -1, 3)
    np.testing.assert_allclose(logits, [PIXELS.mean() * weights + biases], rtol=1e-5)
    assert logits.dtype == np.float32


def test_session_describes_its_tensors(make_graph):
    loaded = Session(make_graph(batch="batch", size=("height", 6)), device="cpu")
    assert [(info.name, info.shape, info.dtype) for info in loaded.inputs] == [
        ("image", ("batch", "height", 6, 1), np.dtype(np.uint8))
    ]
    assert [(info.name, info.shape, info.dtype) for info in loaded.outputs] == [
        ("logits", ("batch", 3), np.dtype(np.float32))
    ]


@pytest.mark.parametrize(("batch", "expected"), [(1, 1), (4, 4), ("batch", None)])
def test_batch_is_none_only_where_it_is_free(make_graph, batch, expected):
    assert Session(make_graph(batch=batch), device="cpu").batch == expected


@pytest.mark.parametrize("count", [1, 3, 8])
def test_run_takes_any_batch_where_it_is_free(make_graph, count):
    loaded = Session(make_graph(batch="batch"), device="cpu")
    assert loaded.run({"image": np.repeat(PIXELS, count, axis=0)})["logits"].shape == (count, 3)


def test_threads_default_to_the_cpus_of_this_process(make_graph):
    assert Session(make_graph(), device="cpu").threads == len(os.sched_getaffinity(0))


def test_creation_takes_a_part_of_the_whole(make_graph):
    payload = make_graph()
    start = perf_counter()
    session = Session(payload, device="cpu")
    assert 0 < session.creation_ms <= (perf_counter() - start) * 1000


def test_threads_follow_a_smaller_affinity(make_graph):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert Session(make_graph(), device="cpu").threads == 1
    finally:
        os.sched_setaffinity(0, before)


def test_session_refuses_arguments_that_mean_nothing(make_graph):
    with pytest.raises(ValueError, match="threads: expected 1 or more, received 0"):
        Session(make_graph(), device="cpu", threads=0)
    with pytest.raises(ValueError, match=r"device: expected one of .*'tpu'"):
        Session(make_graph(), device="tpu")


@pytest.mark.parametrize(("spinning", "entry"), [(False, "0"), (True, "1")])
def test_session_sets_its_options(make_graph, monkeypatch, spinning, entry):
    seen = []
    real = onnxruntime.InferenceSession

    def record(payload, options, **keywords):
        seen.append((options, keywords))
        return real(payload, options, **keywords)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    Session(make_graph(), device="cpu", threads=2, spinning=spinning)
    options, keywords = seen[0]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == entry
    assert options.get_session_config_entry("session.load_model_format") == "ONNX"
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert keywords == {"providers": ["CPUExecutionProvider"], "enable_fallback": 0, "read_config_from_model": 0}


def test_session_options_hidden_in_the_model_have_no_effect(make_graph, tmp_path, run_python):
    model = onnx.load_from_string(make_graph())
    onnx.helper.set_model_props(model, {"ort_config": '{"session_options": {"enable_profiling": 1}}'})
    (tmp_path / "payload").write_bytes(model.SerializeToString())
    code = """
        import sys
        from pathlib import Path
        from edgecnn_runtime import Session
        loaded = Session(Path(sys.argv[1]).read_bytes(), device="cpu")
        print(loaded._session.get_session_options().enable_profiling)
    """
    done = run_python(code, str(tmp_path / "payload"), env={"ORT_LOAD_CONFIG_FROM_MODEL": "1"}, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["payload"]


# faults.md, row 2, at the last door: what --allow-modified lets through


def test_damaged_payloads_end_in_an_error_and_never_in_a_signal(make_graph, tmp_path, run_python):
    (tmp_path / "payload").write_bytes(make_graph())
    code = """
        import resource, sys
        from pathlib import Path
        from edgecnn_runtime import ModelFileError, Session
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        payload = Path(sys.argv[1]).read_bytes()
        damaged = [payload[:size] for size in range(len(payload))]
        for index in range(len(payload)):
            damaged += [payload[:index] + bytes([payload[index] ^ 1 << bit]) + payload[index + 1:] for bit in range(8)]
        refused = 0
        for graph in damaged:
            try:
                Session(graph, device="cpu", threads=1)
            except ModelFileError:
                refused += 1
        print(refused > len(damaged) // 2)
    """
    done = run_python(code, str(tmp_path / "payload"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


# faults.md, row 7


def test_a_newer_opset_is_refused_with_both_versions_and_the_cure(make_graph):
    with pytest.raises(
        ModelFileError, match=r"needs opset 99, .* has (\d+): re-export with --opset 18 or lower"
    ) as caught:
        Session(make_graph(opset=99), device="cpu")
    assert caught.value.exit_code == 6


def test_a_newer_ir_version_is_refused_with_both_versions_and_the_cure(make_graph):
    with pytest.raises(ModelFileError, match=r"needs ONNX IR version 99, .* has \d+: re-export with edgecnn export"):
        Session(make_graph(ir_version=99), device="cpu")


def test_an_unknown_operator_is_refused_by_name(make_graph):
    with pytest.raises(ModelFileError, match="Nonsense"):
        Session(make_graph(operator="Nonsense"), device="cpu")


def test_a_tensor_type_without_a_numpy_dtype_is_refused(make_graph):
    with pytest.raises(ModelFileError, match=r"expected one of .*, received tensor\(bfloat16\)"):
        Session(make_graph(input_type=TensorProto.BFLOAT16), device="cpu")


# faults.md, row 19


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"picture": PIXELS}, r"expected \['image'\], received \['picture'\]"),
        ({}, r"expected \['image'\], received \[\]"),
        ({"image": PIXELS, "more": PIXELS}, r"expected \['image'\], received \['image', 'more'\]"),
        ({"image": PIXELS.astype(np.float32)}, "expected dtype uint8, received float32"),
        ({"image": PIXELS[0]}, r"expected shape \(1, 8, 6, 1\), received \(8, 6, 1\)"),
        ({"image": PIXELS.transpose(0, 3, 1, 2)}, r"expected shape \(1, 8, 6, 1\), received \(1, 1, 8, 6\)"),
        ({"image": PIXELS.tolist()}, "expected a numpy array, received list"),
    ],
)
def test_run_names_what_it_expected_and_received(cpu_session, feeds, message):
    with pytest.raises(SessionError, match=message):
        cpu_session.run(feeds)


def test_run_refuses_an_empty_batch(make_graph):
    with pytest.raises(SessionError, match=r"expected shape \('batch', 8, 6, 1\), received \(0, 8, 6, 1\)"):
        Session(make_graph(batch="batch"), device="cpu").run({"image": PIXELS[:0]})


@pytest.mark.parametrize("order", [">", "<"])
def test_run_converts_the_byte_order(make_graph, order):
    loaded = Session(make_graph(input_type=TensorProto.FLOAT), device="cpu")
    native = PIXELS.astype(np.float32)
    expected = loaded.run({"image": native})["logits"]
    np.testing.assert_array_equal(loaded.run({"image": native.astype(f"{order}f4")})["logits"], expected)


def test_run_takes_an_array_that_is_not_contiguous(cpu_session):
    padded = np.zeros((1, 8, 12, 1), dtype=np.uint8)
    padded[:, :, ::2] = PIXELS
    expected = cpu_session.run({"image": PIXELS})["logits"]
    np.testing.assert_array_equal(cpu_session.run({"image": padded[:, :, ::2]})["logits"], expected)


def test_a_run_that_fails_is_a_session_error(make_graph):
    graph = make_graph(size=("height", "width"), operator="Identity")  # the Gemm fits 1 feature only
    with pytest.raises(SessionError, match="the run on CPUExecutionProvider failed"):
        Session(graph, device="cpu").run({"image": PIXELS})


# faults.md, row 29


def test_loading_prints_nothing_on_stdout(make_graph, tmp_path, run_python):
    (tmp_path / "payload").write_bytes(make_graph())
    code = """
        import sys
        from pathlib import Path
        import numpy as np
        from edgecnn_runtime import EdgeCNNError, Session
        payload = Path(sys.argv[1]).read_bytes()
        for graph, device in ((payload, "cuda"), (payload, "auto"), (payload[:50], "cpu")):
            try:
                Session(graph, device=device).run({"image": np.zeros((1, 8, 6, 1), np.uint8)})
            except EdgeCNNError:
                pass
    """
    done = run_python(code, str(tmp_path / "payload"))
    assert (done.returncode, done.stdout) == (0, "")


def test_onnx_runtime_does_not_print_its_own_fallback_on_stdout(make_graph, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("CUDA_PATH is set but CUDA wasn't able to be loaded")

    fake = types.SimpleNamespace(**vars(onnxruntime.capi._pybind_state))
    fake.InferenceSession = broken
    monkeypatch.setattr("onnxruntime.capi.onnxruntime_inference_collection.C", fake)
    with pytest.raises(ModelFileError, match="CUDA_PATH is set"):
        Session(make_graph(), device="cpu")
    assert capsys.readouterr().out == ""


# memory and threads that the system does not give: not the file's fault


@pytest.mark.parametrize(
    "message",
    [
        "Exception during initialization: std::bad_alloc",
        "env.cc:327 PosixThread pthread_create failed, error code: 11 error msg: Resource temporarily unavailable",
        "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1024",
        "",
    ],
)
def test_a_full_machine_is_no_refused_model(make_graph, monkeypatch, message):
    def fail(*_arguments, **_options):
        raise RuntimeError(message) if message else MemoryError

    session = Session(make_graph(), device="cpu", threads=1)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(ResourceError, match=r"memory or threads ran out.*--threads 1") as caught:
        Session(make_graph(), device="cpu", threads=1)
    assert (caught.value.exit_code, isinstance(caught.value, ModelFileError)) == (1, False)
    monkeypatch.setattr(session, "_session", type("Full", (), {"run": fail}))
    with pytest.raises(ResourceError, match="memory or threads ran out"):
        session.run({"image": np.zeros((1, 8, 6, 1), np.uint8)})


@pytest.mark.parametrize("limit", ["RLIMIT_NPROC", "RLIMIT_AS"])
def test_a_limit_on_threads_or_memory_is_said_in_one_line(model_path, run_python, limit):
    code = """
        import os, resource, sys
        from edgecnn_runtime import EdgeCNNError, Predictor
        data, limit = open(sys.argv[1], "rb").read(), getattr(resource, sys.argv[2])
        if limit == resource.RLIMIT_AS:
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(limit, (used + (40 << 20),) * 2)  # a few stacks of 8 MiB
        else:
            if os.geteuid() == 0:
                os.setuid(65534)  # root has no such limit
            resource.setrlimit(limit, (3, 3))
        try:
            Predictor.load(data, device="cpu", threads=64)
        except EdgeCNNError as error:
            print(error.exit_code, "threads=1" in str(error) and len(str(error)) < 500)
        Predictor.load(data, device="cpu", threads=1)
        print("loaded")
    """
    done = run_python(code, str(model_path), limit)
    assert (done.returncode, done.stdout.split()) == (0, ["1", "True", "loaded"]), done.stderr


@pytest.fixture(scope="module")
def with_default():
    """y = the image's mean times an input that is 2 unless it is given."""
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "factor"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 2, 2, 1]),
            helper.make_tensor_value_info("factor", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [2.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Session(model.SerializeToString(), device="cpu", threads=1)


def test_an_input_with_a_default_need_not_be_given(with_default):
    assert [info.name for info in with_default.inputs] == ["image"]
    assert [(info.name, info.shape, str(info.dtype)) for info in with_default.settings] == [("factor", (1,), "float32")]
    pixels = np.full((3, 2, 2, 1), 5, np.uint8)
    assert with_default.run({"image": pixels})["y"].tolist() == [10.0] * 3
    factor = np.array([0.5], np.float32)
    assert with_default.run({"image": pixels, "factor": factor})["y"].tolist() == [2.5] * 3
    assert with_default.run({"image": pixels})["y"].tolist() == [10.0] * 3  # nothing stays


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"factor": np.ones(1, np.float32)}, "inputs: expected"),
        ({"image": np.zeros((1, 2, 2, 1), np.uint8), "other": np.ones(1, np.float32)}, "inputs: expected"),
        ({"image": np.zeros((1, 2, 2, 1), np.uint8), "factor": np.ones(2, np.float32)}, r"'factor': expected shape"),
        ({"image": np.zeros((1, 2, 2, 1), np.uint8), "factor": np.ones(1)}, "'factor': expected dtype float32"),
    ],
)
def test_inputs_with_a_default_are_checked_where_they_are_given(with_default, feeds, message):
    with pytest.raises(SessionError, match=message):
        with_default.run(feeds)
