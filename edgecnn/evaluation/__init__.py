"""Scoring a model's answers over labelled images."""

from edgecnn.evaluation.evaluate import class_map, evaluate
from edgecnn.evaluation.metrics import ClassMetrics, Evaluation, score_answers
from edgecnn.evaluation.pictures import draw_confusion_matrix

__all__ = ["ClassMetrics", "Evaluation", "class_map", "draw_confusion_matrix", "evaluate", "score_answers"]
