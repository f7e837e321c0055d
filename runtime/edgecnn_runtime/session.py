"""ONNX Runtime behind one door: checked bytes, strict providers, set threads, checked inputs, and no telemetry."""

import contextlib
import logging
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.allocation import tight_arena
from edgecnn_runtime.errors import ModelFileError, ProviderError, ResourceError, SessionError
from edgecnn_runtime.forks import mark_lost_in_children
from edgecnn_runtime.payload import Payload
from edgecnn_runtime.providers import CPU, CUDA, Device, cuda_problem, onnxruntime, say_once

_ORT_ERRORS: tuple[type[Exception], ...] = (
    *(
        error
        for error in vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ),
    RuntimeError,
    MemoryError,
    UnicodeDecodeError,  # a damaged name in the message of another error
)
_DTYPES: Mapping[str, str] = {
    **{f"tensor({name})": name for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")},
    **{"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool"},
}
EXPORTED_OPSET = 18  # the newest that edgecnn export writes
_NEWER_OPSET = re.compile(r"Opset (\d+) is under development.*is till opset (\d+)", re.DOTALL)
_NEWER_IR = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
# Of memory and threads that the system does not give; a good file fails like this on a full machine.
_EXHAUSTED = re.compile(
    r"bad_alloc|pthread_create|pthread_setaffinity|failed to allocate|cannot allocate|out of memory|"
    r"resource temporarily unavailable",
    re.IGNORECASE,
)
_MEMORY_FILE = re.compile(r"/proc/(self|\d+)/fd[^\s\"']*")  # means nothing to whoever reads the message
_CUDA_FAILURE = re.compile(
    r"\b(?:CUDA|CUDNN|CUBLAS|CURAND) failure [^;\n]*[^;\s]"
)  # what follows is for ONNX Runtime's makers
_FATAL = 4  # of ONNX Runtime's severities; its errors arrive as exceptions


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A graph input or output.

    Attributes:
        name: in the graph.
        shape: a number where the size is fixed, the dimension's name where it is free.
        dtype: of the elements.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]


