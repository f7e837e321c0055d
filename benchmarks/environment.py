"""A fresh environment for one benchmark, apart from the project's own."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


class InstallError(Exception):
    """uv cannot build or install something here; the message is uv's own, on one line."""


def build_environment(folder: Path, *requirements: str) -> Path:
    """Makes a virtual environment of this Python's version with what is required, and nothing else.

    Args:
        folder: of the environment; cleared first.
        requirements: as `uv pip install` takes them.

    Returns:
        The path of the environment's Python.

    Raises:
        InstallError: one of them cannot be installed here.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    uv("venv", "--clear", "--python", sys.executable, str(folder))
    uv("pip", "install", "--python", str(python), *requirements)
    return python


def uv(*arguments: str) -> None:
    """Runs uv in the repository.

    Raises:
        InstallError: it cannot be started, or it failed.
    """
    try:
        command = ["uv", "--quiet", *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    except OSError as error:
        raise InstallError(f"uv cannot be started: {error}") from error
    if done.returncode:
        raise InstallError(" ".join(done.stderr.split()))
