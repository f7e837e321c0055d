"""What `edgecnn run` is given beside pictures: `--question` and `--questions` about each, `--proposals` in each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecnn.cli.streams import say

if TYPE_CHECKING:
    from edgecnn_runtime import Predictor
    from edgecnn_runtime.proposals import Proposer

QuestionOption = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="Ask this of every picture, where the model answers questions; again for more."),
]
QuestionsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Ask every picture what stands here, a question a line.")
]
ProposalsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        help="Look at these boxes, {PICTURE: [[x1, y1, x2, y2], ...]} in its pixels. [default: selective search]",
    ),
]
_LARGEST_QUESTIONS, _LARGEST_PROPOSALS = 1 << 24, 1 << 28  # bytes
_BOXES = "{PICTURE: [[x1, y1, x2, y2], ...]}"


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
    text = _read(path, "--questions", "a text in UTF-8, a question a line", most=_LARGEST_QUESTIONS)
    asked = [line.strip() for line in text.splitlines() if line.strip()]
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


def read_proposals(path: Path | None) -> Mapping[str, Any] | None:
    """Returns the boxes by picture; None where the option was not given.

    Args:
        path: of --proposals.

    Raises:
        typer.BadParameter: the file cannot be read, or is no such object.
    """
    if path is None:
        return None
    from edgecnn_runtime.strict_json import parse

    text = _read(path, "--proposals", f"JSON in UTF-8, {_BOXES}", most=_LARGEST_PROPOSALS)
    try:
        tree = parse(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(
            f"expected JSON, {_BOXES}, received {text[:40]!r} ({error}).", param_hint="--proposals"
        ) from error
    if not isinstance(tree, dict):
        raise typer.BadParameter(f"expected an object, {_BOXES}, received {text[:40]!r}.", param_hint="--proposals")
    return tree


def proposals_for(predictor: "Predictor", given: Mapping[str, Any] | None) -> "Mapping[str, Any] | Proposer | None":
    """Returns who proposes the regions of a model: the file, or selective search; nobody where it takes none.

    Args:
        predictor: of the model.
        given: of --proposals.

    Raises:
        ProposalsError: the model takes none, and there are some.
        MissingDependencyError: there are none, and the extra that proposes some is not installed.
    """
    spec = predictor.manifest.proposals_input
    if spec is None or given is not None:
        predictor.inputs.check_proposals(given)
        counts = {name: len(boxes) for name, boxes in (given or {}).items() if isinstance(boxes, list)}
        name = max(counts, key=counts.__getitem__, default=None)
        if spec is not None and name is not None and counts[name] > spec.count:
            say(f"edgecnn: {name!r:.80}: {counts[name]:,} regions, of which the model looks at the first {spec.count}")
        return given
    from edgecnn.proposing import check_proposer, selective_search

    check_proposer(predictor.manifest)
    return selective_search


def _read(path: Path, option: str, expected: str, *, most: int) -> str:
    """Returns the text of an option's file.

    Args:
        path: of the file.
        option: that named it.
        expected: what it is to hold, for messages.
        most: bytes that are read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # no UTF-8 is a ValueError
        raise typer.BadParameter(
            f"expected {expected}: {path} cannot be read: {getattr(error, 'strerror', None) or error}.",
            param_hint=option,
        ) from error
    if len(content) > most:
        raise typer.BadParameter(f"expected at most {most:,} bytes, received more.", param_hint=option)
    return text
