import json

import numpy as np
import pytest
from PIL import Image

from edgecnn_runtime.results import Failure, Result, Speed
from edgecnn_runtime.tasks.classification import Classification
from edgecnn_runtime.tasks.scores import Score

SCORES = np.array([0.125, 0.625, 0.25], dtype=np.float32)


def result(**changes):
    fields = {"scores": SCORES, "labels": ("zero", "one", "two"), "shape": (480, 640), **changes}
    return Classification(**fields)


def test_classification_knows_its_best_class():
    best = result()
    assert (best.class_id, best.label, best.score) == (1, "one", 0.625)
    assert isinstance(best, Result)


def test_top_gives_scores_best_first():
    assert result().top(2) == [Score("one", 1, 0.625), Score("two", 2, 0.25)]


def test_best_class_is_the_first_of_top_when_equal():
    tie = result(scores=np.array([0.25, 0.375, 0.375], dtype=np.float32))
    assert tie.class_id == tie.top(1)[0].class_id == 1


def test_results_without_labels_have_no_name():
    assert result(labels=None).label is None
    assert result(labels=None).to_dict(1)["predictions"] == [{"name": None, "class": 1, "confidence": 0.625}]


def test_to_dict_is_the_documented_json_object():
    whole = result(source="a b.png", provider="CPUExecutionProvider", speed_ms=Speed(1.5, 2.0, 0.25))
    assert json.loads(json.dumps(whole.to_dict(limit=2))) == {
        "source": "a b.png",
        "shape": [480, 640],
        "task": "classification",
        "provider": "CPUExecutionProvider",
        "speed_ms": {"preprocess": 1.5, "inference": 2.0, "postprocess": 0.25},
        "predictions": [
            {"name": "one", "class": 1, "confidence": 0.625},
            {"name": "two", "class": 2, "confidence": 0.25},
        ],
    }


def test_to_dict_gives_five_classes_unless_told():
    many = result(scores=np.full(8, 0.125, dtype=np.float32), labels=None)
    assert [each["class"] for each in many.to_dict()["predictions"]] == [0, 1, 2, 3, 4]


def test_failure_to_dict_is_the_documented_json_object():
    assert Failure("bad\udcff.png", "image", "why").to_dict() == {
        "source": "bad\udcff.png",
        "error": {"kind": "image", "message": "why"},
    }


def test_a_source_that_is_not_utf8_still_gives_json():
    assert json.loads(json.dumps(Failure("\udcff", "image", "\udcff").to_dict()))["source"] == "\udcff"


@pytest.mark.parametrize(("height", "width"), [(28, 28), (1, 1), (480, 640), (3, 2000)])
def test_draw_writes_on_a_copy_that_is_large_enough(photo, height, width):
    picture = photo(height, width, "L")
    before = picture.tobytes()
    drawn = result().draw(picture, limit=2)
    assert drawn.mode == "RGB"
    assert picture.tobytes() == before
    assert drawn.width % width == 0
    assert drawn.width // width == drawn.height // height
    assert drawn.width >= 320 or width > 300


def test_draw_writes_the_label_in_the_corner_and_leaves_the_rest(photo):
    picture = photo(480, 640)
    drawn, before = np.asarray(result().draw(picture)), np.asarray(picture)
    changed = (drawn != before).any(axis=-1)
    assert changed[:30, :60].mean() > 0.5
    assert not changed[60:].any()
    assert (drawn[:30, :120] == 255).all(axis=-1).any()  # the letters


def test_draw_enlarges_without_blurring(photo):
    picture = photo(32, 32)
    drawn = result().draw(picture)
    assert drawn.size == (320, 320)
    enlarged = picture.resize((320, 320), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(np.asarray(drawn)[100:], np.asarray(enlarged)[100:])


@pytest.mark.parametrize("labels", [None, ("naïve", "猫 🐈", "line\nbreak"), ("x" * 500, "b", "c")])
def test_draw_writes_any_label(photo, labels):
    assert result(labels=labels).draw(np.asarray(photo()), limit=3).mode == "RGB"


def test_a_result_compares_scores_as_they_are_held():
    """0.7 is less in float32: who asks for 0.7 gets a class whose score is 0.7 there."""
    sure = result(scores=np.array([0.1, 0.2, 0.7], dtype=np.float32), least_score=0.7)
    assert (sure.is_unsure, [found["class"] for found in sure.predictions()]) == (False, [2])
    assert sure.lines() == ["two 0.7000"]
    assert sure.captions(5) == ["two 70.0%"]
    unsure = result(scores=sure.scores, least_score=0.7001)
    assert (unsure.is_unsure, unsure.predictions(), unsure.captions(5)) == (True, [], ["unsure: two 70.0%"])
