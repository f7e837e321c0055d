import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.tasks.classification.metric import score_answers

TRUE = np.array([0, 0, 0, 1, 1, 2])
ANSWERED = np.array([0, 0, 1, 1, 0, 0])
LABELS = ("cat", "dog", "owl", "emu")


@pytest.fixture
def evaluation():
    """Six images by hand: nothing is put into class 2, and class 3 stands nowhere."""
    return score_answers(TRUE, ANSWERED, num_classes=4, labels=LABELS)


def test_score_answers_counts_by_true_class_and_answer(evaluation):
    assert evaluation.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_score_answers_gives_the_part_that_is_right(evaluation):
    assert (evaluation.images, evaluation.accuracy) == (6, 0.5)


def test_score_answers_gives_precision_recall_and_support(evaluation):
    assert [(entry.precision, entry.recall, entry.support) for entry in evaluation.per_class] == [
        (2 / 4, 2 / 3, 3),
        (1 / 2, 1 / 2, 2),
        (None, 0.0, 1),
        (None, None, 0),
    ]


def test_score_answers_averages_top5():
    in_top5 = np.array([True, True, False, True, True, True])
    assert score_answers(TRUE, ANSWERED, num_classes=6, labels=None, in_top5=in_top5).top5 == 5 / 6


def test_to_dict_is_json_with_the_names_of_the_interface(evaluation):
    tree = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert list(tree) == ["images", "skipped", "accuracy", "top5", "per_class", "confusion"]
    assert tree["per_class"][2] == {"name": "owl", "class": 2, "precision": None, "recall": 0.0, "support": 1}
    assert tree["top5"] is None


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50))
def test_score_answers_agrees_with_counting_by_hand(pairs):
    true, answered = np.array(pairs).T
    evaluation = score_answers(true, answered, num_classes=5, labels=None)
    assert evaluation.confusion.sum() == len(pairs)
    assert evaluation.accuracy == pytest.approx(sum(t == a for t, a in pairs) / len(pairs))
    for entry in evaluation.per_class:
        chosen = [t for t, a in pairs if a == entry.class_id]
        expected = sum(t == entry.class_id for t in chosen) / len(chosen) if chosen else None
        assert entry.precision == (None if expected is None else pytest.approx(expected))
