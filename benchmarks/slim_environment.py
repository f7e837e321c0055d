"""An environment as a device has it: the built wheels `edgecnn` and `edgecnn-runtime[cpu]`, nothing that trains.

    python benchmarks/slim_environment.py FOLDER [EXTRA]

prints the path of the environment's Python; another extra than `cpu` brings its packages too. The footprint benchmark
and the packaging test both start from here.
"""

import sys
from importlib.metadata import version
from pathlib import Path

from environment import build_environment, uv

# Measured and tested with the versions of this environment, whatever is newest today.
PINNED = ("numpy", "pillow", "onnxruntime", "typer", "rich")


def build_slim_environment(folder: Path, extra: str = "cpu") -> Path:
    """Builds the two wheels and installs them into a fresh environment.

    Args:
        folder: for the wheels and the environment; made if missing.
        extra: of edgecnn; one that brings ONNX Runtime.

    Returns:
        The path of the environment's Python.
    """
    wheels = folder / "wheels"
    for package in ("edgecnn", "edgecnn-runtime"):
        uv("build", "--wheel", "--package", package, "--out-dir", str(wheels))
    toolchain, runtime = (next(wheels.glob(f"{name}-*.whl")).resolve() for name in ("edgecnn", "edgecnn_runtime"))
    return build_environment(
        folder / "environment",
        f"edgecnn[{extra}] @ {toolchain.as_uri()}",
        f"edgecnn-runtime @ {runtime.as_uri()}",
        *(f"{package}=={version(package)}" for package in PINNED),
    )


if __name__ == "__main__":
    print(build_slim_environment(Path(sys.argv[1]), *sys.argv[2:]))
