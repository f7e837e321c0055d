"""What a network takes and gives that answers questions, and what it is taught: all its questions with each image."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgecnn.data.targets import Answers, Targets
from edgecnn.errors import UsageError
from edgecnn.models.spec import ModelSpec
from edgecnn_runtime.decoders import AnswerDecoder, OutputSpec
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.questions import PADDING, QuestionReader, TextInput, split_words, vocabulary_of

if TYPE_CHECKING:
    from edgecnn.data.samples import Samples
    from edgecnn.training.config import TrainConfig

NOT_ASKED = -1  # the class id where an image has fewer questions than others
_SIDES = frozenset({"left", "right", "leftmost", "rightmost"})
_NAME, _LENGTH = "question", 100  # words, of a model that never saw data


def any_question() -> TextInput:
    """Returns the question's input of a model that never saw data."""
    return TextInput(_NAME, _LENGTH, None)


def answers(spec: ModelSpec, num_classes: int) -> tuple[AnswerDecoder, tuple[OutputSpec, ...]]:
    """Returns the decoder and the output of a network with one logit an answer."""
    del spec
    decoder = AnswerDecoder()
    return decoder, (OutputSpec(decoder.output, (num_classes,)),)


def with_vocabulary(
    manifest: Manifest, samples: "Samples", *, config: "TrainConfig", earlier: Manifest | None
) -> Manifest:
    """Returns the manifest with the words of the train part, and as many of them as its longest question has.

    Args:
        manifest: of the model.
        samples: the train part.
        config: of the training.
        earlier: of a run that goes on, which read the same data.

    Raises:
        UsageError: images are to be mirrored, and questions or answers speak of left and right.
    """
    del earlier
    texts = [asked.text for asked in _asked(samples.targets).every()]
    longest = max(len(split_words(text)) for text in texts)
    text = TextInput(_NAME, longest, vocabulary_of(texts))
    said = {*(text.vocabulary or ()), *vocabulary_of(samples.labels)}
    if "flip" in config.augment and (sides := sorted(said & _SIDES)):
        raise UsageError(
            f"--augment flip: expected questions and answers that a mirrored image keeps, received some with the words "
            f"{', '.join(sides)}. Leave flip out"
        )
    return replace(manifest, inputs=(manifest.image_input, text))


def arrays(
    targets: Targets,
    placements: Sequence[Placement],
    image_size: tuple[int, int] | None = None,
    *,
    text: TextInput,
) -> dict[str, npt.NDArray[np.int32]]:
    """Returns the questions about each image and their answers, K of them, as many as the image with the most has.

    Args:
        targets: of N images.
        placements: N; a question is about the whole image.
        image_size: of the input, likewise.
        text: of the manifest, whose words the questions are read by.

    Returns:
        "questions", (N, K, length) int32, and "class_ids", (N, K) int32, `NOT_ASKED` behind an image's last question.
    """
    del placements, image_size
    images = _asked(targets).images
    most, read = max(map(len, images)), QuestionReader(text)
    questions = np.full((len(images), most, text.length), PADDING, np.int32)
    class_ids = np.full((len(images), most), NOT_ASKED, np.int32)
    known: dict[str, npt.NDArray[np.int32]] = {}  # data ask the same again and again
    for index, image in enumerate(images):
        for number, asked in enumerate(image):
            if asked.text not in known:
                known[asked.text] = read(asked.text).ids[0]
            questions[index, number], class_ids[index, number] = known[asked.text], asked.class_id
    return {"questions": questions, "class_ids": class_ids}


def _asked(targets: Targets) -> Answers:
    if not isinstance(targets, Answers):
        raise TypeError(f"targets: expected questions, received {type(targets).__name__}")
    return targets
