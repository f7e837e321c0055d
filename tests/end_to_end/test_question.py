"""Questions the whole way from the command line: the demonstration, a folder of questions, answers, bad input."""

import csv
import io
import json

import numpy as np
import pytest
from in_one_process import run_commands
from in_one_process import said as what_they_said
from PIL import Image

from edgecnn.data.narrowing import with_answers
from edgecnn.data.scenes import render
from edgecnn.data.shapes import read_shapes, scene_of
from edgecnn_runtime import Predictor

pytestmark = pytest.mark.slow
MOST = 1  # shape in a picture, as the demonstration has it
PICTURES = 8
BLUE = "Is there a blue circle?"


@pytest.fixture(scope="session")
def gone(made_once):
    """A folder with the demonstration, other files of its run, a folder of questions, and what each command said."""

    def go(folder):
        demo, asked, data = folder / "demo", folder / "asked", ("--data", "shapes:1")
        (asked / "images").mkdir(parents=True)
        dataset, listed = with_answers(read_shapes(MOST)), []
        (asked / "answers.txt").write_text("".join(f"{answer}\n" for answer in dataset.labels))
        for index in range(PICTURES):
            Image.fromarray(render(scene_of("test", index, MOST))).save(asked / "images" / f"{index}.png")
            about = dataset.test.targets.truth(index)
            listed += [[one.text, dataset.labels[one.class_id], index] for one in about]
        (asked / "questions.json").write_text(json.dumps(listed))
        run_commands(
            folder,
            {
                "demo": ("demo", "--task", "question", "-o", demo),
                "data": ("data", asked, "--format", "json", "--save", folder / "sheets"),
                "told": ("data", asked),
                "evaluate": ("evaluate", demo / "run", *data, "--format", "json", "--save", folder / "drawn"),
                "divided": ("export", demo / "run", *data, "--split", "-o", folder / "divided.onnx"),
                "small": ("export", demo / "run", *data, "--split", "--quantize", "int8", "--min-speedup", "0",
                          "-o", folder / "divided.int8.onnx"),
                "half": ("export", demo / "run", *data, "--quantize", "fp16", "--batch", "dynamic",
                         "-o", folder / "half.onnx"),
            },
        )  # fmt: skip

    return made_once("asked", go)


@pytest.fixture(scope="session")
def said(gone):
    return what_they_said(gone)


FILES = ["demo/shapes.onnx", "demo/shapes.int8.onnx", "divided.onnx", "divided.int8.onnx", "half.onnx"]


@pytest.fixture(scope="session", params=FILES)
def file(request, gone):
    return gone / request.param


def test_every_step_ends_well(said, gone):
    failed = {name: one["stderr"] for name, one in said.items() if one["code"] != 0}
    assert failed == {}
    assert {path.name for path in (gone / "drawn").iterdir()} == {"kinds.png", "worst.png"}
    for name in ("drawn/kinds.png", "drawn/worst.png", "sheets/all.png", "demo/annotated.png"):
        with Image.open(gone / name) as drawn:
            drawn.load()


def test_the_demonstration_looks_at_the_pictures(said):
    """Of what it answers right most is not to be had without looking, nor by the most frequent answer."""
    tree = json.loads(said["evaluate"]["stdout"])
    assert tree["answer_accuracy"] >= LOOKS
    assert tree["text_alone"] <= tree["answer_accuracy"] - 0.15
    assert tree["most_frequent"] <= tree["answer_accuracy"] - 0.15
    assert sum(one["questions"] for one in tree["per_kind"]) == tree["questions"]
    told = next(line for line in said["demo"]["stdout"].splitlines() if line.startswith("answer accuracy of the file"))
    assert min(map(float, told.split()[5:])) >= LOOKS


LOOKS = 0.7  # of all questions: a narrow network after the few epochs of a demonstration


def test_data_tells_of_answers_and_kinds(said):
    tree = json.loads(said["data"]["stdout"])
    assert (tree["targets"], tree["parts"][0]["images"]) == ("questions", PICTURES)
    assert sum(tree["parts"][0]["kinds"].values()) == tree["parts"][0]["objects"]
    assert "all share" in said["told"]["stdout"]
    assert "is there" in said["told"]["stdout"]


