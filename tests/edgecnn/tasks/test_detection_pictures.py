"""What the pictures show: lines and bars by their numbers, marks by their pixels."""

import numpy as np
import pytest
from detections import Decoder, Detections, DetectorManifest, random_scenes
from PIL import Image

from edgecnn.data.samples import Samples
from edgecnn.data.targets import Boxes, Objects
from edgecnn.evaluation.pictures import WORST, Answered, EvaluationPictures
from edgecnn.tasks.detection import pictures
from edgecnn.tasks.detection.metric import AveragePrecision
from edgecnn.tasks.detection.operating_points import find_operating_points
from edgecnn.tasks.table import TASKS
from edgecnn_runtime.fonts import Typeface

GREEN, ORANGE, RED, GRAY = (40, 160, 70), (255, 140, 0), (220, 30, 40), (150, 150, 150)


def evaluated(found, truths, **options):
    metric = AveragePrecision(DetectorManifest(**options))
    metric.update(found, truths)
    return metric.evaluation()


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a picture and returns its axes before it is written."""
    kept = {}
    monkeypatch.setattr(pictures, "save_figure", lambda figure, path: kept.update({path.name: figure.axes[0]}))

    def draw(evaluation):
        pictures.draw_pictures(evaluation, tmp_path)
        return kept

    return draw


def lines_of(axes):
    return {line.get_label(): np.stack(line.get_data()) for line in axes.lines}


def test_precision_recall_has_a_line_a_class_and_their_mean_whose_area_is_ap50(drawn):
    evaluation = evaluated(*random_scenes(2, images=30))
    axes = drawn(evaluation)["precision_recall.png"]
    lines = lines_of(axes)
    assert list(lines) == ["cat", "dog", "owl", "mean"]  # no image shows an elk
    for label, curve in zip(("cat", "dog", "owl"), evaluation.curves, strict=False):
        assert lines[label].tolist() == [curve.recall.tolist(), curve.precision.tolist()]
    assert lines["mean"][1].mean() == pytest.approx(evaluation.ap50)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall", "precision")
    assert f"AP50 {evaluation.ap50:.4f}" in axes.get_title()


def test_f1_is_drawn_at_each_threshold_with_a_point_at_the_best(drawn):
    evaluation = evaluated(*random_scenes(2, images=30))
    axes = drawn(evaluation)["f1.png"]
    (line,) = [line for line in axes.lines if line.get_label() == "dog"]
    x, y = line.get_data()
    for threshold, f1 in zip(x.tolist(), y.tolist(), strict=True):
        assert f1 == evaluation.curves[1].at(threshold).f1
    assert line.get_drawstyle() == "steps-post"
    assert x.tolist() == sorted(x.tolist(), reverse=True)
    marks = [tuple(float(part[0]) for part in line.get_data()) for line in axes.lines if line.get_marker() == "o"]
    points = find_operating_points(evaluation.curves)
    assert marks == [(point.score, evaluation.curves[point.class_id].at(point.score).f1) for point in points]
    assert marks[1][1] == y.max()


def test_ap_has_two_bars_a_class_in_the_order_of_the_model(drawn):
    evaluation = evaluated(*random_scenes(2, images=30))
    axes = drawn(evaluation)["ap.png"]
    ap50, ap50_95 = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert ap50 == [entry.ap50 for entry in evaluation.per_class[:3]]
    assert ap50_95 == [entry.ap50_95 for entry in evaluation.per_class[:3]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    assert axes.yaxis_inverted()


def test_many_classes_are_lines_in_gray_without_names(drawn):
    found, truths = random_scenes(7, images=60, classes=15)
    evaluation = evaluated(found, truths, labels=None, num_classes=15)
    axes = drawn(evaluation)["precision_recall.png"]
    assert [line.get_color() for line in axes.lines] == ["gray"] * 14 + ["black"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mean"]


@pytest.mark.parametrize("empty", [False, True])
def test_draw_pictures_writes_pngs_whatever_the_names(tmp_path, empty):
    labels = ("$x", "a_b$", "{\\frac}$", "\x1b\n")
    found, truths = ([Detections.of()], [Objects.of([], [])]) if empty else random_scenes(1)
    pictures.draw_pictures(evaluated(found, truths, labels=labels), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(TASKS["detection"].picture_names)
    for name in ("precision_recall.png", "ap.png", "f1.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
            picture.load()


# The sheet of the worst images

LOST, TAKEN, HARD, NOWHERE = (10, 60, 40, 90), (60, 60, 90, 100), (110, 60, 140, 90), (110, 110, 150, 118)
TRUTH = Objects.of([LOST, TAKEN, HARD], [0, 1, 1], difficult=[False, False, True])
FOUND = Detections.of((1, 0.9, TAKEN), (1, 0.8, HARD), (0, 0.7, NOWHERE), (0, 0.01, LOST))


def samples_of(*objects):
    return Samples(
        np.zeros((len(objects), 120, 160, 3), np.uint8), Boxes(objects), ("dog", "cat", "owl", "elk"), "test"
    )


def edge_of(cell, box):
    """The colour of a box's left edge, in a cell that shows 160 x 120 twice as large."""
    return cell.picture.getpixel((2 * box[0] + 1, box[1] + box[3]))


