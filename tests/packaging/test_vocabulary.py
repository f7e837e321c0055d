"""docs/vocabulary.md says what the code says: each name on it is one, and each that differs stands on it."""

import inspect
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import typer

from edgecnn.cli import app
from edgecnn.cli.answers import CsvWriter
from edgecnn.evaluation.scoring import Scored
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.export import export_source
from edgecnn.tasks.classification.metric import ClassificationEvaluation, ClassMetrics
from edgecnn.training import TrainConfig, train
from edgecnn.training.event_log import EventLog
from edgecnn.training.history import EpochMetrics
from edgecnn_runtime import Classification, Failure, Predictor, raw
from edgecnn_runtime.decoders import YoloDecoder
from edgecnn_runtime.plain import PlainModel
from edgecnn_runtime.questions import Question
from edgecnn_runtime.results import Result, Speed
from edgecnn_runtime.tasks.detection import Detections
from edgecnn_runtime.tasks.localization import Localization
from edgecnn_runtime.tasks.question import Answer
from edgecnn_runtime.tasks.segmentation import Segmentation
from edgecnn_runtime.tasks.table import get_task

PAGE = (Path(__file__).parents[2] / "docs" / "vocabulary.md").read_text(encoding="utf-8")
SCORES, BOX = np.float32([0.25, 0.75]), np.float32([1, 0, 3, 2])
SHAPE = {"labels": ("cat", "dog"), "shape": (2, 4)}
RESULTS = (
    Classification(SCORES, **SHAPE),
    Localization(SCORES, BOX, **SHAPE),
    Detections(BOX[np.newaxis], np.float32([0.75]), np.array([1]), **SHAPE),
    Segmentation(np.uint8([[0, 1, 1, 1]] * 2), **SHAPE),
    Answer(SCORES, **SHAPE),
)
FAILURE = Failure("a.png", "image", "why")


