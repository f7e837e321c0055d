"""Opening what training left: a run folder, or a .keras file with its manifest beside it."""

from pathlib import Path

import keras

from edgecnn.errors import UsageError
from edgecnn.models.adapter import check_manifest
from edgecnn.models.loading import load_keras
from edgecnn.training import RunFolder
from edgecnn_runtime import Manifest
from edgecnn_runtime.errors import ManifestError


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
    path = Path(path)
    if path.is_dir():
        run = RunFolder.open(path)
        model, manifest = load_keras(run.model_path), run.manifest
    else:
        model, manifest = load_keras(path), read_manifest(path)
    check_manifest(model, manifest)
    return model, manifest


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