def test_marked_cells_show_what_was_missed_and_what_is_false():
    data = Objects.of(TRUTH.boxes.tolist(), [1, 0, 0], difficult=[False, False, True])  # dog stands first in the data
    answered = Answered(0, 0.5, FOUND)
    wanted, given = pictures.marked_cells(DetectorManifest(), samples_of(data), answered, typeface=Typeface())
    assert [edge_of(wanted, box) for box in (LOST, TAKEN, HARD, NOWHERE)] == [ORANGE, GREEN, GRAY, (0, 0, 0)]
    assert [edge_of(given, box) for box in (LOST, TAKEN, HARD, NOWHERE)] == [(0, 0, 0), GREEN, GRAY, RED]
    assert (wanted.caption, given.caption) == ("1 of 2 missed: 0", "1 of 2 answers false, F1 0.5000")


def test_marked_cells_go_by_the_threshold_of_each_class():
    samples, answered = samples_of(TRUTH), Answered(0, 0.5, FOUND)
    manifest = DetectorManifest(("dog", "cat", "owl", "elk"), Decoder(0.005))
    wanted, given = pictures.marked_cells(manifest, samples, answered, typeface=Typeface())
    assert (edge_of(wanted, LOST), edge_of(given, LOST)) == (GREEN, GREEN)
    assert wanted.caption == "0 of 2 missed: 0"


def test_an_evaluation_draws_its_worst_images_as_the_row_of_the_task_says(tmp_path, monkeypatch):
    row = TASKS["localization"]
    place = "edgecnn.tasks.detection.pictures:"
    changed = type(row)(
        **{name: getattr(row, name) for name in row.__dataclass_fields__}
        | {"worst_cells": f"{place}marked_cells", "pictures": f"{place}draw_pictures"}
    )
    monkeypatch.setattr("edgecnn.evaluation.pictures.TASKS", {"detection": changed})
    samples = samples_of(TRUTH, Objects.of([], []))
    manifest = DetectorManifest(samples.labels)
    metric, drawn = AveragePrecision(manifest), EvaluationPictures(tmp_path / "new", Typeface())
    results = [FOUND, Detections.of()]
    metric.update(results, list(samples.targets.images))
    drawn.worst.add(np.arange(2), results, metric.image_scores())
    drawn.draw(manifest, samples, metric.evaluation())
    assert {path.name for path in (tmp_path / "new").iterdir()} == {WORST, "precision_recall.png", "ap.png", "f1.png"}
    with Image.open(tmp_path / "new" / WORST) as sheet:
        colors = {color for _, color in sheet.getcolors(10**6)}
    assert {ORANGE, GREEN, RED, GRAY} <= colors
