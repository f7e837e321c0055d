"""An environment as a device has it: the built wheels `edgecnn` and `edgecnn-runtime[cpu]`, nothing that trains.

    python benchmarks/slim_environment.py FOLDER

prints the path of the environment's Python. The footprint benchmark and the packaging test both start from here.
"""

import sys
from importlib.metadata import version
from pathlib import Path

from environment import build_environment, uv

# Measured and tested with the versions of this environment, whatever is newest today.
PINNED = ("numpy", "pillow", "onnxruntime", "typer", "rich")


def build_slim_environment(folder: Path) -> Path:
    """Builds the two wheels and installs them into a fresh environment.

    Args:
        folder: for the wheels and the environment; made if missing.

    Returns:
        The path of the environment's Python.
    """
    wheels = folder / "wheels"
    for package in ("edgecnn", "edgecnn-runtime"):
        uv("build", "--wheel", "--package", package, "--out-dir", str(wheels))
    runtime = next(wheels.glob("edgecnn_runtime-*.whl"))
    return build_environment(
        folder / "environment",
        str(next(wheels.glob("edgecnn-*.whl"))),
        f"edgecnn-runtime[cpu] @ {runtime.resolve().as_uri()}",
        *(f"{package}=={version(package)}" for package in PINNED),
    )


if __name__ == "__main__":
    print(build_slim_environment(Path(sys.argv[1])))
