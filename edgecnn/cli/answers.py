"""How `edgecnn run` writes answers: each format streams, and a run that is cut short leaves whole entries."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

import typer

from edgecnn.cli.streams import Results, printable, say, to_json
from edgecnn.csv_text import to_csv
from edgecnn_runtime import Failure, Result
from edgecnn_runtime.raw import RawAnswer
from edgecnn_runtime.sources import describe
from edgecnn_runtime.tasks.boxes import EDGES
from edgecnn_runtime.tasks.task import Masks, Regions, Task

AnswerFormat = Literal["text", "json", "jsonl", "csv", "coco", "yolo"]
BOXES: frozenset[Regions] = frozenset({"boxes"})
MASKS: frozenset[Regions] = frozenset({"masks"})
FORMS = {"coco": BOXES | MASKS, "yolo": BOXES}  # what the formats that say where things are have a place for
_LONGEST_ID = 18  # digits, which other readers' 64 bits hold


Answered = TypeVar("Answered", contravariant=True)


class AnswerWriter(Protocol[Answered]):
    """Writes one answer after the other."""

    def write(self, answer: Answered | Failure) -> None:
        """Writes one answer."""
        ...

    def close(self) -> None:
        """Ends what must be ended; no answer follows."""
        ...


@contextmanager
def answer_writer(
    format: AnswerFormat,
    results: Results,
    limit: int,
    columns: Sequence[str],
    *,
    polygons: bool = False,
    asks: bool = False,
    on_terminal: bool = False,
) -> Iterator[AnswerWriter[Result]]:
    """Gives the writer of a format, and closes it however the block ends.

    Args:
        format: one of the six.
        results: where answers go; failed images of the formats that have no place for them go to stderr.
        limit: how many predictions an answer shows, best first.
        columns: of a prediction in CSV; see `Task.columns`.
        polygons: whether JSON holds the outlines of masks too.
        asks: whether a question is asked of each image.
        on_terminal: whether a terminal shows them, which must not obey what stands in a name: `CsvWriter` escapes it.
    """
    kinds: dict[AnswerFormat, Callable[[Results, int], AnswerWriter[Result]]] = {
        "text": partial(LinesWriter, lines=text_lines),
        "json": partial(JsonWriter, polygons=polygons),
        "jsonl": partial(JsonLinesWriter, polygons=polygons),
        "csv": partial(CsvWriter, columns=columns, asks=asks, on_terminal=on_terminal),
        "coco": CocoWriter,
        "yolo": partial(LinesWriter, lines=named_yolo_lines),
    }
    writer = kinds[format](results, limit)
    try:
        yield writer
    finally:
        writer.close()


def check_regions(task: Task[Result], options: Mapping[str, tuple[object, Collection[Regions]]]) -> None:
    """Refuses what needs boxes or masks where a prediction has none.

    Args:
        task: of the model.
        options: by name, each as it was given, None where it was not, and what it needs one of.

    Raises:
        typer.BadParameter: an option was given.
    """
    for option, (value, needed) in options.items():
        if value is not None and task.regions not in needed:
            raise typer.BadParameter(
                f"{value} expects answers with {' or '.join(sorted(needed))}, received a model whose answers have "
                f"{', '.join(task.columns)}.",
                param_hint=option,
            )


def say_end(left_out: Counter[str], failed: int, total: int, what: str) -> None:
    """Says what was left out and what failed.

    Args:
        left_out: of the sources, as `iter_sources` counts it.
        failed: of all.
        total: how many there were.
        what: they were, in the plural.

    Raises:
        typer.Exit: with 1, where any failed.
    """
    if left_out:
        say(f"edgecnn: left out {describe(left_out)}")
    if failed:
        say(f"edgecnn: {failed} of {total} {what} failed")
        raise typer.Exit(1)


class LinesWriter(Generic[Answered]):
    """Lines of text an image; failures go to stderr.

    Args:
        lines: of an answer, and of how many predictions at most.
    """

    def __init__(self, results: Results, limit: int, *, lines: Callable[[Answered, int], list[str]]) -> None:
        self._results, self._limit, self._lines = results, limit, lines

    def write(self, answer: Answered | Failure) -> None:
        """Writes the lines of an answer."""
        if isinstance(answer, Failure):
            say(f"edgecnn: {answer.message}")
        else:
            self._results.report(self._lines(answer, self._limit))

    def close(self) -> None:
        """Has nothing to end."""


def text_lines(answer: Result, limit: int) -> list[str]:
    """Returns one line for people: what was asked and found, the provider and the time."""
    speed = "" if answer.speed_ms is None else f", {answer.speed_ms.inference:.2f} ms"
    frames = "" if answer.frames == 1 else f", the first of {answer.frames} frames"
    asked, remarks = "", ""
    if answer.question is not None:
        asked, remarks = f"{answer.question.text} ", answer.question.remarks() and f", {answer.question.remarks()}"
    return [f"{answer.source}: {asked}{', '.join(answer.lines(limit))} [{answer.provider}{speed}{frames}{remarks}]"]


class JsonLinesWriter:
    """One JSON object a line.

    Args:
        polygons: whether predictions hold the outlines of their masks too.
    """

    def __init__(self, results: Results, limit: int, *, polygons: bool = False) -> None:
        self._results, self._limit, self._polygons = results, limit, polygons

    def write(self, answer: Result | RawAnswer | Failure) -> None:
        """Writes the answer's object."""
        self._results.line(_format_object(answer, self._limit, polygons=self._polygons))

    def close(self) -> None:
        """Has nothing to end."""


