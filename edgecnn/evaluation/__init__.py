"""Scoring a model's answers over labelled images."""

from edgecnn.evaluation.evaluate import class_map, evaluate
from edgecnn.evaluation.metrics import Evaluation, TaskMetric
from edgecnn.evaluation.scoring import Scored, score_dataset

__all__ = ["Evaluation", "Scored", "TaskMetric", "class_map", "evaluate", "score_dataset"]
