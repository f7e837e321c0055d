"""How `edgecnn run` writes answers: each format streams, and a run that is cut short leaves whole entries."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, Protocol

from edgecnn.cli.streams import Results, printable, say, to_json
from edgecnn.csv_text import to_csv
from edgecnn_runtime import Failure, Result

AnswerFormat = Literal["text", "json", "jsonl", "csv"]


class AnswerWriter(Protocol):
    """Writes one answer after the other."""

    def write(self, answer: Result | Failure) -> None:
        """Writes one answer."""
        ...

    def close(self) -> None:
        """Ends what must be ended; no answer follows."""
        ...


@contextmanager
def answer_writer(
    format: AnswerFormat, results: Results, top_k: int, *, on_terminal: bool = False
) -> Iterator[AnswerWriter]:
    """Gives the writer of a format, and closes it however the block ends.

    Args:
        format: one of the four.
        results: where answers go; failed images of the text format go to stderr.
        top_k: how many classes an answer shows, best first.
        on_terminal: whether a terminal shows them, which must not obey what stands in a name: `CsvWriter` escapes it.
    """
    kinds: dict[AnswerFormat, Callable[[Results, int], AnswerWriter]] = {
        "text": TextWriter,
        "json": JsonWriter,
        "jsonl": JsonLinesWriter,
        "csv": partial(CsvWriter, on_terminal=on_terminal),
    }
    writer = kinds[format](results, top_k)
    try:
        yield writer
    finally:
        writer.close()


class TextWriter:
    """One line an image, for people."""

    def __init__(self, results: Results, top_k: int) -> None:
        self._results, self._top_k = results, top_k

    def write(self, answer: Result | Failure) -> None:
        """Writes the best classes, the provider and the time; a failure goes to stderr."""
        if isinstance(answer, Failure):
            say(f"edgecnn: {answer.message}")
            return
        best = [
            f"{f'class {score.class_id}' if score.label is None else score.label} {score.score:.4f}"
            for score in answer.top(self._top_k)
        ]
        speed = "" if answer.speed_ms is None else f", {answer.speed_ms.inference:.2f} ms"
        frames = "" if answer.frames == 1 else f", the first of {answer.frames} frames"
        self._results.report([f"{answer.source}: {', '.join(best)} [{answer.provider}{speed}{frames}]"])

    def close(self) -> None:
        """Has nothing to end."""


class JsonLinesWriter:
    """One JSON object a line."""

    def __init__(self, results: Results, top_k: int) -> None:
        self._results, self._top_k = results, top_k

    def write(self, answer: Result | Failure) -> None:
        """Writes the answer's object."""
        self._results.line(_format_object(answer, self._top_k))

    def close(self) -> None:
        """Has nothing to end."""


class JsonWriter:
    """One JSON list of objects, which is whole once it is closed."""

    def __init__(self, results: Results, top_k: int) -> None:
        self._results, self._top_k = results, top_k
        self._separator = "\n  "
        self._results.write("[")

    def write(self, answer: Result | Failure) -> None:
        """Writes the answer's object."""
        self._results.write(self._separator + _format_object(answer, self._top_k))
        self._separator = ",\n  "

    def close(self) -> None:
        """Ends the list."""
        self._results.write("\n]\n")


class CsvWriter:
    """One row a prediction, or a failed image, by RFC 4180: names come back whole, whatever they hold."""

    _COLUMNS = ("source", "rank", "name", "class", "confidence", "provider", "error_kind", "error_message")

    def __init__(self, results: Results, top_k: int, *, on_terminal: bool = False) -> None:
        self._results, self._top_k, self._on_terminal = results, top_k, on_terminal
        self._row(self._COLUMNS)

    def write(self, answer: Result | Failure) -> None:
        """Writes the rows of one image."""
        if isinstance(answer, Failure):
            self._row((answer.source, "", "", "", "", "", answer.kind, answer.message))
            return
        for rank, best in enumerate(answer.top(self._top_k), start=1):
            self._row((answer.source, rank, best.label, best.class_id, best.score, answer.provider, "", ""))

    def close(self) -> None:
        """Has nothing to end."""

    def _row(self, cells: tuple[object, ...]) -> None:
        shown = [printable(cell) if self._on_terminal and isinstance(cell, str) else cell for cell in cells]
        self._results.write(to_csv([shown]))


def _format_object(answer: Result | Failure, top_k: int) -> str:
    tree = answer.to_dict() if isinstance(answer, Failure) else answer.to_dict(top_k)
    return to_json(tree)
