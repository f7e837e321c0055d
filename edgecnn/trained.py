"""Opening what training left: a run folder, or a .keras file with its manifest beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.errors import UsageError
from edgecnn.models.keras_archive import check_archive
from edgecnn.training import RunFolder
from edgecnn_runtime import Manifest
from edgecnn_runtime.errors import ManifestError

if TYPE_CHECKING:
    import keras


def open_trained(path: str | Path) -> tuple[keras.Model, Manifest]:
    """Loads a model and its manifest.

    Args:
        path: a run folder, or a .keras file with a manifest.json beside it.

    Raises:
        RunFolderError: the run folder is damaged or not finished.
        KerasFileError: the .keras file is refused.
        UsageError: the .keras file has no manifest beside it.
        ManifestError: the manifest is damaged, or not that of the model.
    """
    from edgecnn.models.adapter import check_manifest  # these load Keras, which a wrong path need not wait for
    from edgecnn.models.loading import load_keras

    path, manifest = Path(path), check_trained(path)
    model = load_keras(RunFolder.open(path).model_path if os.path.isdir(path) else path)  # noqa: PTH112
    check_manifest(model, manifest)
    return model, manifest


def check_trained(path: str | Path, given: Path | None = None) -> Manifest:
    """Reads the manifest of a trained model, and refuses what can be refused before Keras is loaded.

    Args:
        path: a run folder or a .keras file.
        given: the manifest of a .keras file; None takes the manifest.json beside it.

    Raises:
        RunFolderError: the run folder is damaged or not finished.
        KerasFileError: the .keras file is missing, damaged, or holds what can run code.
        UsageError: the .keras file has no manifest.
        ManifestError: the manifest is damaged.
    """
    path = Path(path)
    if not os.path.isdir(path):  # noqa: PTH112  (Path raises on a long name)
        check_archive(path)
        return read_manifest(path, given)
    run = RunFolder.open(path)
    check_archive(run.model_path)
    return run.manifest


def read_manifest(model: Path, given: Path | None = None) -> Manifest:
    """Reads the manifest of a .keras file.

    Args:
        model: the .keras file.
        given: its manifest; None takes the manifest.json beside it.

    Raises:
        UsageError: it is missing or cannot be read.
        ManifestError: it is damaged.
    """
    path = given or model.with_name("manifest.json")
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{model}: a .keras file needs its manifest: {path} cannot be read ({error}). Put the manifest.json of its "
            "run folder there."
        ) from error
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error
