"""Which extra of edgecnn brings a package, and the command that installs it; nothing heavy is imported."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

EXTRAS = {  # of what edgecnn imports and does not require
    "onnxruntime": "cpu",
    "sklearn": "evaluate",
    "scipy": "evaluate",
    "defusedxml": "evaluate",
    "yaml": "evaluate",
    "matplotlib": "evaluate",
    "tensorflow": "train",
    "keras": "train",
    "h5py": "train",
    "tensorflow_datasets": "tfds",
    "mlperf_loadgen": "loadgen",
    "cv2": "rcnn",
    "edgecnn_exporters": "export",
    "onnx": "export",
    "tf2onnx": "export",
}
_DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "tensorflow_datasets": "tensorflow-datasets",
    "mlperf_loadgen": "mlcommons-loadgen",
    "cv2": "opencv-contrib-python-headless",
}


def distribution_of(package: str) -> str:
    """Returns the name under which an imported package is installed.

    >>> distribution_of("sklearn"), distribution_of("scipy")
    ('scikit-learn', 'scipy')
    """
    return _DISTRIBUTIONS.get(package, package)


def install_command(package: str) -> str:
    """Returns the command that installs a package of `EXTRAS`, by its name in imports.

    The extra `evaluate` brings the CPU's wheel of ONNX Runtime, which clashes with the GPU's: beside that one the
    package is named alone.
    """
    if EXTRAS[package] == "evaluate" and _has("onnxruntime-gpu"):
        return f"pip install {distribution_of(package)}"
    return f'pip install "edgecnn[{EXTRAS[package]}]"'


def require(*packages: str) -> None:
    """Makes sure that packages of `EXTRAS` are installed, without importing them.

    Raises:
        MissingDependencyError: names the first that is not, and the command that installs it.
    """
    for package in packages:
        if find_spec(package) is None:
            from edgecnn.errors import MissingDependencyError  # loads the runtime, which --help must not

            raise MissingDependencyError.of(package)


def _has(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False
