"""Questions about pictures as easy-VQA has them, and everything that is wrong with such files."""

import json

import numpy as np
import pytest
from PIL import Image

from edgecnn.data.faults import Faults
from edgecnn.data.fingerprint import fingerprint, image_digests
from edgecnn.data.load import load_dataset, read_dataset
from edgecnn.data.narrowing import with_answers
from edgecnn.data.questions import kind_of, read_questions
from edgecnn.data.survey import survey
from edgecnn.data.targets import NO_CLASS, Answers, Asked
from edgecnn.errors import DatasetError, UsageError

ASKED = [["What color is it?", "red", 0], ["Is it blue?", "no", 0], ["Is it blue?", "yes", 1], ["what is it", "box", 1]]


@pytest.fixture
def write(tmp_path):
    """Writes a part: `write("train", [[question, answer, id], ...], images=3)`; "" writes no parts."""

    def make(part, asked, *, images=2, root=tmp_path):
        folder = root / part
        (folder / "images").mkdir(parents=True)
        for index in range(images):
            random = np.random.default_rng([index, len(part)])
            pixels = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
        (folder / "questions.json").write_text(asked if isinstance(asked, str) else json.dumps(asked))
        return root

    return make


def test_read_questions_gives_a_picture_with_all_its_questions(write):
    write("train", ASKED)
    write("test", [["Is it RED?", "no", 0]], images=1)
    dataset = load_dataset(str(write("valid", [["Is it RED?", "no", "0"]], images=1)))
    assert [part.part for part in dataset.parts] == ["train", "val", "test"]
    assert dataset.labels == ("box", "no", "red", "yes")  # the train part's, sorted
    path, about = dataset.train[0]
    assert path.name == "0.png"
    assert about == (Asked("What color is it?", "what color", 2), Asked("Is it blue?", "is it", 1))
    assert dataset.test.targets.images == ((Asked("Is it RED?", "is it", 1),),)
    assert load_dataset(f"questions:{dataset.location.partition(':')[2]}").fingerprint == dataset.fingerprint


def test_read_questions_takes_the_order_of_answers_txt(write, tmp_path):
    (tmp_path / "answers.txt").write_text("yes\nno\nred\nbox\nnever said\n")
    assert read_questions(write("train", ASKED)).labels == ("yes", "no", "red", "box", "never said")


def test_read_questions_splits_one_folder(write):
    asked = [["is it", "yes" if index % 2 else "no", index] for index in range(20)]
    dataset = read_questions(write("", asked, images=20))
    assert dataset.is_split
    assert (len(dataset.train), len(dataset.test)) == (16, 4)


def test_a_question_that_is_asked_twice_with_one_answer_counts_once(write):
    dataset = read_questions(write("train", [*ASKED, ASKED[0]]))
    assert len(dataset.select("all").targets.every()) == len(ASKED)


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        (["is it", "yes"], "questions that cannot be read", r"\[4\]: expected \[question, answer, image id\]"),
        (["is it", "yes", 0, 1], "questions that cannot be read", r"\[4\]: expected"),
        ([1, "yes", 0], "questions that cannot be read", r"\[4\]: expected"),
        (["is it", 3, 0], "questions that cannot be read", r"\[4\]: expected"),
        (["is it", " ", 0], "questions that cannot be read", r"\[4\]: expected"),
        (["is it", "yes", True], "questions that cannot be read", r"\[4\]: expected"),
        (["is it", "yes", None], "questions that cannot be read", r"\[4\]: expected"),
        ("is it", "questions that cannot be read", r"\[4\]: expected"),
        (["?!", "yes", 0], "questions without a word", r"\[4\]: expected a question of words"),
        (["is it", "yes", 2], "files that a part names and that are missing", r"\[4\]: no image '2' in"),
        (["is it", "yes", "../0"], "files that a part names and that are missing", r"\[4\]: no image '../0' in"),
        (["Is it blue?", "yes", 0], "questions with two answers", r"\[4\]: expected 'no'.*received 'yes'"),
    ],
)
def test_faults_are_named_and_left_out(write, item, kind, message):
    root = write("train", [*ASKED, item])
    with pytest.raises(DatasetError, match=message):
        read_questions(root)
    faults = Faults(keep=True)
    dataset = read_questions(root, faults)
    assert [fault.kind for fault in faults.errors] == [kind]
    assert len(dataset.select("all").targets.every()) == len(ASKED)


