"""FILE.report.json beside a model file: where it stands, whose it is, and whether it tells of the file beside it.

An export writes it last. It holds the SHA-256 of the whole file, so that nobody takes it for another file's.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from edgecnn_runtime.errors import EdgeCNNError

_LARGEST_REPORT = 1 << 26  # bytes


def report_path(path: Path) -> Path:
    """Returns where the report of a model file stands: FILE.report.json for FILE.onnx.

    Example:
        >>> report_path(Path("runs/mnist.onnx")).name, report_path(Path("mnist.v2")).name
        ('mnist.report.json', 'mnist.v2.report.json')
    """
    return path.with_name((path.stem if path.suffix == ".onnx" else path.name) + ".report.json")


def is_report_of(report: Path, file: str) -> bool:
    """Says whether an export of a model file of that name wrote this report."""
    tree = _read(report)
    return tree is not None and tree.get("file") == file and {"passed", "parity", "evidence"} <= tree.keys()


def read_report(path: Path) -> dict[str, Any]:
    """Reads the report of a model file, once it is certain that it tells of this file.

    Args:
        path: of the model file.

    Raises:
        EdgeCNNError: there is no report, or it was written for another file, or for another content.
    """
    report = report_path(path)
    tree = _read(report) if is_report_of(report, path.name) else None
    if tree is None:
        raise EdgeCNNError(f"{report}: expected the report of {path.name}, received none. Export again.")
    if tree["passed"] and not (path.is_file() and tree.get("file_sha256") == hash_file(path)):
        raise EdgeCNNError(
            f"{report}: expected the report of the {path.name} that stands there, received one of another content: an "
            "export was ended between the two, or one of them was replaced. Export again."
        )
    return tree


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(report: Path) -> dict[str, Any] | None:
    try:
        if report.is_file() and report.stat().st_size <= _LARGEST_REPORT:
            tree = json.loads(report.read_text(encoding="utf-8"))
            return tree if isinstance(tree, dict) else None
    except (OSError, ValueError, RecursionError):
        pass
    return None
