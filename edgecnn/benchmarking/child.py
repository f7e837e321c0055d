"""Running a script of this package in a process of its own, and reading what it found."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from time import perf_counter
from typing import Any

from edgecnn.errors import MeasurementError
from edgecnn_runtime.whole_files import workplace

FOUND = "edgecnn found: "  # begins the line with a script's JSON; libraries print on stdout, too


@dataclass(frozen=True, slots=True)
class Child:
    """A process that has ended.

    Attributes:
        started: when it was started, on the clock `perf_counter`, which all processes of a machine share.
        found: the object that it wrote.
    """

    started: float
    found: Mapping[str, Any]


def run_child(
    script: str, *arguments: str, what: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> Child:
    """Runs a script with this Python to its end; the child dies with this process when a signal ends it.

    Args:
        script: name of a file in this package. It prints a line that begins with FOUND and goes on with a JSON object.
        arguments: of the script.
        what: names the work in the error.
        stdin: what the script reads.
        env: its environment; None is this process's.

    Raises:
        MeasurementError: the process failed.
    """
    # -P: the script's own folder stays out of sys.path, where its siblings would shadow other modules
    command = [sys.executable, "-P", str(Path(__file__).with_name(script)), *arguments]
    started = perf_counter()
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, env=env)
    except OSError as error:
        raise MeasurementError(f"{what}: cannot start a process: {error}") from error
    lines = done.stdout.decode(errors="backslashreplace").splitlines()
    found = [line.removeprefix(FOUND) for line in lines if line.startswith(FOUND)]
    if done.returncode or not found:
        raise MeasurementError(f"{what}: the measured process {_end(done)}")
    return Child(started, json.loads(found[-1]))


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Gives a folder that is gone when the block ends.

    Raises:
        MeasurementError: it cannot be made.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(workplace(Path(gettempdir())))
        except OSError as error:
            raise MeasurementError(
                f"cannot make a temporary folder: {error}. Set TMPDIR to a folder with room."
            ) from error
        yield folder


def _end(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        return f"was ended by signal {-done.returncode}. If memory is short, measure one file at a time."
    lines = done.stderr.decode(errors="backslashreplace").strip().splitlines()
    return f"ended with exit code {done.returncode}: {lines[-1] if lines else 'it said nothing'}"
