import numpy as np
import pytest
from PIL import Image

from edgecnn.errors import WriteError
from edgecnn.tasks.classification.metric import score_answers
from edgecnn.tasks.classification.pictures import draw_confusion_matrix
from edgecnn.training.curves import draw_curves
from edgecnn.training.history import EpochMetrics


def random_evaluation(classes, labels=None):
    true, answered = np.random.default_rng(0).integers(0, classes, (2, 200))
    return score_answers(true, answered, num_classes=classes, labels=labels)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_draw_confusion_matrix_writes_a_png(tmp_path, classes):
    draw_confusion_matrix(random_evaluation(classes), tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as image:
        assert image.format == "PNG"
        assert min(image.size) >= 400


def test_draw_confusion_matrix_draws_what_differs(tmp_path):
    true = np.array([0, 0, 1, 1])
    for name, answered in (("right", true), ("wrong", 1 - true)):
        draw_confusion_matrix(score_answers(true, answered, num_classes=2, labels=None), tmp_path / f"{name}.png")
    assert (tmp_path / "right.png").read_bytes() != (tmp_path / "wrong.png").read_bytes()


def test_draw_confusion_matrix_takes_labels_as_plain_text(tmp_path):
    draw_confusion_matrix(random_evaluation(3, ("$x", "a_b$", "{\\frac}$")), tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").exists()


def test_draw_confusion_matrix_names_the_file_when_it_cannot_be_written(tmp_path):
    with pytest.raises(WriteError, match=r"cannot write \S*/missing/confusion\.png"):
        draw_confusion_matrix(random_evaluation(2), tmp_path / "missing" / "confusion.png")


@pytest.mark.parametrize("held_out", [True, False])
def test_draw_curves_draws_a_line_for_what_is_learned_and_one_for_what_is_held_out(tmp_path, monkeypatch, held_out):
    parts = [(0.5, {"accuracy": 0.25}), (0.75, {"accuracy": 0.375})] if held_out else [(), ()]
    history = [EpochMetrics(n, 1 / n, {"accuracy": 0.5 * n}, *part) for n, part in enumerate(parts, 1)]
    draw_curves(history, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG"
    drawn = []
    monkeypatch.setattr("edgecnn.training.curves.save_figure", lambda figure, *_, **__: drawn.append(figure))
    draw_curves(history, tmp_path)
    assert lines_of(drawn[0]) == {
        "loss": {"train": [1.0, 0.5], **({"validation": [0.5, 0.75]} if held_out else {})},
        "accuracy": {"train": [0.5, 1.0], **({"validation": [0.25, 0.375]} if held_out else {})},
    }


def lines_of(figure):
    return {
        axis.get_ylabel(): {line.get_label(): list(line.get_ydata()) for line in axis.lines} for axis in figure.axes
    }


def test_draw_curves_gives_a_panel_to_what_only_the_held_out_part_is_scored_by(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("edgecnn.training.curves.save_figure", lambda figure, *_, **__: drawn.append(figure))
    held_out = [(0.5, {"ap50": 0.25, "mean_iou": 0.5}), (0.4, {"ap50": 0.75, "mean_iou": 0.6})]
    draw_curves([EpochMetrics(n, 1.0, {"mean_iou": 0.125}, *part) for n, part in enumerate(held_out, 1)], tmp_path)
    assert lines_of(drawn[0]) == {
        "loss": {"train": [1.0, 1.0], "validation": [0.5, 0.4]},
        "mean_iou": {"train": [0.125, 0.125], "validation": [0.5, 0.6]},
        "ap50": {"validation": [0.25, 0.75]},
    }
