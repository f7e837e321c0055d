"""Opening what training or an adoption left: a run folder, or a .keras file with its manifest beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgecnn.adopting.model_file import import_modules
from edgecnn.adopting.record import AdoptionRecord, read_adoption
from edgecnn.errors import UsageError
from edgecnn.models.keras_archive import check_archive
from edgecnn.outputs import is_adopted
from edgecnn.training import RunFolder
from edgecnn.training.history import best_epoch
from edgecnn.training.run_folder import BEST, MODEL, read_manifest
from edgecnn_runtime import Manifest
from edgecnn_runtime.errors import ManifestError

if TYPE_CHECKING:
    import keras

    from edgecnn.adopting.original import OriginalModel
    from edgecnn.training.record import DataRecord, RunRecord

Checkpoint = Literal["best", "last"]

logger = logging.getLogger(__name__)  # cli/__init__.py shows its INFO too


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model that is judged and not loaded yet.

    Attributes:
        model_path: the .keras file.
        manifest: of the model.
        record: of the run; None for a .keras file and for a model that was adopted.
        choice: which of a run's checkpoints it is, for people; None where there is but one.
        adoption: of a model that was adopted; else None.
    """

    model_path: Path
    manifest: Manifest
    record: RunRecord | None
    choice: str | None = None
    adoption: AdoptionRecord | None = None

    @property
    def data(self) -> DataRecord | None:
        """What it was trained on or, where it was adopted, scored on; None where that is not known."""
        return self.adoption.data if self.adoption is not None else None if self.record is None else self.record.data

    @property
    def trained_on(self) -> str | None:
        """The fingerprint of the data that it was trained on; None where that is not known."""
        return None if self.record is None else self.record.data.fingerprint

    def load(self, imports: Sequence[str] = ()) -> keras.Model:
        """Returns the model, and says which of a run's checkpoints it is; the command line always shows that.

        Args:
            imports: modules with layers of somebody's own, whose code is run first.

        Raises:
            KerasFileError: the file is refused.
            ManifestError: the manifest is not that of the model.
            UsageError: it needs the code of a module that is not named, or cannot be imported.
        """
        from edgecnn.models.adapter import check_manifest  # these load Keras, which a wrong path need not wait for
        from edgecnn.models.loading import load_keras

        self.check_imports(imports)
        if self.choice is not None:
            logger.info(self.choice)
        import_modules(imports)
        model = load_keras(self.model_path)
        check_manifest(model, self.manifest)
        return model

    def check_imports(self, imports: Sequence[str]) -> None:
        """Refuses to go on without the modules that the model's own layers are in.

        Raises:
            UsageError: names the option.
        """
        needed = () if self.adoption is None else self.adoption.adopted.imports
        if needed and not imports:
            options = " ".join(f"--import {module}" for module in needed)
            raise UsageError(
                f"{self.model_path.parent}: its layers are code of somebody's own, which is run only where that is "
                f"asked for: give {options}, as it was adopted."
            )

    def original(self) -> OriginalModel | None:
        """Returns the model as it came, on its own inputs, where it was adopted; call `load` first.

        Raises:
            KerasFileError: the copy of the file that it came in is damaged.
        """
        if self.adoption is None:
            return None
        from edgecnn.adopting.original import open_original  # loads Keras

        return open_original(self.adoption, self.model_path.parent, self.manifest)


def open_trained(path: str | Path, manifest: Path | None = None, *, checkpoint: Checkpoint | None = None) -> Trained:
    """Reads all but the model, and refuses what can be refused before Keras is loaded.

    Args:
        path: a run folder or a .keras file.
        manifest: of a .keras file; None takes the manifest.json beside it.
        checkpoint: of a run folder: the weights after the epoch that its held-out part was scored best after, or the
            last ones; None takes the best where they were kept.

    Raises:
        RunFolderError: the run folder is damaged or not finished.
        KerasFileError: the .keras file is missing, damaged, or holds what can run code.
        UsageError: the .keras file has no manifest, or no checkpoints to choose from; the run kept no best weights.
        ManifestError: the manifest is damaged.
    """
    path = Path(path)
    if not os.path.isdir(path):  # noqa: PTH112  (Path raises on a long name)
        if checkpoint is not None:
            raise UsageError(f"--checkpoint: it cannot take effect on {path}, which is no run folder. Leave it out.")
        check_archive(path)
        return Trained(path, _read_manifest(path, manifest or path.with_name("manifest.json")), None)
    if is_adopted(path):
        if checkpoint is not None:
            raise UsageError(f"--checkpoint: it cannot take effect on {path}, which was adopted. Leave it out.")
        adoption = read_adoption(path)
        check_archive(path / MODEL)
        adoption.model_file(path).read_config()
        return Trained(path / MODEL, read_manifest(path), None, adoption=adoption)
    run = RunFolder.open(path)
    best = run.best_epoch
    if checkpoint == "best" and best is None:
        raise _no_best_error(run)
    model_path = run.model_path if best is None or checkpoint == "last" else run.best_path
    check_archive(model_path)
    return Trained(model_path, run.manifest, run.record, None if best is None else _choice(run, model_path, best))


def _choice(run: RunFolder, taken: Path, best: int) -> str:
    """Says which checkpoint is taken, what it scored, and how to take the other one."""
    epochs = len(run.history)
    epoch = epochs if taken == run.model_path else best
    metrics = run.history[epoch - 1]
    score = f"val {metrics.val_watched} {metrics.val_metrics[metrics.val_watched]:.4f}"
    if best == epochs:
        return f"taking {taken.name}, epoch {epoch} of {epochs}, the last and the best: {score}"
    other = "--checkpoint last takes the last" if epoch == best else f"--checkpoint best takes epoch {best}"
    return f"taking {taken.name}, epoch {epoch} of {epochs}: {score}; {other}"


def _no_best_error(run: RunFolder) -> UsageError:
    if best_epoch(run.history) is None:
        reason = "nothing was held out to choose the best epoch by. Leave it out, or train without --validation 0"
    else:
        reason = f"{BEST} is missing: the run was made before there was one, or it was removed. Leave it out"
    return UsageError(f"--checkpoint best: expected a run that kept its best epoch, received {run.path}: {reason}.")


def _read_manifest(model: Path, path: Path) -> Manifest:
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{model}: a .keras file needs its manifest: {path} cannot be read ({error}). Put the manifest.json of its "
            f"run folder there, or make one of a model of your own: edgecnn adopt {model}"
        ) from error
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error
