"""Where ONNX Runtime's memory on the CPU comes from, and how what it no longer needs goes back to the system."""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from typing import Any

from edgecnn_runtime.providers import onnxruntime

_REGISTERED = threading.Lock()  # one arena stands in ONNX Runtime's environment at a time
_AS_REQUESTED = {"arena_extend_strategy": 1}  # 0 and the default: by powers of two


@contextlib.contextmanager
def tight_arena(options: Any) -> Iterator[None]:
    """Lets the session that is created meanwhile have an arena that grows by what is asked for, not by powers of two.

    While a session is created its weights are packed one after another and the originals freed. An arena that takes
    large blocks ahead cannot use what was freed; this one does. Without an arena it would be as small, and networks
    with large activations half as fast. Only an arena that is registered with ONNX Runtime's environment, in place of
    the one before, can be set up from Python; an empty one follows, so that the session alone keeps its own.

    Args:
        options: of the session, on the CPU.
    """
    options.add_session_config_entry("session.use_env_allocators", "1")
    with _REGISTERED:
        _register_arena()
        try:
            yield
        finally:
            _register_arena()


def release_free_memory() -> None:
    """Gives what the C library holds but does not use back to the system; does nothing where it is not glibc.

    After a float32 graph was loaded that is more than the weights.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


def _register_arena() -> None:
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(_AS_REQUESTED))
