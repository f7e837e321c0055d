"""Questions: what a manifest says of them, and the way from a text to the numbers that a network takes of it.

Training and devices use these same lines. Nothing is learned here: the words that have a number of their own stand in
the manifest.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.errors import ManifestError, QuestionError

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2  # behind the last word; of a word that has no number; of the first that has one
_MOST_WORDS = 1024  # of a question, as a network takes it
_QUOTED = 80  # characters of a question in a message
_APOSTROPHES = "'\u2019"


@dataclass(frozen=True, slots=True)
class TextInput:
    """A question as an input of the graph: int32 (N, length), the numbers of its words, 0 behind the last one.

    Attributes:
        name: the graph input's name.
        length: how many words it has at most; those after are cut.
        vocabulary: the words that have a number, as `split_words` gives them, each once; the first has 2. None for a
            model that never saw data, to which every word is unknown: 1.
        kind: always "text".
    """

    name: str
    length: int
    vocabulary: tuple[str, ...] | None
    kind: Literal["text"] = "text"
    dtype: ClassVar[str] = "int32"

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the graph's input, without the batch axis."""
        return (self.length,)

    def check(self) -> None:
        """Refuses what no question can be read by.

        Raises:
            ManifestError: a length out of range, or words that stand twice or that no question is split into.
        """
        where, words = f"manifest: input {self.name!r}", self.vocabulary or ()
        if not 1 <= self.length <= _MOST_WORDS:
            raise ManifestError(f"{where}: expected a length from 1 to {_MOST_WORDS} words, received {self.length}")
        if len(set(words)) < len(words):
            raise ManifestError(f"{where}: expected a vocabulary of different words, received some of them twice")
        odd = next((word for word in words if split_words(word) != [word]), None)
        if odd is not None:
            raise ManifestError(
                f"{where}: expected a vocabulary of words as questions are split into, in lower case and without "
                f"punctuation, received {odd!r:.80}"
            )


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what a network does not see of it.

    Attributes:
        text: as it was asked.
        unknown_words: those that training never saw, each once; of such the network sees only that there is one.
        words_cut: those at its end that the network does not take any more.
    """

    text: str
    unknown_words: tuple[str, ...] = ()
    words_cut: tuple[str, ...] = ()

    def remarks(self) -> str:
        """Returns what the network does not see, in a few words; empty where it sees everything.

        >>> Question("what hue is it", ("hue",)).remarks()
        'unknown: hue'
        """
        parts = {"unknown": self.unknown_words, "cut": self.words_cut}
        return "; ".join(f"{what}: {' '.join(words)}" for what, words in parts.items() if words)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object's entries."""
        return {
            "question": self.text,
            "unknown_words": list(self.unknown_words),
            "words_cut": list(self.words_cut),
        }


class Read(NamedTuple):
    """A question that is ready for the network.

    Attributes:
        ids: (1, length) int32.
        question: what was read.
    """

    ids: npt.NDArray[np.int32]
    question: Question


class QuestionReader:
    """Makes numbers of the words of questions, as a manifest says.

    Args:
        spec: the text input.
    """

    def __init__(self, spec: TextInput) -> None:
        self._length = spec.length
        self._ids = {word: FIRST_WORD + index for index, word in enumerate(spec.vocabulary or ())}

    def __call__(self, text: str) -> Read:
        """Returns the numbers of the words, filled up with 0 behind the last one.

        Args:
            text: in any letter case, with any punctuation.

        Raises:
            QuestionError: it holds no word, or is no text.
        """
        if not isinstance(text, str):
            raise QuestionError(f"question: expected text, received {type(text).__name__}")
        words = split_words(text)
        if not words:
            raise QuestionError(f"question: expected at least one word, received {_quoted(text)}")
        taken, cut = words[: self._length], words[self._length :]
        ids = np.full((1, self._length), PADDING, np.int32)
        ids[0, : len(taken)] = [self._ids.get(word, UNKNOWN) for word in taken]
        unknown = dict.fromkeys(word for word in taken if word not in self._ids)
        return Read(ids, Question(text, tuple(unknown), tuple(cut)))


def split_words(text: str) -> list[str]:
    """Returns the words of a text in lower case: runs of letters, digits and the marks on them.

    An apostrophe inside a word is a part of it. Everything else is between words: spaces, punctuation, controls, emoji.
    Letters that Unicode writes in several ways (full width, with their accent apart) are taken for the same (NFKC).

    >>> split_words("What's the colour of SHAPE no. 3?")
    ["what's", 'the', 'colour', 'of', 'shape', 'no', '3']
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    spaced = "".join(c if c in _APOSTROPHES or unicodedata.category(c)[0] in "LNM" else " " for c in plain)
    words = (word.strip(_APOSTROPHES).replace("\u2019", "'") for word in spaced.split())
    return [word for word in words if word]


def vocabulary_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns every word of some texts once, in the order of the alphabet.

    >>> vocabulary_of(["What color is it?", "Is it blue?"])
    ('blue', 'color', 'is', 'it', 'what')
    """
    return tuple(sorted({word for text in texts for word in split_words(text)}))


def _quoted(text: str) -> str:
    return repr(text) if len(text) <= _QUOTED else f"{text[:_QUOTED]!r} and {len(text) - _QUOTED:,} characters more"
