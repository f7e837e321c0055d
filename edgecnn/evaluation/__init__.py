"""Scoring a model's answers over labelled images."""

from edgecnn.evaluation.evaluate import class_map, evaluate
from edgecnn.evaluation.metrics import Evaluation, TaskMetric
from edgecnn.evaluation.scoring import Scored, narrow, score_dataset

__all__ = ["Evaluation", "Scored", "TaskMetric", "class_map", "evaluate", "narrow", "score_dataset"]
