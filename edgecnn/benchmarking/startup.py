"""From process start to the first answer, measured in fresh processes, one file each, in turn."""

import itertools
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgecnn.benchmarking.child import Child, run_child, temporary_folder
from edgecnn.benchmarking.config import BenchConfig
from edgecnn.benchmarking.picture import QUESTION
from edgecnn_runtime.plain import PlainInput


@dataclass(frozen=True, slots=True)
class Startup:
    """What one process costs until its first answer; medians over the starts, in milliseconds.

    Attributes:
        n: how many processes; one more before them fills the caches and does not count.
        interpreter_ms: from starting the process to its first line of Python.
        import_ms: importing the runtime, and ONNX Runtime, NumPy and Pillow with it.
        read_ms: reading the file and checking its hash, manifest and graph; without the session.
        session_ms: creating ONNX Runtime's session.
        first_inference_ms: the graph, the first time.
        first_answer_ms: the whole first answer, with decoding of the picture and, but of plain ONNX, of the outputs.
        total_ms: from starting the process to the first answer.
        total_min_ms: of the fastest process.
        total_max_ms: of the slowest process.
        peak_memory_bytes: the most that any of the processes held; None where the system does not tell.
    """

    n: int
    interpreter_ms: float
    import_ms: float
    read_ms: float
    session_ms: float
    first_inference_ms: float
    first_answer_ms: float
    total_ms: float
    total_min_ms: float
    total_max_ms: float
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Start:
    """One process; milliseconds and bytes, as in Startup."""

    interpreter_ms: float
    import_ms: float
    read_ms: float
    session_ms: float
    first_inference_ms: float
    first_answer_ms: float
    total_ms: float
    peak_memory_bytes: int | None


def measure_startups(
    files: Sequence[str], config: BenchConfig, picture: bytes, *, plain: Sequence[PlainInput | None] = ()
) -> list[Startup]:
    """Measures starts, interleaved: each round starts one process for every file.

    Args:
        files: paths of model files.
        config: device, threads, and how many starts, 1 or more.
        picture: an encoded image.
        plain: for each file what it takes where it is plain ONNX, else None; empty where none is.

    Returns:
        One entry a file, in their order.

    Raises:
        MeasurementError: a process failed, or there is no room for its compiled modules.
    """
    starts: list[list[_Start]] = [[] for _ in files]
    with _environment() as env:
        for turn in range(config.starts + 1):
            for file, given, of_file in zip(files, plain or [None] * len(files), starts, strict=True):
                start = _start(file, config, picture, env, given)
                if turn:
                    of_file.append(start)
    return [_summarise(of_file) for of_file in starts]


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """Lets the processes share compiled modules, as in an installation, also where writing them is turned off."""
    if not sys.dont_write_bytecode:
        yield dict(os.environ)
        return
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with temporary_folder() as folder:
        yield {**kept, "PYTHONPYCACHEPREFIX": str(folder)}


def _start(file: str, config: BenchConfig, picture: bytes, env: Mapping[str, str], plain: PlainInput | None) -> _Start:
    given = "" if plain is None else f"{plain.layout},{plain.height},{plain.width}"
    options = [file, config.device, str(config.threads or ""), str(int(config.spinning)), QUESTION, given]
    return _parts(run_child("first_answer.py", *options, what=f"{file}: process start", stdin=picture, env=env))


def _parts(child: Child) -> _Start:
    found = child.found
    marks = [child.started, *(found[name] for name in ("entered", "imported", "loaded", "answered"))]
    interpreter_ms, import_ms, load_ms, answer_ms = ((end - start) * 1000 for start, end in itertools.pairwise(marks))
    return _Start(
        interpreter_ms=interpreter_ms,
        import_ms=import_ms,
        read_ms=load_ms - found["session_ms"],
        session_ms=found["session_ms"],
        first_inference_ms=found["first_inference_ms"],
        first_answer_ms=answer_ms,
        total_ms=(marks[-1] - marks[0]) * 1000,
        peak_memory_bytes=found["peak_memory_bytes"],
    )


def _summarise(starts: Sequence[_Start]) -> Startup:
    totals = [start.total_ms for start in starts]
    peaks = [start.peak_memory_bytes for start in starts if start.peak_memory_bytes is not None]
    return Startup(
        n=len(starts),
        interpreter_ms=statistics.median(start.interpreter_ms for start in starts),
        import_ms=statistics.median(start.import_ms for start in starts),
        read_ms=statistics.median(start.read_ms for start in starts),
        session_ms=statistics.median(start.session_ms for start in starts),
        first_inference_ms=statistics.median(start.first_inference_ms for start in starts),
        first_answer_ms=statistics.median(start.first_answer_ms for start in starts),
        total_ms=statistics.median(totals),
        total_min_ms=min(totals),
        total_max_ms=max(totals),
        peak_memory_bytes=max(peaks, default=None),
    )
