"""Pictures of classification: the confusion matrix."""

from pathlib import Path

from edgecnn.evaluation.confusion import draw_confusion
from edgecnn.tasks.classification.metric import ClassificationEvaluation


def draw_pictures(evaluation: ClassificationEvaluation, folder: Path) -> None:
    """Writes confusion.png into a folder; as the task's row says."""
    draw_confusion_matrix(evaluation, folder / "confusion.png")


def draw_confusion_matrix(evaluation: ClassificationEvaluation, path: str | Path) -> None:
    """Draws how many images of each true class (row) were put into which class (column).

    Args:
        evaluation: of a classifier.
        path: of the PNG to write.

    Raises:
        WriteError: the file cannot be written.
    """
    draw_confusion(
        evaluation.confusion,
        evaluation.per_class,
        path,
        title=f"accuracy {evaluation.accuracy:.4f} on {evaluation.images} images",
        told=lambda images, _: str(images),
    )
