"""Questions about scenes, answered once more from the pixels of their pictures, and from what is known of kinds."""

import re
from collections import Counter

import numpy as np
import pytest

from edgecnn.data.load import load_dataset
from edgecnn.data.narrowing import with_answers
from edgecnn.data.scene_questions import ANSWERS, questions_about
from edgecnn.data.scenes import COLORS, HEIGHT, KINDS, WIDTH, boxes_of, render
from edgecnn.data.shapes import scene_of

SCENES = [(part, index, most) for part in ("train", "test") for index in range(60) for most in (1, 2, 6)]


def seen_in(pixels):
    """Where each colour is in a picture: its pixels' middle, (x, y); by the exact colour, which no ground has."""
    found = {}
    for name, color in COLORS.items():
        rows, columns = np.nonzero((pixels == color).all(axis=-1))
        if len(rows):
            x, y = (np.array([axis.min(), axis.max() + 1]).mean() for axis in (columns, rows))
            found[name] = (x, y)
    return found


def expected(text, pixels, kinds):
    """The answer, from the picture and from which kind the shape of each colour is."""
    places = seen_in(pixels)
    assert set(places) == set(kinds)
    if found := re.fullmatch(r"What color is the (\w+)\?", text):
        (answer,) = (color for color, kind in kinds.items() if kind == found[1])
    elif found := re.fullmatch(r"What is the (\w+) shape\?", text):
        answer = kinds[found[1]]
    elif text == "How many shapes are there?":
        answer = str(len(places))
    elif found := re.fullmatch(r"How many (\w+?)e?s are there\?", text):
        named = {kind: sum(one == kind for one in kinds.values()) for kind in KINDS}
        (kind,) = (kind for kind in KINDS if kind in (found[1], f"{found[1]}e") or f"{found[1]}s" == kind)
        answer = str(named[kind])
    elif found := re.fullmatch(r"Where is the (\w+) (\w+)\?", text):
        assert kinds[found[1]] == found[2]
        x, y = places[found[1]]
        answer = f"{'upper' if y < HEIGHT / 2 else 'lower'} {'left' if x < WIDTH / 2 else 'right'}"
    elif found := re.fullmatch(r"Is there a (\w+) (\w+)\?", text):
        answer = "yes" if kinds.get(found[1]) == found[2] else "no"
    else:
        found = re.fullmatch(r"Is the (\w+) (\w+) left of the (\w+) (\w+)\?", text)
        assert (kinds[found[1]], kinds[found[3]]) == (found[2], found[4])
        answer = "yes" if places[found[1]][0] < places[found[3]][0] else "no"
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2, 6])
def test_every_answer_can_be_seen_in_the_picture(most):
    asked = Counter()
    for part, index, of in SCENES:
        if of != most:
            continue
        scene = scene_of(part, index, most)
        pixels, kinds = render(scene), {shape.color: shape.kind for shape in scene.shapes}
        for one in questions_about(scene, boxes_of(scene)):
            assert ANSWERS[one.class_id] == expected(one.text, pixels, kinds), one.text
            asked[one.kind] += 1
    assert set(asked) == {"color", "kind", "number", "where", "yes or no"}
    assert min(asked.values()) >= 60


def test_yes_and_no_are_as_frequent():
    data = with_answers(load_dataset("shapes:2"))
    for part in data.parts:
        answers = [data.labels[one.class_id] for one in part.targets.every() if one.kind == "yes or no"]
        assert answers.count("yes") == answers.count("no") == len(part)


def test_no_question_is_asked_twice_of_a_picture():
    for part, index, most in SCENES:
        scene = scene_of(part, index, most)
        texts = [one.text for one in questions_about(scene, boxes_of(scene))]
        assert len(set(texts)) == len(texts)


@pytest.mark.slow
def test_shapes_keep_their_fingerprint_and_give_the_same_questions_again():
    first, again = (with_answers(load_dataset("shapes")) for _ in range(2))
    assert first.fingerprint == again.fingerprint == load_dataset("shapes").fingerprint
    assert first.train.targets.images == again.train.targets.images
    assert first.labels == ANSWERS
    assert len(set(ANSWERS)) == len(ANSWERS)