def tables(section):
    """The tables of a section, each a list of rows, each a list of the names in each of its cells."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^\|.*\n)+", text + "\n", flags=re.MULTILINE)
    lines = [[line.strip("|").split("|") for line in block.splitlines()[2:]] for block in blocks]
    return [[[re.findall(r"`([^`]+)`", cell) for cell in row] for row in block] for block in lines]


def named(rows, column):
    """All names in a column."""
    return {name for row in rows for name in row[column]}


def test_every_key_of_a_prediction_stands_there():
    rows = tables("An answer")[0]
    assert named(rows, 1) == {key for result in RESULTS for key in result.predictions(1)[0]}
    assert named(rows, 2) == {column for result in RESULTS for column in get_task(result.task).columns}
    for (attribute,), _, _, _ in rows:
        assert any(hasattr(result, attribute) for result in RESULTS), attribute


def test_a_key_of_a_prediction_holds_what_the_attribute_beside_it_does():
    rows = {json: attribute for (attribute,), (json,), _, _ in tables("An answer")[0]}
    found, answered = RESULTS[1], RESULTS[4]
    (prediction,) = found.predictions(1)
    for key in ("name", "class", "confidence"):
        assert prediction[key] == getattr(found, rows[key])
    assert list(prediction["box"].values()) == list(getattr(found, rows["box"]))
    assert answered.predictions(1)[0]["answer"] == getattr(answered, rows["answer"])
    masked = RESULTS[3].predictions(1)[0]
    assert (masked["class"], masked["pixels"]) == getattr(RESULTS[3], rows["pixels"])(1)[0]


def test_every_key_beside_the_predictions_stands_there():
    question, speed = Question("is it", ("it",), ("is",)), Speed(1.0, 2.0, 3.0)
    answered = replace(RESULTS[0], source="a.gif", provider="CPU", speed_ms=speed, frames=2, question=question)
    tree, rows = answered.to_dict(), tables("An answer")[1]
    errors = {f"error.{key}": value for key, value in FAILURE.to_dict()["error"].items()}
    assert named(rows, 1) == {*tree, *errors} - {"predictions"}
    for attributes, json, _, _ in rows:
        for attribute, key in zip(attributes, json, strict=True):
            held = FAILURE if key in errors else answered
            for part in attribute.split("."):
                held = getattr(held, part)
            if key != "speed_ms":
                assert (errors | tree)[key] == (list(held) if isinstance(held, tuple) else held)
    assert named(rows, 3) - {"Failure"} == set(tree["speed_ms"])


def test_every_column_of_csv_stands_there():
    class Kept:
        text = ""

        def write(self, text):
            self.text += text

    kept = Kept()
    CsvWriter(kept, 1, columns=(), asks=True)
    assert named(tables("An answer")[1], 2) == set(kept.text.strip().split(","))


def options(command):
    """The options of a command."""
    parameters = typer.main.get_command(app).commands[command].params
    return {max(one.opts, key=len) for one in parameters if one.param_type_name == "option"}


def fields_of(kind):
    return {field.name for field in fields(kind)}


def arguments(*functions):
    return {name for function in functions for name in inspect.signature(function).parameters}


@pytest.mark.parametrize(
    ("command", "config", "function"), [("train", TrainConfig, train), ("export", ExportConfig, export_source)]
)
def test_every_option_has_its_own_name_in_python_or_a_row(command, config, function):
    (rows,) = tables(f"Options of {command}")
    told = {name for name in named(rows, 0) if name.startswith("--")}
    assert told <= options(command)
    for option in options(command) - told:
        assert option.removeprefix("--").replace("-", "_") in fields_of(config), option
    for row in rows:
        names = [name for name in row[1] if name != function.__name__]
        assert set(names) <= fields_of(config) | arguments(function)
        assert len(names) in (1, len(row[0]))


def test_every_option_of_run_that_python_has_stands_there():
    (rows,) = tables("Options of run")
    assert named(rows, 0) | {"--questions", "--format", "--crop", "--txt"} == options("run")
    functions = (Predictor.load, Predictor.predict, Predictor.predict_batch, Predictor.stream)
    known = fields_of(YoloDecoder) | arguments(*functions, Result.draw, Result.predictions)
    known |= {"Segmentation", "PlainModel", "edgecnn_runtime", "raw", *dir(Predictor), *dir(Segmentation), *dir(raw)}
    known |= arguments(PlainModel)
    for row in rows:
        for name in row[1]:
            assert set(re.sub(r"^predictor\.|\(.*\)$", "", name).removeprefix("Predictor.").split(".")) <= known, name


def test_what_a_training_scores_has_these_names(tmp_path):
    metrics = EpochMetrics(1, 0.5, {"accuracy": 0.25}, 0.75, {"accuracy": 0.125})
    (rows,) = tables("What a training scores")
    EventLog(tmp_path / "log", TrainConfig("simple_cnn", "x"), (metrics,)).close()
    scored = {"epoch": metrics.epoch, **metrics.series()}
    assert [row[1] for row in rows] == [[name] for name in scored]
    for (attribute,), (column,), tag, _ in rows:
        name, _, key = attribute.rstrip("]").partition("[")
        held = getattr(metrics, name)
        assert (held[key.strip('"')] if key else held) == scored[column]
        if tag:
            assert tag[0].encode() in (tmp_path / "log" / tag[1] / "events.out.tfevents.edgecnn").read_bytes()


def test_what_an_evaluation_shows_has_these_names():
    entry = ClassMetrics("cat", 0, None, None, 0)
    assert set(ClassificationEvaluation(1, 1.0, None, (entry,), np.eye(1)).to_dict()) <= fields_of(
        ClassificationEvaluation
    )
    (rows,) = tables("What an evaluation shows")
    differing = {f"per_class[].{key}" for key in entry.to_dict() if not hasattr(entry, key)}
    assert {name for name in named(rows, 1) if "[]" in name} == differing
    for (attribute,), _, _ in rows:
        assert attribute.split(".")[-1] in fields_of(ClassMetrics) | fields_of(Scored) | {"part"}
