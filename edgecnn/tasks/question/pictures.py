"""Pictures of answers: what is right by kind of question, and an image with what was asked about it."""

from pathlib import Path

import numpy as np

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell
from edgecnn.evaluation.evaluate import class_map
from edgecnn.evaluation.pictures import Answered
from edgecnn.figures import make_figure, plain, save_figure
from edgecnn.tasks.question.metric import AnswerEvaluation
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.images import open_image
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.tasks.question import Answer

_HEIGHT = 0.35  # inches of a bar
_MOST_KINDS = 20


def draw_pictures(evaluation: AnswerEvaluation, folder: Path) -> None:
    """Writes kinds.png into a folder: of each kind of question, what is right, with and without the picture.

    Where the evaluation was not completed by a look at blacked out pictures, nothing is said of these.

    Raises:
        WriteError: it cannot be written.
    """
    shown = (*evaluation.per_kind[:_MOST_KINDS], evaluation.every)
    places = np.arange(len(shown))[::-1]
    figure = make_figure((7, 1.5 + 3 * _HEIGHT * len(shown) / 1.5), layout="constrained")
    axis = figure.subplots()
    blind = [one.text_alone for one in shown if one.text_alone is not None]
    bars = {
        "right": [one.answer_accuracy for one in shown],
        **({"right with the picture blacked out": blind} if len(blind) == len(shown) else {}),
        "the most frequent answer": [one.most_frequent for one in shown],
    }
    for number, (name, values) in enumerate(bars.items()):
        axis.barh(places + (1 - number) * _HEIGHT / 1.5, values, height=_HEIGHT / 1.5, label=name)
    axis.set_yticks(places, [f"{plain(one.kind)} ({one.questions:,})" for one in shown])
    axis.set_xlim(0, 1)
    axis.set_xlabel("part of the questions")
    axis.set_title(f"answer accuracy {evaluation.answer_accuracy:.4f} to {evaluation.every.questions:,} questions")
    axis.legend(loc="lower left")
    save_figure(figure, folder / "kinds.png")


def asked_cells(manifest: Manifest, samples: Samples, answered: Answered, *, typeface: Typeface) -> tuple[Cell, Cell]:
    """Returns an image with its name, and the same one with the question, the true answer and the one given.

    Args:
        manifest: of the model.
        samples: the part that was evaluated, with questions.
        answered: one of the questions about its images.
        typeface: draws the letters.
    """
    source, result = samples.sources[answered.position], answered.result
    assert isinstance(result, Answer), "of models that answer questions alone"
    assert result.question is not None, "an evaluation keeps what it asked"
    (truths,) = samples.targets.subset(np.array([answered.position])).truths(class_map(manifest, samples))
    (asked,) = (one for one in truths if one.text == result.question.text)
    name = source.name if isinstance(source, Path) else str(answered.position)
    drawn = result.draw(source, limit=1, font=typeface)
    return Cell(open_image(source).convert("RGB"), name), Cell(drawn, f"true: {result.name_of(asked.class_id)}")
