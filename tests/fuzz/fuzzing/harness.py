"""What every reader of bytes that are not ours must hold to, tried on many damaged inputs."""

import contextlib
import mmap
import resource
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fuzzing.mutation import Mutator

from edgecnn_runtime.errors import EdgeCNNError, ResourceError

LONGEST_MESSAGE = 2000
HANG_S = 30  # a guard, no measure: what is slow is measured in benchmarks/
SPACE_BYTES = 2 << 30  # of addresses that the process may take on top, so that a claim of 4 GB finds none


def _nothing_to_compare(_data: bytes, _result: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Target:
    """A reader under test.

    Attributes:
        name: on the command line.
        seeds: whole inputs, small.
        read: the reader; gives a result or raises what is allowed.
        share: of all cases, which are spread by the readers' speed.
        allowed: what it may raise.
        compare: raises AssertionError where a result is not what another program reads; None stands for a refusal.
        tokens: byte strings that mean something in the format.
        is_json: whether inputs are JSON.
        memory_mb: how much memory one case may take at most.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes], object]
    share: int
    allowed: tuple[type[Exception], ...] = (EdgeCNNError,)
    compare: Callable[[bytes, object], None] = _nothing_to_compare
    tokens: Sequence[bytes] = ()
    is_json: bool = False
    memory_mb: int = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A case that broke a rule.

    Attributes:
        target: whose.
        number: of the case.
        data: the input.
        problem: in words, with the traceback where there is one.
    """

    target: str
    number: int
    data: bytes
    problem: str

    def __str__(self) -> str:
        shown = self.data.hex() if len(self.data) <= 4000 else f"{self.data[:2000].hex()}... ({len(self.data)} bytes)"
        again = f"uv run python tests/fuzz/run.py {self.target} --case {self.number}"
        return f"{self.target}, case {self.number}: {self.problem}\nagain: {again}\nhex: {shown}"


class _Hang(BaseException):
    """No reader catches it."""


def fuzz(target: Target, numbers: Sequence[int], *, now: Callable[[int], object] = lambda _number: None) -> list[Found]:
    """Runs the cases of those numbers; returns those that broke a rule.

    Args:
        target: the reader.
        numbers: of cases.
        now: is told each case's number before it is read, for whoever survives a signal.
    """
    mutator, found, peak_mb = Mutator(target.seeds, target.tokens, is_json=target.is_json), list[Found](), _peak_mb()
    with _hangs_raised():
        for number in numbers:
            now(number)
            data = mutator.case(number)
            problem = check(target, data)
            before, peak_mb = peak_mb, _peak_mb()
            if problem is None and peak_mb - before > target.memory_mb:
                problem = f"took {peak_mb - before:.0f} MB of memory"
            if problem is not None:
                found.append(Found(target.name, number, data, problem))
    return found


def check(target: Target, data: bytes) -> str | None:
    """Reads one input; returns what is wrong with how it ended, None where nothing is."""
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        return _read(target, data)
    except _Hang:
        return f"still at work after {HANG_S} s"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit_memory() -> None:
    """Lets this process take a few gigabytes of addresses more, and no further."""
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (used + SPACE_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _read(target: Target, data: bytes) -> str | None:
    try:
        result = target.read(data)
    except target.allowed as error:
        if isinstance(error, ResourceError):
            return f"memory or threads ran out: {error}"
        message = str(error)
        if len(message) > LONGEST_MESSAGE:
            return f"a message of {len(message)} characters: {message[:200]}"
        if len(message.splitlines()) != 1 or "\x1b" in message:
            return f"a message that is not one line: {message!r}"
        result = None
    except _Hang:
        raise
    except BaseException:  # noqa: BLE001  (SystemExit too: nothing but the above may leave a reader)
        return traceback.format_exc(limit=-8)
    try:
        target.compare(data, result)
    except AssertionError as error:
        return f"another reader disagrees: {error}"
    return None


@contextlib.contextmanager
def _hangs_raised() -> Iterator[None]:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts kilobytes
