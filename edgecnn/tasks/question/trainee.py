"""How a model that answers questions is taught: it sees an image once, with all questions about it."""

import keras

from edgecnn.models.spec import ModelSpec
from edgecnn.models.vqa import of_many_questions
from edgecnn.tasks.question.losses import AnswerCrossentropy, AnsweredRight
from edgecnn.training.config import TrainConfig
from edgecnn.training.trainee import Trainee
from edgecnn_runtime.manifest import Manifest


def trainee(model: keras.Model, spec: ModelSpec, manifest: Manifest, config: TrainConfig) -> Trainee:
    """Returns the model for many questions with its cross-entropy; the part that is answered right is watched.

    Args:
        model: from `build_model`.
        spec: its catalogue row.
        manifest: of the model.
        config: the options of the training.
    """
    del spec, config
    output = manifest.decoder.output
    return Trainee(
        of_many_questions(model),
        {output: AnswerCrossentropy()},
        {output: 1.0},
        {output: [AnsweredRight(name="answer_accuracy")]},
        lambda arrays, _: {output: arrays["class_ids"]},
        watched="answer_accuracy",
    )
