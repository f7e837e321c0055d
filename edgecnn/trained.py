"""Opening what training left: a run folder, or a .keras file with its manifest beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.errors import UsageError
from edgecnn.models.keras_archive import check_archive
from edgecnn.training import RunFolder
from edgecnn_runtime import Manifest
from edgecnn_runtime.errors import ManifestError

if TYPE_CHECKING:
    import keras

    from edgecnn.training.record import RunRecord


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model that is judged and not loaded yet.

    Attributes:
        model_path: the .keras file.
        manifest: of the model.
        record: of the run; None for a .keras file.
    """

    model_path: Path
    manifest: Manifest
    record: RunRecord | None

    def load(self) -> keras.Model:
        """Returns the model.

        Raises:
            KerasFileError: the file is refused.
            ManifestError: the manifest is not that of the model.
        """
        from edgecnn.models.adapter import check_manifest  # these load Keras, which a wrong path need not wait for
        from edgecnn.models.loading import load_keras

        model = load_keras(self.model_path)
        check_manifest(model, self.manifest)
        return model


def open_trained(path: str | Path, manifest: Path | None = None) -> Trained:
    """Reads all but the model, and refuses what can be refused before Keras is loaded.

    Args:
        path: a run folder or a .keras file.
        manifest: of a .keras file; None takes the manifest.json beside it.

    Raises:
        RunFolderError: the run folder is damaged or not finished.
        KerasFileError: the .keras file is missing, damaged, or holds what can run code.
        UsageError: the .keras file has no manifest.
        ManifestError: the manifest is damaged.
    """
    path = Path(path)
    if not os.path.isdir(path):  # noqa: PTH112  (Path raises on a long name)
        check_archive(path)
        return Trained(path, _read_manifest(path, manifest or path.with_name("manifest.json")), None)
    run = RunFolder.open(path)
    check_archive(run.model_path)
    return Trained(run.model_path, run.manifest, run.record)


def _read_manifest(model: Path, path: Path) -> Manifest:
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{model}: a .keras file needs its manifest: {path} cannot be read ({error}). Put the manifest.json of its "
            "run folder there."
        ) from error
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error