class Session:
    """A loaded graph that runs on one device; safe to call from several threads, not in a forked child.

    Attributes:
        lost: whether this process is a child that was forked after the graph was loaded, and cannot run it.
        provider: the execution provider that runs it: "CPUExecutionProvider" or "CUDAExecutionProvider".
        inputs: of the graph, in its order.
        settings: the inputs that have a default and need not be given, in the graph's order.
        outputs: of the graph, in its order.
        threads: how many threads one operator may use on the CPU.
        batch: the fixed batch size, or None where it is free.
        creation_ms: how long ONNX Runtime took to read, optimize and prepare the graph.
    """

    def __init__(
        self,
        payload: bytes | Payload,
        *,
        device: Device = "auto",
        threads: int | None = None,
        spinning: bool = False,
        tf32: bool = False,
    ) -> None:
        """Loads a graph.

        Args:
            payload: an ONNX ModelProto; `ModelFile.payload` may be closed afterwards. ONNX Runtime keeps `bytes`.
            device: "cpu"; "cuda", which never falls back; "auto", which is CUDA where it works and else the CPU.
            threads: 1 or more; None is one for each CPU that this process may use.
            spinning: whether waiting threads burn CPU time: faster back to back, wasteful at a few calls a second.
            tf32: whether CUDA may multiply float32 with 10 of its 23 bits behind the point. ONNX Runtime keeps float16
                from its fastest kernels without it, and float16 has no more bits to lose.

        Raises:
            ModelFileError: ONNX Runtime refuses the graph, for one because it needs a newer opset or IR version.
            ResourceError: memory or threads ran out.
            ProviderError: device "cuda" cannot be used here; the message names what is missing.
            ValueError: an unknown device, or threads below 1.
        """
        if device not in get_args(Device):
            raise ValueError(f"device: expected one of {list(get_args(Device))}, received {device!r:.60}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads: expected 1 or more, received {threads}")
        self.threads = threads or _usable_cpus()
        self.lost = False
        _check_threads(self.threads - 1)
        start = perf_counter()
        self._session = _open(payload, device, _options(self.threads, spinning), tf32)
        self.creation_ms = (perf_counter() - start) * 1000
        self.provider: str = self._session.get_providers()[0]
        if self.threads > 1 or self.provider != CPU:
            mark_lost_in_children(self)
        self.inputs = tuple(_tensor_info(node) for node in self._session.get_inputs())
        self.settings = tuple(_tensor_info(node) for node in self._session.get_overridable_initializers())
        self.outputs = tuple(_tensor_info(node) for node in self._session.get_outputs())
        first = self.inputs[0].shape[:1] if self.inputs else ()
        self.batch = first[0] if first and isinstance(first[0], int) else None
        self._needed = {info.name for info in self.inputs}
        self._inputs_by_name = {info.name: info for info in (*self.inputs, *self.settings)}
        self._output_names = [info.name for info in self.outputs]

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs by name.

        Args:
            feeds: one array an input, of its dtype and shape; arrays of another byte order are converted. `settings`
                may be left out.

        Raises:
            SessionError: a name, dtype or shape is not what the graph takes, or the run fails, or the process was
                forked after the graph was loaded.
            ResourceError: memory ran out.
        """
        if self.lost:
            raise SessionError(
                f"the graph was loaded by the parent of this process, and the {self.threads} threads of ONNX Runtime "
                "do not come along when a process forks. Load it in each child, after the fork, or with threads=1."
            )
        if feeds.keys() != self._needed and not self._needed <= feeds.keys() <= self._inputs_by_name.keys():
            raise SessionError(f"inputs: expected {sorted(self._inputs_by_name)}, received {sorted(feeds)}")
        checked = {name: _checked(array, self._inputs_by_name[name]) for name, array in feeds.items()}
        try:
            values = self._session.run(self._output_names, checked)
        except _ORT_ERRORS as error:
            what = f"the run on {self.provider} failed"
            raise (_exhausted(what, error) or SessionError(f"{what}: {_first_line(error)}")) from error
        return dict(zip(self._output_names, values, strict=True))

    @property
    def held(self) -> Any:
        """ONNX Runtime's session."""
        return self._session


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_threads(count: int) -> None:
    """Starts and ends so many threads: ONNX Runtime hangs or aborts where only some of its own can be started.

    Raises:
        ResourceError: there are not so many to be had.
    """
    release, started = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(count):
            thread = threading.Thread(target=release.wait)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError) as error:
        raise ResourceError(
            f"expected {count} threads for ONNX Runtime, received {len(started)} from the system ({error}). Ask for "
            "fewer (--threads 1, threads=1), or raise the limits on threads and memory."
        ) from error
    finally:
        release.set()
        for thread in started:
            thread.join()