def test_an_answer_that_training_does_not_have_is_a_fault(write):
    write("train", ASKED)
    with pytest.raises(DatasetError, match=r"test.*\[0\]: expected one of box, no, red, yes .*received 'maybe'"):
        read_questions(write("test", [["is it", "maybe", 0]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "questions.json:1: expected JSON"),
        ("[[\n1,]", "questions.json:2: expected JSON"),
        ("{}", "expected a list of"),
        ("[]", "expected a list of"),
        ("[" * 100_000, "expected JSON"),
        ('[["a", "b", NaN]]', "NaN is no JSON number"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(write, text, message):
    with pytest.raises(DatasetError, match=message):
        read_questions(write("train", text))


def test_a_file_that_is_no_utf8_is_refused_with_its_line(write, tmp_path):
    root = write("train", ASKED)
    (tmp_path / "train" / "questions.json").write_bytes(b'[\n["\xff", "a", 0]]')
    with pytest.raises(DatasetError, match=r"questions\.json:2: expected UTF-8"):
        read_questions(root)


def test_pictures_without_questions_are_left_out_and_noted(write):
    faults = Faults()
    dataset = read_questions(write("train", ASKED, images=4), faults)
    assert len(dataset.select("all")) == 2
    assert [fault.kind for fault in faults.notes] == ["pictures without questions"] * 2


def test_a_part_without_a_question_is_refused(write):
    with pytest.raises(DatasetError, match="expected pictures with questions in the train part"):
        read_questions(write("train", [["is it", "yes", 7]]), Faults(keep=True))


def test_survey_counts_questions_by_answer_and_kind(write):
    faults = Faults()
    surveyed = survey(read_dataset(str(write("train", ASKED)), faults), faults)
    tree = surveyed.to_dict()
    assert (tree["targets"], tree["format"], tree["labels"]) == ("questions", "questions", ("box", "no", "red", "yes"))
    (part,) = tree["parts"]
    assert (part["images"], part["objects"], part["empty"]) == (2, 4, 0)
    assert part["objects_per_class"] == (1, 1, 1, 1)
    assert part["kinds"] == {"is it": 2, "what color": 1, "what is": 1}
    assert "pixel_share" not in part


ANSWERS = Answers(
    tuple(tuple(Asked("q", "q", class_id) for class_id in ids) for ids in [[0, 0, 1]] * 5 + [[0]] * 6 + [[1, 2]] * 5)
)


def test_answers_count_pictures_and_the_rarest_answer():
    assert ANSWERS.counts(4).tolist() == [11, 10, 5, 0]
    assert ANSWERS.classes().tolist() == [1] * 5 + [0] * 6 + [2] * 5
    assert Answers(((),) * 3).classes().tolist() == [NO_CLASS] * 3
    assert Answers(()).counts(2).tolist() == [0, 0]


def test_answers_are_chosen_joined_and_renumbered():
    some = ANSWERS.subset(np.array([15, 0]))
    assert [[asked.class_id for asked in image] for image in some.images] == [[1, 2], [0, 0, 1]]
    assert len(some.joined([ANSWERS, some])) == 2 + 16 + 2
    swapped = some.truths(np.array([2, 1, 0]))
    assert [[asked.class_id for asked in image] for image in swapped] == [[1, 0], [2, 2, 1]]


@pytest.mark.parametrize("changed", [["what color is it?", "red", 0], ["What color is it?", "box", 0]])
def test_the_fingerprint_changes_with_a_question_and_with_an_answer(write, tmp_path, changed):
    parts = []
    for name, asked in (("a", ASKED), ("b", [changed, *ASKED[1:]])):
        root = tmp_path / name
        root.mkdir()
        (root / "answers.txt").write_text("box\nno\nred\nyes\n")
        parts.append(read_questions(write("train", asked, root=root)).select("all"))
    first, second = (fingerprint([part], [image_digests(part)]) for part in parts)
    assert first != second


def test_with_answers_refuses_data_without_questions_or_with_one_answer(write):
    with pytest.raises(UsageError, match=r"expected data with questions .*received a class an image"):
        with_answers(load_dataset("digits"))
    with pytest.raises(UsageError, match="at least 2 different answers"):
        with_answers(read_questions(write("train", [["is it", "yes", 0], ["is it", "yes", 1]])))


def test_kind_of_is_what_a_question_begins_with():
    assert [kind_of(text) for text in ("What COLOR is it?", "blue?", "is-it")] == ["what color", "blue", "is it"]
