"""How every benchmark takes its medians, and writes one JSON a run: machine, versions, commit and command with it."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from edgecnn.machine import describe_machine

RESULTS = Path(__file__).parent / "results"


def interleave(runs: int, **functions: Callable[[], object]) -> dict[str, list[float]]:
    """Calls the functions in turn, `runs` times over, and returns the milliseconds of each call by name.

    Every round begins with another one, so that none always finds what the same one left behind in the caches.
    """
    names = list(functions)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(runs):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            start = perf_counter()
            functions[name]()
            samples[name].append((perf_counter() - start) * 1000)
    return samples


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Returns median, 10th and 90th percentile and n."""
    deciles = statistics.quantiles(samples, n=10, method="inclusive")
    return {"median": statistics.median(samples), "p10": deciles[0], "p90": deciles[-1], "n": len(samples)}


def write_result(name: str, rows: Sequence[dict[str, Any]], *, command: str | None = None) -> Path:
    """Writes benchmarks/results/NAME.json and returns its path.

    Args:
        name: the benchmark's; "accuracy/lenet5" is one row of a benchmark whose rows are made one by one.
        rows: one object a line of the table.
        command: that makes it again; None takes this process's own.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    machine = asdict(describe_machine())
    machine["versions"] = {package: found for package, found in machine["versions"].items() if found}
    command = command or " ".join(["uv run python", f"benchmarks/{name}.py", *sys.argv[1:]])
    result = {"command": command, "commit": commit, "machine": machine, "rows": list(rows)}
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return path