def _options(threads: int, spinning: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _open(payload: bytes | Payload, device: Device, options: Any, tf32: bool) -> Any:
    """Returns an ONNX Runtime session that really runs where it was asked to."""
    problem = None if device == "cpu" else cuda_problem()
    if device == "cpu" or (device == "auto" and problem):
        if problem and CUDA in onnxruntime.get_available_providers():
            say_once(logging.WARNING, f"device auto: running on the CPU, because {problem}.")
        elif problem:
            say_once(logging.INFO, "device auto: running on the CPU.")
        return _create(payload, options, [CPU])
    if problem:
        raise ProviderError(f"device cuda: {problem}. Or ask for device cpu.")
    return _open_cuda(payload, device, options, tf32)


def _open_cuda(payload: bytes | Payload, device: Device, options: Any, tf32: bool) -> Any:
    onnxruntime.set_default_logger_severity(_FATAL)  # cuDNN tells of each plan that it rejects before it takes another
    try:
        session = _create(payload, options, [(CUDA, {"use_tf32": str(int(tf32))}), CPU])
        received = str(session.get_providers())
        if received.startswith(f"['{CUDA}'"):
            say_once(logging.INFO, f"device {device}: running on {CUDA}.")
            return session
    except (SessionError, ValueError) as error:
        received = _first_line(error.__cause__ or error)
    session = _create(payload, options, [CPU])  # a model that is refused is refused here, whatever the device
    if device == "cuda":
        raise ProviderError(
            f"device cuda: expected {CUDA}, received {received} from ONNX Runtime {onnxruntime.__version__}. Check the "
            "GPU, its driver and its free memory with nvidia-smi, or ask for device cpu."
        )
    say_once(logging.WARNING, f"device auto: running on the CPU, because {CUDA} did not load: received {received}.")
    return session


def _create(payload: bytes | Payload, options: Any, providers: list[str | tuple[str, dict[str, str]]]) -> Any:
    """Creates the session; no fallback inside ONNX Runtime (it prints on stdout), no options out of the model."""
    source = payload.source if isinstance(payload, Payload) else payload
    try:
        with tight_arena(options) if providers == [CPU] else contextlib.nullcontext():
            return onnxruntime.InferenceSession(
                source, options, providers=providers, enable_fallback=0, read_config_from_model=0
            )
    except _ORT_ERRORS as error:
        raise (_exhausted("the model cannot be loaded", error) or ModelFileError(_refusal(error))) from error


def _exhausted(what: str, error: Exception) -> ResourceError | None:
    """Returns the error of a machine that has no memory or threads left; None where the file is to blame."""
    if not isinstance(error, MemoryError) and not _EXHAUSTED.search(str(error)):
        return None
    return ResourceError(
        f"{what}: memory or threads ran out ({_first_line(error):.300}). Free memory, ask for fewer threads "
        "(--threads 1, threads=1), or raise the limits of this process."
    )


def _refusal(error: Exception) -> str:
    runtime = f"this runtime (ONNX Runtime {onnxruntime.__version__})"
    if match := _NEWER_OPSET.search(str(error)):
        needed, known = match.groups()
        lower = min(int(known), EXPORTED_OPSET)
        return f"the model needs opset {needed}, {runtime} has {known}: re-export with --opset {lower} or lower"
    if match := _NEWER_IR.search(str(error)):
        needed, known = match.groups()
        return (
            f"the model needs ONNX IR version {needed}, {runtime} has {known}: re-export with edgecnn export, "
            "which writes IR version 8"
        )
    return f"the model is refused by {runtime}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    text = _MEMORY_FILE.sub("the file", str(error).strip())
    if failure := _CUDA_FAILURE.search(text):
        return failure.group()
    return text.splitlines()[0] if text else type(error).__name__


def _tensor_info(node: Any) -> TensorInfo:
    try:
        name = node.name
    except UnicodeDecodeError as error:
        raise ModelFileError(
            f"the model: expected names of tensors in UTF-8, received {error.object!r:.100}"
        ) from error
    if node.type not in _DTYPES:
        raise ModelFileError(f"the model's tensor {name!r}: expected one of {list(_DTYPES)}, received {node.type}")
    shape = tuple(size if isinstance(size, int) else str(size or "?") for size in node.shape)
    return TensorInfo(name, shape, np.dtype(_DTYPES[node.type]))


def _checked(array: npt.NDArray[Any], info: TensorInfo) -> npt.NDArray[Any]:
    """Returns the array in the machine's byte order, once it has the input's dtype and shape."""
    if not isinstance(array, np.ndarray):
        raise SessionError(f"input {info.name!r}: expected a numpy array, received {type(array).__name__}")
    if array.dtype != info.dtype:
        if array.dtype.newbyteorder("=") != info.dtype:
            raise SessionError(f"input {info.name!r}: expected dtype {info.dtype}, received {array.dtype}")
        array = array.astype(info.dtype)
    if len(array.shape) != len(info.shape) or not all(
        got == size if isinstance(size, int) else got > 0 for got, size in zip(array.shape, info.shape, strict=True)
    ):
        raise SessionError(f"input {info.name!r}: expected shape {info.shape}, received {array.shape}")
    return array
