import logging

import onnxruntime
import pytest

from edgecnn_runtime import providers
from edgecnn_runtime.providers import cuda_problem, preload_cuda, say_once


@pytest.fixture
def gpu_wheel(monkeypatch):
    """The GPU build of ONNX Runtime: it lists CUDA whether or not it can load."""
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)


def test_cuda_problem_names_the_build_that_is_missing(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert 'pip install "edgecnn-runtime[cuda]"' in cuda_problem()


@pytest.mark.usefixtures("gpu_wheel")
def test_cuda_problem_names_the_driver_that_is_missing(monkeypatch):
    monkeypatch.setattr(providers, "_loads", lambda linux, _: not linux.startswith("libcuda.so"))
    assert cuda_problem().startswith("these do not load: the NVIDIA driver (libcuda). Install the driver")


@pytest.mark.usefixtures("gpu_wheel")
def test_cuda_problem_names_the_libraries_that_are_missing(monkeypatch):
    monkeypatch.setattr(providers, "_loads", lambda linux, _: linux in ("libcuda.so.1", "libcudart.so.13"))
    problem = cuda_problem()
    for library in ("(libcublasLt)", "(libcublas)", "(libcurand)"):
        assert library in problem
    assert "cuDNN 9" in problem
    assert "libcudart" not in problem


@pytest.mark.usefixtures("gpu_wheel")
def test_cuda_problem_is_none_where_everything_loads(monkeypatch):
    monkeypatch.setattr(providers, "_loads", lambda *_: True)
    assert cuda_problem() is None


def test_loads_tries_the_library():
    assert providers._loads("libc.so.6", "kernel32.dll")
    assert not providers._loads("libnothing-of-that-name.so", "nothing-of-that-name.dll")


def test_preload_cuda_prints_into_the_log(monkeypatch, capsys, caplog):
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcudart"))  # noqa: T201
    with caplog.at_level(logging.DEBUG, logger="edgecnn_runtime.providers"):
        preload_cuda()
    assert capsys.readouterr() == ("", "")
    assert "Failed to load libcudart" in caplog.text


def test_say_once_says_each_message_once(caplog):
    say_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="edgecnn_runtime"):
        for message in ("one", "one", "two"):
            say_once(logging.INFO, message)
    assert [record.getMessage() for record in caplog.records] == ["one", "two"]
