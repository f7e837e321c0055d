"""Which execution provider runs a graph, and what keeps CUDA from being used."""

import contextlib
import ctypes
import functools
import io
import logging
import os
import sys
from typing import Literal

# Since 1.29 the import of onnxruntime writes a device id under the home folder unless this is set before it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.pop("ORT_LOAD_CONFIG_FROM_MODEL", None)  # session options come from here, never out of a model

import onnxruntime as onnxruntime  # whoever needs it imports it from here, so that the line above comes first

Device = Literal["auto", "cpu", "cuda"]
CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

_LOGGER = logging.getLogger(__name__)
_INSTALL = 'Install the GPU build: pip uninstall onnxruntime, then pip install "edgecnn-runtime[cuda]"'


def cuda_problem() -> str | None:
    """Returns what keeps CUDA from being used here, with the cure; None where nothing is known to."""
    if CUDA not in onnxruntime.get_available_providers():
        return f"this build of onnxruntime ({onnxruntime.__version__}) has no {CUDA}. {_INSTALL}"
    preload_cuda()
    major = str(getattr(onnxruntime, "cuda_version", "")).split(".")[0] or "13"
    needed = {
        "the NVIDIA driver (libcuda)": ("libcuda.so.1", "nvcuda.dll"),
        f"CUDA {major} (libcudart)": (f"libcudart.so.{major}", f"cudart64_{major}.dll"),
        f"CUDA {major} (libcublasLt)": (f"libcublasLt.so.{major}", f"cublasLt64_{major}.dll"),
        f"CUDA {major} (libcublas)": (f"libcublas.so.{major}", f"cublas64_{major}.dll"),
        f"CUDA {major} (libcurand)": ("libcurand.so.10", "curand64_10.dll"),
        "cuDNN 9 (libcudnn)": ("libcudnn.so.9", "cudnn64_9.dll"),
    }
    missing = [name for name, libraries in needed.items() if not _loads(*libraries)]
    if not missing:
        return None
    return (
        f"these do not load: {', '.join(missing)}. Install the driver with the system's packages, the rest with "
        'pip install "edgecnn-runtime[cuda]"'
    )


def preload_cuda() -> None:
    """Lets ONNX Runtime find CUDA and cuDNN that pip installed; what it prints goes to the log."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            onnxruntime.preload_dlls()
        _LOGGER.debug("onnxruntime.preload_dlls: %s", printed.getvalue())


@functools.cache
def say_once(level: int, message: str) -> None:
    """Logs a message the first time it is said in this process."""
    _LOGGER.log(level, message)


def _loads(linux: str, windows: str) -> bool:
    try:
        ctypes.CDLL(windows if sys.platform == "win32" else linux)
    except OSError:
        return False
    return True
