"""`--question` and `--questions` of `edgecnn run`: what is asked of every picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecnn.cli.streams import say

if TYPE_CHECKING:
    from edgecnn_runtime import Predictor

QuestionOption = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="Ask this of every picture, where the model answers questions; again for more."),
]
QuestionsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Ask every picture what stands here, a question a line.")
]
_LARGEST = 1 << 24  # bytes of a list of questions


def read_questions(given: Sequence[str] | None, path: Path | None) -> list[str] | None:
    """Returns what was asked, those of the file last; None where neither option was given.

    Args:
        given: of --question.
        path: of --questions; empty lines do not count.

    Raises:
        typer.BadParameter: the file cannot be read, or asks nothing.
    """
    if path is None:
        return list(given) if given else None
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:  # no UTF-8 is a ValueError
        raise typer.BadParameter(
            f"expected a text in UTF-8, a question a line: {path} cannot be read: "
            f"{getattr(error, 'strerror', None) or error}.",
            param_hint="--questions",
        ) from error
    if len(content) > _LARGEST:
        raise typer.BadParameter(f"expected at most {_LARGEST:,} bytes, received more.", param_hint="--questions")
    asked = [line.strip() for line in lines if line.strip()]
    if not asked:
        raise typer.BadParameter(f"expected a question a line, received none in {path}.", param_hint="--questions")
    return [*(given or ()), *asked]


def check_questions(predictor: "Predictor", questions: Sequence[str] | None) -> None:
    """Refuses questions that a model does not take; says which words of them it does not see.

    Raises:
        QuestionError: there is none and the model needs one, one has no word, or the model takes none.
    """
    for _, question in predictor.inputs.read(questions):
        if remarks := question.remarks():
            say(f"edgecnn: {question.text!r:.80}: words that the model does not see: {remarks:.300}")
