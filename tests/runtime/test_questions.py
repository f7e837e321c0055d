"""From a text to the numbers of its words."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.errors import ManifestError, QuestionError
from edgecnn_runtime.inputs import Inputs
from edgecnn_runtime.questions import QuestionReader, TextInput, split_words

SPEC = TextInput("question", 4, ("blue", "color", "the", "what"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What COLOR is the shape?", ["what", "color", "is", "the", "shape"]),
        ("what's  that\t-\nit's 'quoted'", ["what's", "that", "it's", "quoted"]),
        ("what\u2019s up", ["what's", "up"]),
        ("red,green;blue.", ["red", "green", "blue"]),
        ("3 shapes, or 14?", ["3", "shapes", "or", "14"]),
        ("\uff37\uff28\uff21\uff34 color", ["what", "color"]),  # full width
        ("cafe\u0301 CAF\u00c9", ["caf\u00e9", "caf\u00e9"]),  # an accent apart, and one with its letter
        ("\u092e\u0947\u091c", ["\u092e\u0947\u091c"]),  # Devanagari: a vowel sign is a part of the word
        ("is\x00it\x1b[31m red\u2028blue", ["is", "it", "31m", "red", "blue"]),  # controls divide
        ("red\U0001f600blue \U0001f468\u200d\U0001f469", ["red", "blue"]),  # emoji too
        ("under_score", ["under", "score"]),
        ("\ud800odd", ["odd"]),  # of an argument that is no UTF-8
        ("?!\U0001f600 ' \u2019", []),
        ("", []),
    ],
)
def test_split_words(text, words):
    assert split_words(text) == words


@given(st.text())
def test_split_words_are_words_themselves(text):
    for word in split_words(text):
        assert split_words(word) == [word]
        assert unicodedata.normalize("NFKC", word) == word
        assert not re.search(r"\s", word)


@given(st.text(st.sampled_from("abXY' .,\u00e9"), max_size=30))
def test_split_words_agrees_with_a_pattern_on_plain_text(text):
    assert split_words(text) == [word.strip("'") for word in re.findall(r"[^\W_']+(?:'+[^\W_']+)*", text.lower())]


def test_reader_gives_the_numbers_of_the_words_and_zeros_behind():
    ids, question = QuestionReader(SPEC)("What color?")
    assert ids.tolist() == [[5, 3, 0, 0]]
    assert ids.dtype == np.int32
    assert (question.text, question.unknown_words, question.words_cut, question.remarks()) == (
        "What color?",
        (),
        (),
        "",
    )


def test_reader_names_unknown_words_once_and_what_is_cut():
    ids, question = QuestionReader(SPEC)("the hue of hue, what hue")
    assert ids.tolist() == [[4, 1, 1, 1]]
    assert question.unknown_words == ("hue", "of")
    assert question.words_cut == ("what", "hue")
    assert question.remarks() == "unknown: hue of; cut: what hue"
    assert question.to_dict() == {
        "question": "the hue of hue, what hue",
        "unknown_words": ["hue", "of"],
        "words_cut": ["what", "hue"],
    }


def test_reader_of_a_model_that_never_saw_data_knows_no_word():
    ids, question = QuestionReader(TextInput("question", 3, None))("what color")
    assert ids.tolist() == [[1, 1, 0]]
    assert question.unknown_words == ("what", "color")


@pytest.mark.parametrize("text", ["", "  ", "?!", "\x00", "\U0001f600"])
def test_reader_refuses_a_question_without_a_word(text):
    with pytest.raises(QuestionError, match="expected at least one word, received"):
        QuestionReader(SPEC)(text)


@pytest.mark.parametrize("text", [None, 3, b"what"])
def test_reader_refuses_what_is_no_text(text):
    with pytest.raises(QuestionError, match="expected text, received"):
        QuestionReader(SPEC)(text)


def test_reader_quotes_little_of_a_long_question():
    with pytest.raises(QuestionError) as error:
        QuestionReader(SPEC)("?" * 100_000)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TextInput("question", 0, ()), "a length from 1 to 1024"),
        (TextInput("question", 1025, ()), "a length from 1 to 1024"),
        (TextInput("question", 4, ("red", "red")), "different words"),
        (TextInput("question", 4, ("Red",)), "received 'Red'"),
        (TextInput("question", 4, ("dark red",)), "received 'dark red'"),
        (TextInput("question", 4, ("",)), "received ''"),
    ],
)
def test_text_input_refuses_what_no_question_is_read_by(spec, message):
    with pytest.raises(ManifestError, match=message):
        spec.check()


def test_inputs_of_a_classifier_take_no_question(make_manifest):
    inputs = Inputs(make_manifest())
    with pytest.raises(QuestionError, match="takes an image alone"):
        inputs(np.zeros((8, 6), np.uint8), "what is it")