def test_verify_proves_the_file(edgecnn, file):
    done = edgecnn("verify", file, "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_evaluate_counts_what_run_gives(edgecnn, gone, file):
    """Every question is asked once by `run`, one process a question, and once by `evaluate`."""
    listed = json.loads((gone / "asked" / "questions.json").read_text())[:12]
    predictor = Predictor.load(file, device="cpu")
    right = [
        predictor.predict(gone / "asked" / "images" / f"{index}.png", text).label == answer
        for text, answer, index in json.loads((gone / "asked" / "questions.json").read_text())
    ]
    evaluated = json.loads(edgecnn("evaluate", file, "--data", gone / "asked", "--format", "json").stdout)
    assert evaluated["answer_accuracy"] == pytest.approx(np.mean(right))
    assert (evaluated["images"], evaluated["questions"]) == (PICTURES, len(right))
    text, _, index = listed[0]
    picture = gone / "asked" / "images" / f"{index}.png"
    (answer,) = json.loads(edgecnn("run", file, picture, "--question", text, "--format", "json").stdout)
    assert answer["predictions"][0]["answer"] == predictor.predict(picture, text).label


def test_a_divided_file_answers_as_the_whole_one(edgecnn, gone, tmp_path):
    (tmp_path / "asked.txt").write_text(f"\ufeff{BLUE}\n\nHow many shapes are there?\nWhere is the red cross?\n")
    command = ["--questions", tmp_path / "asked.txt", "--question", "What is the red shape?", "--format", "json"]
    answers = []
    for name in ("demo/shapes.onnx", "divided.onnx"):
        told = edgecnn("run", gone / name, gone / "asked" / "images", *command, "--device", "cpu", "--threads", "1")
        assert told.returncode == 0, told.stderr
        answers.append([(one["source"], one["question"], one["predictions"]) for one in json.loads(told.stdout)])
    assert len(answers[0]) == 4 * PICTURES
    assert [question for _, question, _ in answers[0][:4]] == [
        "What is the red shape?",
        BLUE,
        "How many shapes are there?",
        "Where is the red cross?",
    ]
    for whole, divided in zip(*answers, strict=True):
        assert whole[:2] == divided[:2]
        assert [one["name"] for one in whole[2]] == [one["name"] for one in divided[2]]
        scores = [[one["confidence"] for one in answer[2]] for answer in (whole, divided)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_every_format_and_drawing_says_the_same(edgecnn, gone, tmp_path):
    file, picture = gone / "demo" / "shapes.int8.onnx", gone / "asked" / "images" / "3.png"
    asked = ["--question", BLUE, "--question", "Is it mauve, or blue?"]
    command = ["run", file, picture, "--device", "cpu", "--top-k", "2", *asked, "--format"]
    answers = json.loads(edgecnn(*command, "json", "--save", tmp_path / "saved").stdout)
    assert [(one["question"], one["unknown_words"], one["words_cut"]) for one in answers] == [
        (BLUE, [], []),
        ("Is it mauve, or blue?", ["it", "mauve", "or"], []),
    ]
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["3-2.png", "3.png"]
    rows = list(csv.DictReader(io.StringIO(edgecnn(*command, "csv").stdout)))
    assert [(row["question"], row["rank"], row["name"]) for row in rows] == [
        (one["question"], str(rank), found["name"])
        for one in answers
        for rank, found in enumerate(one["predictions"], 1)
    ]
    lines = edgecnn(*command, "jsonl").stdout.splitlines()
    assert [json.loads(line)["predictions"] for line in lines] == [one["predictions"] for one in answers]
    told = edgecnn(*command, "text")
    for line, one in zip(told.stdout.splitlines(), answers, strict=True):
        assert line.startswith(f"{picture}: {one['question']} {one['predictions'][0]['name']} ")
    assert "unknown: it mauve or" in told.stdout.splitlines()[1]
    assert "'Is it mauve, or blue?': words that the model does not see: unknown: it mauve or" in told.stderr
    for format in ("coco", "yolo"):
        assert edgecnn(*command, format).returncode == 2


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, ["expected one", "received none"]),
        (("--question", ""), 2, ["at least one word"]),
        (("--question", "?!"), 2, ["at least one word"]),
        (("--question", "\U0001f600"), 2, ["at least one word"]),
        (("--question", BLUE, "--question", " "), 2, ["at least one word"]),
        (("--questions", "missing.txt"), 2, ["missing.txt cannot be read"]),
        (("--questions", "empty.txt"), 2, ["a question a line, received none"]),
        (("--questions", "latin.txt"), 2, ["UTF-8"]),
        (("--questions", "."), 2, ["cannot be read"]),
    ],
)
def test_bad_questions_are_said_in_a_line(edgecnn, gone, tmp_path, options, code, words):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes(b"\xe9t\xe9\n")
    picture = gone / "asked" / "images" / "0.png"
    done = edgecnn("run", gone / "divided.onnx", picture, *options, "--format", "json", cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.parametrize(
    "text",
    [
        "mauve heliotrope",
        "x" * 100_000,
        "is \x1b[31mred\x07 there \U0001f600 a",
        f"{BLUE} {'and ' * 200}",
        "\udcff mauve circle",
    ],
)
def test_odd_questions_are_answered_and_what_is_not_seen_is_named(edgecnn, gone, tmp_path, text):
    picture = gone / "asked" / "images" / "0.png"
    (tmp_path / "asked.txt").write_text(text, encoding="utf-8", errors="replace")
    given = ["--questions", tmp_path / "asked.txt"] if len(text) > 1000 else ["--question", text]
    done = edgecnn("run", gone / "divided.onnx", picture, *given, "--format", "json")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert answer["unknown_words"] or answer["words_cut"]
    assert "words that the model does not see" in done.stderr
    assert "\x1b" not in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 1000


def test_a_question_for_a_classifier_is_refused(edgecnn, one_line, model_file, digits):
    done = edgecnn("run", model_file, digits / "3.png", "--question", "what is it")
    assert done.returncode == 2
    one_line(done.stderr, "takes an image alone")


def test_the_file_of_questions_is_no_place_to_write(edgecnn, gone, tmp_path):
    (tmp_path / "saved").mkdir()
    asked = tmp_path / "saved" / "asked.png"
    asked.write_text(BLUE)
    picture = gone / "asked" / "images" / "0.png"
    done = edgecnn("run", gone / "divided.onnx", picture, "--questions", asked, "--save", tmp_path / "saved")
    assert done.returncode == 2
    assert "is never overwritten" in done.stderr
    assert asked.read_text() == BLUE


def test_bench_measures_a_new_picture_and_a_further_question(edgecnn, gone):
    files = [gone / "demo" / "shapes.onnx", gone / "divided.onnx"]
    options = ("--threads", "1", "--runs", "20", "--starts", "1", "--device", "cpu")
    tree = json.loads(edgecnn("bench", *files, *options, "--format", "json").stdout)
    assert [one["further_ms"]["n"] for one in tree["files"]] == [20, 20]
    assert "a further question, p50" in edgecnn("bench", *files, *options).stdout
    scenario = edgecnn("bench", files[1], "--scenario", "single-stream", "--threads", "1", "--runs", "70")
    assert scenario.returncode == 0, scenario.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("export", "mnist_convnet", "--weights", "none", "--split"), ["--split", "answers no questions"]),
        (("export", "vqa_cnn_lstm", "--weights", "none", "--split", "--batch", "2"), ["--split", "--batch 1"]),
        (("export", "vqa_cnn_lstm", "--weights", "none", "--split", "--batch", "dynamic"), ["--split", "dynamic"]),
        (("train", "vqa_cnn_lstm", "--data", "digits"), ["expected data with questions"]),
        (("train", "vqa_cnn_lstm", "--data", "shapes:2", "--augment", "flip"), ["--augment flip", "left"]),
        (("train", "vqa_cnn_lstm", "--data", "shapes:2", "--augment", "mosaic"), ["mosaic"]),
    ],
)
def test_what_cannot_be_is_said_in_a_line(edgecnn, one_line, tmp_path, command, words):
    done = edgecnn(*command, "-o", tmp_path / "out", "--image-size", "32,32", "--width", "0.1")
    assert done.returncode == 2, done.stderr
    one_line(done.stderr, *words)
    assert not list(tmp_path.glob("out*")) or not any((tmp_path / "out").iterdir())


