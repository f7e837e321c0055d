"""`questions.json`: questions about pictures, each with its answer, as easy-VQA has them.

Reference:
    https://github.com/vzhou842/easy-VQA
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecnn.data.faults import Faults
from edgecnn.data.marked import in_parts, is_file, is_folder, labels_file, pictures_in, read_text
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.targets import Answers, Asked
from edgecnn.errors import DatasetError
from edgecnn_runtime import strict_json
from edgecnn_runtime.questions import split_words

LOOKED_FOR = "questions.json beside images/"
_QUESTIONS, _IMAGES = "questions.json", "images"
_LARGEST = 256 * 2**20  # bytes of a questions.json
_KIND_WORDS = 2  # that a question begins with: "is there", "what color"


@dataclass(frozen=True, slots=True)
class _Item:
    """One question of a file."""

    where: str
    text: str
    answer: str
    image: str


@dataclass(frozen=True, slots=True)
class _Part:
    """The questions of a part, and the pictures that it has."""

    part: str
    folder: Path
    items: Sequence[_Item]
    pictures: Mapping[str, Path]


def read_questions(path: Path, faults: Faults | None = None) -> Dataset:
    """Reads a data set of questions about pictures. One sample is one picture with all questions about it.

    Args:
        path: a folder with questions.json, a list of [question, answer, image id], and images/ with a picture ID.png
            (or .jpg and the like); or folders train, val (valid) and test of such. The answers are called by the lines
            of answers.txt, or else are those of the train part, sorted.
        faults: keeps what is faulty, and the question is left out; None ends at the first.

    Raises:
        DatasetError: a file is damaged, a question has no word, no picture, or an answer that is none of those; or one
            question about a picture has two answers. The place is named.
    """
    faults = faults or Faults()
    folders = {"all": path} if _holds(path) else in_parts(path, lambda inner: inner if _holds(inner) else None)
    if not folders:
        raise DatasetError(f"{path}: expected {LOOKED_FOR}, or folders train, val and test of such, received none")
    parts = [
        _Part(str(part), folder, _items(folder / _QUESTIONS, faults), pictures_in(folder / _IMAGES))
        for part, folder in folders.items()
    ]
    given = labels_file(path, ("answers.txt",))
    taught = next((part for part in parts if part.part in ("train", "all")), parts[0])
    labels = given[0] if given else tuple(sorted({item.answer for item in taught.items}))
    origin = str(given[1]) if given else f"the answers of {taught.folder / _QUESTIONS}"
    return make_dataset(
        path.absolute().name,
        f"questions:{path.absolute()}",
        [_samples(part, labels, origin, faults) for part in parts],
    )


def holds_questions(path: Path) -> bool:
    """Says whether a folder holds questions about pictures, or parts of them."""
    return is_folder(path) and (_holds(path) or bool(in_parts(path, lambda inner: inner if _holds(inner) else None)))


def kind_of(text: str) -> str:
    """Returns the words that a question begins with, by which questions are told apart where nothing else does.

    >>> kind_of("What color is the shape?")
    'what color'
    """
    return " ".join(split_words(text)[:_KIND_WORDS])


def _holds(folder: Path) -> bool:
    return is_file(folder / _QUESTIONS) and is_folder(folder / _IMAGES)


def _items(file: Path, faults: Faults) -> list[_Item]:
    try:
        listed = strict_json.parse(read_text(file, largest=_LARGEST))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{file}:{error.lineno}: expected JSON, received {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file}: expected JSON: {error}") from error
    if not isinstance(listed, list) or not listed:
        raise DatasetError(f"{file}: expected a list of [question, answer, image id], received {listed!r:.60}")
    items = []
    for index, value in enumerate(listed):
        where = f"{file}: [{index}]"
        if not _is_item(value):
            faults.error(
                "questions that cannot be read",
                f"{where}: expected [question, answer, image id], two texts and a name or number, received "
                f"{value!r:.80}",
            )
        elif not split_words(value[0]):
            faults.error(
                "questions without a word", f"{where}: expected a question of words, received {value[0]!r:.80}"
            )
        else:
            items.append(_Item(where, value[0], value[1].strip(), str(value[2])))
    return items


def _is_item(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    question, answer, image = value
    named = isinstance(image, int | str) and not isinstance(image, bool)
    return isinstance(question, str) and isinstance(answer, str) and bool(answer.strip()) and named


def _samples(part: _Part, labels: tuple[str, ...], origin: str, faults: Faults) -> Samples:
    class_ids = {label: index for index, label in enumerate(labels)}
    asked: dict[str, dict[str, Asked]] = {name: {} for name in part.pictures}
    for item in part.items:
        if item.image not in asked:
            faults.error(
                "files that a part names and that are missing",
                f"{item.where}: no image {item.image!r:.100} in {part.folder / _IMAGES}",
            )
        elif item.answer not in class_ids:
            faults.error(
                "unknown classes",
                f"{item.where}: expected one of {', '.join(labels)[:200]} ({origin}), received {item.answer!r:.80}",
            )
        else:
            one = Asked(item.text, kind_of(item.text), class_ids[item.answer])
            known = asked[item.image].setdefault(item.text, one)
            if known != one:
                faults.error(
                    "questions with two answers",
                    f"{item.where}: expected {labels[known.class_id]!r}, as {item.text!r:.80} about image "
                    f"{item.image!r:.60} has it before, received {item.answer!r:.80}",
                )
    unasked = [name for name, questions in asked.items() if not questions]
    for name in unasked:
        faults.note("pictures without questions", f"{part.pictures[name]}: nothing is asked about it: it is left out")
    kept = {name: tuple(questions.values()) for name, questions in asked.items() if questions}
    if not kept:
        raise DatasetError(f"{part.folder}: expected pictures with questions in the {part.part} part, received none")
    return Samples(tuple(part.pictures[name] for name in kept), Answers(tuple(kept.values())), labels, part.part)
