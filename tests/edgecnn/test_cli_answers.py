import csv
import io
import json

import numpy as np
import pytest

from edgecnn.cli.answers import answer_writer
from edgecnn.cli.streams import Results
from edgecnn_runtime import Classification, Failure, Speed
from edgecnn_runtime.tasks.classification import CLASSIFICATION

GOOD = Classification(
    np.array([0.25, 0.75], np.float32),
    labels=("cat", "dog"),
    shape=(4, 6),
    source="a.png",
    provider="CPUExecutionProvider",
    speed_ms=Speed(1.0, 2.0, 3.0),
)
BAD = Failure("b.png", "image", "b.png: expected an image")


def written(format, *answers, top_k=5):
    stream = io.StringIO()
    with answer_writer(format, Results(stream), top_k, CLASSIFICATION.columns) as writer:
        for answer in answers:
            writer.write(answer)
    return stream.getvalue()


@pytest.mark.parametrize("answers", [(), (GOOD,), (BAD,), (GOOD, BAD, GOOD)], ids=len)
def test_json_is_one_list(answers):
    entries = json.loads(written("json", *answers))
    assert ["error" in entry for entry in entries] == [isinstance(answer, Failure) for answer in answers]


def test_json_is_whole_when_the_run_is_cut_short():
    stream = io.StringIO()

    def cut_short():
        with answer_writer("json", Results(stream), 5, CLASSIFICATION.columns) as writer:
            writer.write(GOOD)
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        cut_short()
    assert [entry["source"] for entry in json.loads(stream.getvalue())] == ["a.png"]


def test_jsonl_is_one_object_a_line():
    entries = [json.loads(line) for line in written("jsonl", GOOD, BAD).splitlines()]
    assert entries[0] == GOOD.to_dict(5)
    assert entries[1] == BAD.to_dict()


def test_top_k_limits_the_classes_of_an_answer():
    assert len(json.loads(written("json", GOOD, top_k=1))[0]["predictions"]) == 1


def test_csv_has_a_row_a_prediction_and_one_a_failure():
    rows = list(csv.DictReader(io.StringIO(written("csv", GOOD, BAD))))
    assert [(row["source"], row["rank"], row["name"], row["error_kind"]) for row in rows] == [
        ("a.png", "1", "dog", ""),
        ("a.png", "2", "cat", ""),
        ("b.png", "", "", "image"),
    ]


def test_text_names_the_classes_the_provider_and_the_time():
    assert written("text", GOOD) == "a.png: dog 0.7500, cat 0.2500 [CPUExecutionProvider, 2.00 ms]\n"


def test_text_numbers_classes_without_names():
    answer = Classification(
        np.array([1.0], np.float32), labels=None, shape=(4, 6), source="a.png", provider="CPUExecutionProvider"
    )
    assert written("text", answer) == "a.png: class 0 1.0000 [CPUExecutionProvider]\n"


def test_text_keeps_failures_off_stdout(capsys):
    assert written("text", BAD) == ""
    assert capsys.readouterr().err == "edgecnn: b.png: expected an image\n"
