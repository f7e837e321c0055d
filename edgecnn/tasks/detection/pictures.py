"""Pictures of detection: precision against recall, AP by class, F1 against the threshold, and an image's faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell, boxed
from edgecnn.evaluation.evaluate import class_map
from edgecnn.evaluation.pictures import Answered
from edgecnn.figures import make_figure, plain, save_figure
from edgecnn.tasks.detection.curves import COCO_RECALLS, Curve, precision_at
from edgecnn.tasks.detection.matching import FALSE, PASSED, RIGHT, find_faults
from edgecnn.tasks.detection.metric import ClassMetrics, DetectionEvaluation, shown
from edgecnn.tasks.detection.operating_points import find_operating_points
from edgecnn_runtime.drawing import Color
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.images import open_image
from edgecnn_runtime.manifest import Manifest

_MOST_NAMED = 10  # classes in a legend; matplotlib has so many colours
_MOST_POINTS = 2000  # of a line
_BAR = 0.35  # inches that a class takes
_TALLEST = 40.0  # inches
_FOUND, _MISSED, _FALSE, _PASSED = (40, 160, 70), (255, 140, 0), (220, 30, 40), (150, 150, 150)
_COLORS: dict[int, Color] = {RIGHT: _FOUND, FALSE: _FALSE, PASSED: _PASSED}


def draw_pictures(evaluation: DetectionEvaluation, folder: Path) -> None:
    """Writes precision_recall.png, ap.png and f1.png into a folder; as the task's row says.

    Raises:
        WriteError: a file cannot be written.
    """
    draw_precision_recall(evaluation, folder / "precision_recall.png")
    draw_average_precision(evaluation, folder / "ap.png")
    draw_f1(evaluation, folder / "f1.png")


def draw_precision_recall(evaluation: DetectionEvaluation, path: Path) -> None:
    """Draws the precision of each class against its recall as ever more is answered, and in black their mean.

    The mean is that of the highest precision to come, as AP has it. Classes without objects have no line.

    Raises:
        WriteError: the file cannot be written.
    """
    mean = [precision_at(curve, COCO_RECALLS) for curve in evaluation.curves if curve.truths]
    figure = make_figure((7, 5.5), layout="constrained")
    axes = figure.subplots()
    _draw_classes(evaluation, lambda curve, style: _line(axes, curve.recall, curve.precision, style))
    if len(mean) > 1:
        _line(axes, COCO_RECALLS, np.mean(mean, axis=0), {"color": "black", "label": "mean"})
    _finish(axes, evaluation, "recall", "precision")
    save_figure(figure, path)


def draw_f1(evaluation: DetectionEvaluation, path: Path) -> None:
    """Draws F1 of each class against the score from which on is answered, with a point at the best threshold.

    Raises:
        WriteError: the file cannot be written.
    """
    figure = make_figure((7, 5.5), layout="constrained")
    axes = figure.subplots()

    def draw(curve: Curve, style: dict[str, Any]) -> None:
        taken = curve.ends
        _line(axes, curve.scores[taken], curve.f1[taken], {**style, "drawstyle": "steps-post"})  # from right to left
        for point in find_operating_points([curve]):
            axes.plot([point.score], [curve.at(point.score).f1 or 0.0], **{**style, "marker": "o", "label": None})

    _draw_classes(evaluation, draw)
    _finish(axes, evaluation, "score threshold", "F1")
    save_figure(figure, path)


def draw_average_precision(evaluation: DetectionEvaluation, path: Path) -> None:
    """Draws AP50 and AP50:95 of each class that has objects, in the model's order.

    Raises:
        WriteError: the file cannot be written.
    """
    entries = [entry for entry in evaluation.per_class if entry.ap50 is not None]
    figure = make_figure((7, min(1.5 + _BAR * max(len(entries), 2), _TALLEST)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(entries))
    for name, color, values in (
        ("AP50", "tab:blue", [entry.ap50 for entry in entries]),
        ("AP50:95", "tab:orange", [entry.ap50_95 for entry in entries]),
    ):
        offset = 0.2 if name == "AP50:95" else -0.2
        axes.barh(places + offset, [value or 0.0 for value in values], height=0.4, color=color, label=name)
    axes.set_yticks(places, [_name(entry) for entry in entries])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("average precision")
    axes.set_title(_title(evaluation))
    if entries:
        axes.legend(loc="lower right")
    save_figure(figure, path)


def marked_cells(manifest: Manifest, samples: Samples, answered: Answered, *, typeface: Typeface) -> tuple[Cell, Cell]:
    """Returns an image with what is to be found, and the same one with what the device answers; as the row says.

    Found objects and right answers are green, missed objects orange, false answers red; gray is what is neither counted
    nor blamed: crowds, difficult objects, and answers there.

    Args:
        manifest: of the model.
        samples: the part that was evaluated, with boxes.
        answered: one of its images.
        typeface: draws the letters.
    """
    decoder: Any = manifest.decoder
    (truth,) = samples.targets.subset(np.array([answered.position])).truths(class_map(manifest, samples))
    kept = shown(answered.result, decoder.thresholds(manifest.num_classes))
    given = _Given(answered.result.boxes[kept], answered.result.scores[kept], answered.result.class_ids[kept])
    verdicts, missed = find_faults(given, truth)
    names = (
        [f"class {number}" for number in range(manifest.num_classes)] if manifest.labels is None else manifest.labels
    )
    image = open_image(samples.sources[answered.position]).convert("RGB")
    passed = truth.crowd | truth.difficult
    marks = [_PASSED if over else _MISSED if lost else _FOUND for over, lost in zip(passed, missed, strict=True)]
    said = [names[class_id] if lost else "" for class_id, lost in zip(truth.class_ids, missed, strict=True)]
    told = [
        f"{names[class_id]} {score:.2f}" if verdict == FALSE else ""
        for class_id, score, verdict in zip(given.class_ids, given.scores, verdicts, strict=True)
    ]
    source = samples.sources[answered.position]
    name = source.name if isinstance(source, Path) else str(answered.position)
    false, counted = np.count_nonzero(verdicts == FALSE), np.count_nonzero(verdicts != PASSED)
    return (
        Cell(
            boxed(image, truth.boxes, marks, said, typeface=typeface),
            f"{missed.sum()} of {np.count_nonzero(~passed)} missed: {name}",
        ),
        Cell(
            boxed(image, given.boxes, [_COLORS[int(verdict)] for verdict in verdicts], told, typeface=typeface),
            f"{false} of {counted} answers false, F1 {answered.score:.4f}",
        ),
    )


class _Given(NamedTuple):
    """The answers that the device gives."""

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]


def _draw_classes(evaluation: DetectionEvaluation, draw: Callable[[Curve, dict[str, Any]], None]) -> None:
    """Draws a line for each class with objects: in a colour and with a name where they are few, else in gray."""
    entries = [entry for entry in evaluation.per_class if entry.support]
    few = len(entries) <= _MOST_NAMED
    for number, entry in enumerate(entries):
        style = {"color": f"C{number}", "label": _name(entry)} if few else {"color": "gray", "alpha": 0.4}
        draw(evaluation.curves[entry.class_id], style)


def _line(axes: Axes, x: npt.NDArray[Any], y: npt.NDArray[Any], style: dict[str, Any]) -> None:
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).astype(np.int64))
    axes.plot(x[chosen], y[chosen], **style)


def _finish(axes: Axes, evaluation: DetectionEvaluation, x: str, y: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.set_title(_title(evaluation))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left" if y == "precision" else "lower center")


def _title(evaluation: DetectionEvaluation) -> str:
    ap = "no objects" if evaluation.ap50 is None else f"AP50 {evaluation.ap50:.4f}, AP50:95 {evaluation.ap50_95:.4f}"
    return f"{ap} on {evaluation.images} images"


def _name(entry: ClassMetrics) -> str:
    return f"class {entry.class_id}" if entry.name is None else plain(entry.name)