class _JsonList:
    """One JSON list, which is whole once it is closed.

    Args:
        polygons: as for `JsonLinesWriter`.
    """

    def __init__(self, results: Results, limit: int, *, polygons: bool = False) -> None:
        self._results, self._limit, self._polygons = results, limit, polygons
        self._separator = "\n  "
        self._results.write("[")

    def close(self) -> None:
        """Ends the list."""
        self._results.write("\n]\n")

    def _item(self, text: str) -> None:
        self._results.write(self._separator + text)
        self._separator = ",\n  "


class JsonWriter(_JsonList):
    """One JSON list of the objects of answers."""

    def write(self, answer: Result | RawAnswer | Failure) -> None:
        """Writes the answer's object."""
        self._item(_format_object(answer, self._limit, polygons=self._polygons))


class CocoWriter(_JsonList):
    """One JSON list of boxes or masks, as COCO's tools read results (https://cocodataset.org/#format-results).

    A class of a class map has no score of its own; since those tools want one, it is 1.
    """

    def write(self, answer: Result | Failure) -> None:
        """Writes the answer's boxes or masks; a failure goes to stderr."""
        if isinstance(answer, Failure):
            say(f"edgecnn: {answer.message}")
            return
        stem = Path(answer.source or "").stem
        image_id = int(stem) if stem.isascii() and stem.isdecimal() and len(stem) <= _LONGEST_ID else stem
        for found in answer.predictions(self._limit):
            item = {"image_id": image_id, "category_id": found["class"] + 1, "score": found.get("confidence", 1)}
            if (box := found.get("box")) is not None:
                x1, y1, x2, y2 = (box[edge] for edge in EDGES)
                item["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            else:
                item["segmentation"] = found["segmentation"]
            self._item(to_json(item))


def yolo_lines(answer: Result, limit: int) -> list[str]:
    """Returns a line a box, as YOLO writes labels: class, centre x and y, width, height in parts of the image; score.

    Args:
        answer: with boxes.
        limit: how many at most, best first.
    """
    (height, width), lines = answer.shape, []
    for found in answer.predictions(limit):
        x1, y1, x2, y2 = (found["box"][edge] for edge in EDGES)
        numbers = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        lines.append(" ".join([str(found["class"]), *(f"{part:.6f}" for part in (*numbers, found["confidence"]))]))
    return lines


def named_yolo_lines(answer: Result, limit: int) -> list[str]:
    """Returns a comment with the image's name before its `yolo_lines`, since one stream holds all images."""
    return [f"# {answer.source}", *yolo_lines(answer, limit)]


class CsvWriter:
    """One row a prediction, or an image with none, or a failed one, by RFC 4180: names come back whole.

    Args:
        asks: whether a question is asked, which has a column of its own then.
    """

    def __init__(
        self, results: Results, limit: int, *, columns: Sequence[str], asks: bool = False, on_terminal: bool = False
    ) -> None:
        self._results, self._limit, self._columns, self._on_terminal = results, limit, tuple(columns), on_terminal
        self._asks = asks
        self._row(
            ("source", *(["question"] if asks else []), "rank", *columns, "provider", "error_kind", "error_message")
        )

    def write(self, answer: Result | Failure) -> None:
        """Writes the rows of one image."""
        empty = [""] * len(self._columns)
        if isinstance(answer, Failure):
            self._row((*self._named(answer), "", *empty, "", answer.kind, answer.message))
            return
        predictions = answer.predictions(self._limit)
        if not predictions:
            self._row((*self._named(answer), "", *empty, answer.provider, "", ""))
        for rank, prediction in enumerate(predictions, start=1):
            cells = _flat(prediction)
            self._row((*self._named(answer), rank, *(cells[name] for name in self._columns), answer.provider, "", ""))

    def _named(self, answer: Result | Failure) -> tuple[object, ...]:
        """Returns what was answered: the image, and the question where one is asked."""
        if not self._asks:
            return (answer.source,)
        asked = None if isinstance(answer, Failure) else answer.question
        return answer.source, "" if asked is None else asked.text

    def close(self) -> None:
        """Has nothing to end."""

    def _row(self, cells: tuple[object, ...]) -> None:
        shown = [printable(cell) if self._on_terminal and isinstance(cell, str) else cell for cell in cells]
        self._results.write(to_csv([shown]))


def _flat(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a prediction's values by name, those of objects in it in their place."""
    flat: dict[str, Any] = {}
    for name, value in prediction.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _format_object(answer: Result | RawAnswer | Failure, limit: int, *, polygons: bool) -> str:
    if isinstance(answer, Failure):
        return to_json(answer.to_dict())
    tree = answer.to_dict(limit)
    if polygons:
        masks = cast(Masks, answer)
        for found in tree["predictions"]:
            found["polygons"] = masks.polygons(found["class"])
    return to_json(tree)
