"""Opening what training left: a run folder, or a .keras file with its manifest beside it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgecnn.errors import UsageError
from edgecnn.models.keras_archive import check_archive
from edgecnn.training import RunFolder
from edgecnn.training.history import best_epoch
from edgecnn.training.run_folder import BEST
from edgecnn_runtime import Manifest
from edgecnn_runtime.errors import ManifestError

if TYPE_CHECKING:
    import keras

    from edgecnn.training.record import RunRecord

Checkpoint = Literal["best", "last"]

logger = logging.getLogger(__name__)  # cli/__init__.py shows its INFO too


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model that is judged and not loaded yet.

    Attributes:
        model_path: the .keras file.
        manifest: of the model.
        record: of the run; None for a .keras file.
        choice: which of a run's checkpoints it is, for people; None where there is but one.
    """

    model_path: Path
    manifest: Manifest
    record: RunRecord | None
    choice: str | None = None

    def load(self) -> keras.Model:
        """Returns the model, and says which of a run's checkpoints it is; the command line always shows that.

        Raises:
            KerasFileError: the file is refused.
            ManifestError: the manifest is not that of the model.
        """
        from edgecnn.models.adapter import check_manifest  # these load Keras, which a wrong path need not wait for
        from edgecnn.models.loading import load_keras

        if self.choice is not None:
            logger.info(self.choice)
        model = load_keras(self.model_path)
        check_manifest(model, self.manifest)
        return model


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
        reason = "nothing was held out to choose the best epoch by. Leave it out, or train with --validation"
    else:
        reason = f"{BEST} is missing: the run was made before there was one, or it was removed. Leave it out"
    return UsageError(f"--checkpoint best: expected a run that kept its best epoch, received {run.path}: {reason}.")


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
