"""`edgecnn run --score-threshold` of a model whose answer is one class: what is below it is not said to be so."""

import csv
import json

import numpy as np
import pytest
from model_files import make_graph, make_manifest, stamp
from PIL import Image

from edgecnn.cli import main
from edgecnn_runtime.tasks.scores import softmax

BIAS = (0.0, 1.0, 3.0)  # logits of a black picture
SCORES = [float(score) for score in softmax(np.float32([BIAS]))[0]]  # .042, .114, .844 of the classes 0, 1, 2


@pytest.fixture
def answered(tmp_path, capfd):
    """What a run prints of one black picture: `answered("0.5", "json")`."""
    file, picture = tmp_path / "model.onnx", tmp_path / "a.png"
    file.write_bytes(stamp(make_graph(bias=BIAS), make_manifest(labels=("cat", "dog", "owl"))))
    Image.new("L", (6, 8)).save(picture)

    def run(threshold, format, *options, code=0):
        words = [] if threshold is None else ["--score-threshold", threshold]
        assert main(["run", str(file), str(picture), "--format", format, *words, *options]) == code
        captured = capfd.readouterr()
        return captured.out if code == 0 else " ".join(captured.err.split())

    return run


@pytest.mark.parametrize(
    ("threshold", "text"),
    [
        (None, "owl 0.8438, dog 0.1142, cat 0.0420"),
        ("0", "owl 0.8438, dog 0.1142, cat 0.0420"),
        ("0.1", "owl 0.8438, dog 0.1142"),
        ("0.5", "owl 0.8438"),
        ("0.9", "unsure (owl 0.8438)"),
        ("1", "unsure (owl 0.8438)"),
    ],
)
def test_run_says_what_it_is_sure_of(answered, threshold, text):
    assert answered(threshold, "text").partition("a.png: ")[2].partition(" [")[0] == text
    kept = [score for score in sorted(SCORES, reverse=True) if score >= float(threshold or 0)]
    (tree,) = json.loads(answered(threshold, "json"))
    assert [found["confidence"] for found in tree["predictions"]] == pytest.approx(kept)
    assert json.loads(answered(threshold, "jsonl"))["predictions"] == tree["predictions"]
    rows = list(csv.DictReader(answered(threshold, "csv").splitlines()))
    assert [row["name"] for row in rows] == ([found["name"] for found in tree["predictions"]] or [""])


def test_run_shows_no_more_than_was_asked_for(answered):
    assert "owl 0.8438 [" in answered("0.1", "text", "--top-k", "1")


def test_run_writes_on_the_picture_that_it_is_unsure(answered, tmp_path):
    for threshold in ("0.5", "0.9"):
        answered(threshold, "text", "--save", str(tmp_path / threshold))
    sure, unsure = ((tmp_path / threshold / "a.png").read_bytes() for threshold in ("0.5", "0.9"))
    assert sure != unsure


@pytest.mark.parametrize("threshold", ["1.5", "-0.1", "nan", "much", "owl=0.5"])
def test_run_refuses_what_is_no_part_of_one(answered, threshold):
    message = answered(threshold, "text", code=2)
    assert "--score-threshold" in message
    assert "expected one number" in message or "expected a number" in message
    assert repr(threshold) in message
