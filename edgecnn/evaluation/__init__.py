"""Scoring a model's answers over labelled images."""

from edgecnn.evaluation.chance import explain_near_chance, is_near_chance
from edgecnn.evaluation.evaluate import class_map, evaluate
from edgecnn.evaluation.metrics import ClassMetrics, Evaluation, score_answers
from edgecnn.evaluation.scoring import Scored, score_dataset

__all__ = [
    "ClassMetrics",
    "Evaluation",
    "Scored",
    "class_map",
    "evaluate",
    "explain_near_chance",
    "is_near_chance",
    "score_answers",
    "score_dataset",
]