def test_inspect_tells_of_the_question(edgecnn, gone):
    shown = edgecnn("inspect", gone / "divided.onnx").stdout
    assert "a question of up to" in shown
    assert "keeps 64 numbers of a picture for further questions" in shown
    tree = json.loads(edgecnn("inspect", gone / "divided.onnx", "--format", "json").stdout)
    assert tree["manifest"]["inputs"][1]["kind"] == "text"
    assert [one["name"] for one in tree["graph"]["inputs_with_default"]] == ["picture_is_known", "known_picture"]
    assert all(sample["question"] for sample in tree["evidence"]["golden"])


def test_a_run_that_goes_on_ends_as_one_that_went_through(edgecnn, tmp_path):
    options = ["vqa_cnn_lstm", "--data", "shapes:1", "--image-size", "32,32", "--width", "0.05", "--batch-size", "64"]
    options += ["--learning-rate", "0.002", "--seed", "3"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert edgecnn("train", *options, "--epochs", "2", "-o", whole).returncode == 0
    assert edgecnn("train", *options, "--epochs", "1", "-o", halves).returncode == 0
    done = edgecnn("train", *options, "--epochs", "2", "-o", halves, "--resume")
    assert done.returncode == 0, done.stderr
    assert (whole / "history.csv").read_text() == (halves / "history.csv").read_text()
