"""Where a Session runs: CUDA asked for, CUDA missing, CUDA that falls back in silence (faults.md, row 22)."""

import logging

import onnxruntime
import pytest

from edgecnn_runtime import Predictor, providers, session
from edgecnn_runtime.errors import ModelFileError, ProviderError
from edgecnn_runtime.session import Session


class SilentFallback:
    """An ONNX Runtime session that takes CUDA and gives the CPU without a word, as both wheels do."""

    def __init__(self, payload, options, **_):
        self._real = REAL_SESSION(payload, options, providers=["CPUExecutionProvider"])

    def __getattr__(self, name):
        return getattr(self._real, name)


class FailingCuda(SilentFallback):
    """One that raises where CUDA is asked for."""

    def __init__(self, payload, options, *, providers, **_):
        if providers != ["CPUExecutionProvider"]:
            raise RuntimeError(
                "/src/cuda_call.cc:154 void onnxruntime::CudaCall(...) [with THRW = true]\n/src/cuda_call.cc:146 CUDA "
                "failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=vm ; file=/src/cuda.cc ; line=282"
            )
        super().__init__(payload, options)


REAL_SESSION = onnxruntime.InferenceSession


@pytest.fixture
def gpu_wheel(monkeypatch):
    """A machine where nothing is known to keep CUDA from working."""
    monkeypatch.setattr(session, "cuda_problem", lambda: None)
    providers.say_once.cache_clear()


@pytest.mark.usefixtures("gpu_wheel")
@pytest.mark.parametrize("fake", [SilentFallback, FailingCuda])
def test_device_cuda_never_runs_on_the_cpu(make_graph, monkeypatch, fake):
    monkeypatch.setattr(onnxruntime, "InferenceSession", fake)
    with pytest.raises(ProviderError, match="expected CUDAExecutionProvider, received ") as caught:
        Session(make_graph(), device="cuda")
    assert caught.value.exit_code == 3


@pytest.mark.usefixtures("gpu_wheel")
@pytest.mark.parametrize("fake", [SilentFallback, FailingCuda])
def test_device_auto_says_once_that_it_runs_on_the_cpu(make_graph, monkeypatch, caplog, fake):
    monkeypatch.setattr(onnxruntime, "InferenceSession", fake)
    with caplog.at_level(logging.INFO, logger="edgecnn_runtime"):
        loaded = [Session(make_graph(), device="auto") for _ in range(3)]
    assert {each.provider for each in loaded} == {"CPUExecutionProvider"}
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.usefixtures("gpu_wheel")
def test_device_cuda_says_what_cuda_says_and_not_that_the_model_is_refused(make_graph, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", FailingCuda)
    with pytest.raises(ProviderError) as caught:
        Session(make_graph(), device="cuda")
    assert "received CUDA failure 100: no CUDA-capable device is detected from ONNX Runtime" in str(caught.value)


@pytest.mark.usefixtures("gpu_wheel")
def test_device_cuda_still_says_that_a_model_is_damaged(make_graph, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", FailingCuda)
    with pytest.raises(ModelFileError):
        Session(make_graph()[:100], device="cuda")


@pytest.mark.usefixtures("gpu_wheel")
def test_device_cuda_is_what_ran_where_it_works(make_graph, monkeypatch):
    class WorkingCuda(SilentFallback):
        def get_providers(self):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", WorkingCuda)
    assert Session(make_graph(), device="cuda").provider == "CUDAExecutionProvider"
    assert Session(make_graph(), device="auto").provider == "CUDAExecutionProvider"


@pytest.mark.usefixtures("gpu_wheel")
@pytest.mark.parametrize(("precision", "use_tf32"), [("float32", "0"), ("float16", "1"), ("int8", "0")])
def test_cuda_is_told_to_multiply_float32_as_float32_but_in_float16_files(
    make_graph, make_manifest, stamp, tmp_path, monkeypatch, precision, use_tf32
):
    asked = []

    class Recording(SilentFallback):
        def __init__(self, payload, options, *, providers, **_):
            asked.append(providers)
            super().__init__(payload, options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Recording)
    (tmp_path / "model.onnx").write_bytes(stamp(make_graph(precision=precision), make_manifest(), precision=precision))
    Predictor.load(tmp_path / "model.onnx", device="auto")
    assert asked[0] == [("CUDAExecutionProvider", {"use_tf32": use_tf32}), "CPUExecutionProvider"]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA")
def test_device_cuda_names_what_is_missing_on_this_machine(make_graph):
    with pytest.raises(ProviderError, match=r"has no CUDAExecutionProvider.*edgecnn-runtime\[cuda\]"):
        Session(make_graph(), device="cuda")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA")
def test_device_auto_tells_the_truth_on_this_machine(make_graph):
    assert Session(make_graph(), device="auto").provider == "CPUExecutionProvider"
