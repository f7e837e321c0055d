"""Commands of edgecnn, one after the other in one process, because TensorFlow takes seconds to start.

`python in_one_process.py FOLDER` reads commands.json there, a list of [name, argument, ...], and leaves done.json: of
each its exit code and what it said.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def run_commands(folder: Path, commands: Mapping[str, Iterable[object]]) -> None:
    """Runs commands in a process of their own; what each said is then found by `said`."""
    named = {name: [str(argument) for argument in arguments] for name, arguments in commands.items()}
    (folder / "commands.json").write_text(json.dumps(named))
    done = subprocess.run([sys.executable, __file__, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def said(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns of each command its exit code ("code"), "stdout" and "stderr"."""
    return json.loads((folder / "done.json").read_text())


def command(folder: Path, arguments: Iterable[object]) -> dict[str, Any]:
    """Runs one command in this process."""
    from edgecnn.cli import main

    with (folder / "stdout").open("w+b") as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
        kept = os.dup(1)
        os.dup2(stdout.fileno(), 1)
        code = main([str(argument) for argument in arguments])
        os.dup2(kept, 1)
        stdout.seek(0)
        return {"code": code, "stdout": stdout.read().decode(), "stderr": stderr.getvalue()}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    asked = json.loads((place / "commands.json").read_text())
    (place / "done.json").write_text(json.dumps({name: command(place, words) for name, words in asked.items()}))
