"""Fuzzes readers in this process.

uv run python tests/fuzz/run.py [NAME...] [--cases N] [--first N] [--case N]

A name is a reader's or a group's; none is all. It prints one line a reader, and for each case that broke a rule the
command that makes it again and its bytes. Exit code 1 where there is such a case.
"""

import argparse
import importlib
import logging
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "makers"))  # this script's own folder stands there already

from fuzzing.harness import Target, fuzz, limit_memory

GROUPS = ("models", "pictures", "records", "keras_files")
_SHOWN = 3  # of one reader's cases
_NOTE_BYTES = 128
_MEMORY = "/dev/shm"  # where a file costs a hundredth of one on the disk


def find(names: Sequence[str], folder: Path) -> Iterator[Target]:
    """Yields the readers of those names."""
    left = set(names)
    for group in GROUPS:
        if names and not left - set(GROUPS) and group not in left:
            continue  # the last one loads TensorFlow
        for target in importlib.import_module(f"fuzzing.{group}").targets(folder):
            if not names or group in names or target.name in names:
                left -= {group, target.name}
                yield target
    if left:
        raise SystemExit(f"expected names of readers or of the groups {', '.join(GROUPS)}, received {sorted(left)}")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    failed = 0
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        targets = list(find(options.names, Path(folder)))
        limit_memory()
        total = sum(target.share for target in targets)
        for target in targets:
            cases = max(1, round(options.cases * target.share / total)) if options.cases else target.share
            numbers = [options.case] if options.case is not None else range(options.first, options.first + cases)
            failed += _run(target, numbers, _noting(options.note, target))
    return 1 if failed else 0


def _run(target: Target, numbers: Sequence[int], now: Callable[[int], object]) -> int:
    started = time.perf_counter()
    found = fuzz(target, numbers, now=now)
    seconds = time.perf_counter() - started
    print(
        f"{target.name}: {len(numbers)} cases, {len(numbers) / seconds:.0f} a second, {len(found)} failed", flush=True
    )
    for each in found[:_SHOWN]:
        print(each, flush=True)
    return len(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cases", type=int, help="in all, spread by the readers' speed [default: what CI runs]")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="only the case of this number")
    parser.add_argument("--note", type=Path, help="a file that holds the case at work, for whoever survives a signal")
    return parser


def _noting(path: Path | None, target: Target) -> Callable[[int], object]:
    """Returns what writes down the case at work; the page is the system's, so it outlives this process."""
    if path is None:
        return lambda _number: None
    path.write_bytes(bytes(_NOTE_BYTES))
    with path.open("r+b") as file:
        page = mmap.mmap(file.fileno(), _NOTE_BYTES)

    def note(number: int) -> None:
        page[:] = f"{target.name} --case {number}".encode().ljust(_NOTE_BYTES)

    return note


if __name__ == "__main__":
    sys.exit(main())
