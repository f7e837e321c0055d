"""The pictures of a run: what its best weights make of the held-out part, as `evaluate --save` draws it."""

import logging
from collections.abc import Callable
from pathlib import Path

from edgecnn.atomic import writing
from edgecnn.data.samples import Samples
from edgecnn.evaluation.evaluate import evaluate
from edgecnn.evaluation.pictures import EvaluationPictures
from edgecnn.models.adapter import KerasModel
from edgecnn.models.loading import load_keras
from edgecnn.training.run_folder import PICTURES, UNFINISHED
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.whole_files import publish, workplace

logger = logging.getLogger(__name__)


def draw_held_out(
    run_dir: Path, model_path: Path, manifest: Manifest, samples: Samples, *, on_batch: Callable[[int, int], None]
) -> None:
    """Answers the held-out images once, and puts what is drawn of that into a run folder, in the place of earlier ones.

    A run is worth more than its pictures: what goes wrong is a warning.

    Args:
        run_dir: of a run that is not finished yet.
        model_path: of the weights that are taken by default.
        manifest: of the model.
        samples: the held-out images, which can be decoded.
        on_batch: called with (images done, images in all).
    """
    try:
        for name in PICTURES:
            (run_dir / name).unlink(missing_ok=True)
        with writing(run_dir / UNFINISHED), workplace(run_dir / UNFINISHED) as place:
            pictures = EvaluationPictures(place / "pictures", Typeface())
            model = KerasModel(load_keras(model_path), manifest)
            evaluation = evaluate(model, manifest, samples, on_batch=on_batch, worst=pictures.worst)
            pictures.draw(manifest, samples, evaluation)
            for drawn in sorted((place / "pictures").iterdir()):
                publish(drawn, run_dir / drawn.name)
        if pictures.warning is not None:
            logger.warning(pictures.warning)
    except Exception as error:  # noqa: BLE001  (of any library that draws or answers; the weights are trained)
        logger.warning(
            "the pictures of the held-out part could not be drawn: %s: %s. The run is whole without them, and "
            "`edgecnn evaluate %s --data … --save DIR` draws such",
            *(type(error).__name__, error, run_dir),
        )
