"""An environment as a device has it: the built wheels `edgecnn` and `edgecnn-runtime[cpu]`, nothing that trains.

    python benchmarks/slim_environment.py FOLDER

prints the path of the environment's Python. The footprint benchmark and the packaging test both start from here.
"""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Measured and tested with the versions of this environment, whatever is newest today.
PINNED = ("numpy", "pillow", "onnxruntime", "typer", "rich")


def build_slim_environment(folder: Path) -> Path:
    """Builds the two wheels and installs them into a fresh environment.

    Args:
        folder: for the wheels and the environment; made if missing.

    Returns:
        The path of the environment's Python.
    """
    wheels, environment = folder / "wheels", folder / "environment"
    for package in ("edgecnn", "edgecnn-runtime"):
        _uv("build", "--wheel", "--package", package, "--out-dir", str(wheels))
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    _uv("venv", "--clear", "--python", sys.executable, str(environment))
    runtime = next(wheels.glob("edgecnn_runtime-*.whl"))
    _uv(
        *("pip", "install", "--python", str(python)),
        str(next(wheels.glob("edgecnn-*.whl"))),
        f"edgecnn-runtime[cpu] @ {runtime.resolve().as_uri()}",
        *(f"{package}=={version(package)}" for package in PINNED),
    )
    return python


def _uv(*arguments: str) -> None:
    subprocess.run(["uv", *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    print(build_slim_environment(Path(sys.argv[1])))
