"""How every benchmark writes one JSON a run: machine, versions, commit and command with it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgecnn.machine import describe_machine

RESULTS = Path(__file__).parent / "results"


def write_result(
    name: str,
    rows: Sequence[dict[str, Any]],
    *,
    command: str | None = None,
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Writes benchmarks/results/NAME.json and returns its path.

    Args:
        name: the benchmark's; "accuracy/lenet5" is one row of a benchmark whose rows are made one by one.
        rows: one object a line of the table.
        command: that makes it again; None takes this process's own.
        versions: of the environment that was measured, by package; None takes this process's own.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    machine = asdict(describe_machine())
    here = {package: found for package, found in machine["versions"].items() if found}
    machine["versions"] = here if versions is None else dict(versions)
    command = command or " ".join(["uv run python", f"benchmarks/{name}.py", *sys.argv[1:]])
    result = {"command": command, "commit": commit, "machine": machine, "rows": list(rows)}
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return path
