"""Training a documented model into a run folder, and reading the folder back."""

from edgecnn.training.config import DEFAULT_LEARNING_RATES, TrainConfig
from edgecnn.training.history import EpochMetrics
from edgecnn.training.progress import Progress
from edgecnn.training.run_folder import RunFolder, is_run_folder
from edgecnn.training.train import TrainResult, check_before_training, train

__all__ = [
    "DEFAULT_LEARNING_RATES",
    "EpochMetrics",
    "Progress",
    "RunFolder",
    "TrainConfig",
    "TrainResult",
    "check_before_training",
    "is_run_folder",
    "train",
]
