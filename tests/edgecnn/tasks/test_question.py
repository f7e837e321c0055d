"""The room of questions: what is learned, by what it is judged, and that one question is one of many."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import accuracy_score

from edgecnn.data.samples import Samples
from edgecnn.data.targets import Answers, Asked, ClassIds
from edgecnn.errors import UsageError
from edgecnn.evaluation.evaluate import evaluate
from edgecnn.evaluation.scoring import score_dataset
from edgecnn.models import build_manifest, build_model, get_spec
from edgecnn.models.adapter import KerasModel
from edgecnn.models.layers import LastWord
from edgecnn.models.vqa import of_many_questions, of_one_question
from edgecnn.tasks.question.losses import AnswerCrossentropy, AnsweredRight
from edgecnn.tasks.question.metric import AnswerAccuracy, AnswerEvaluation, KindMetrics, with_text_alone
from edgecnn.tasks.question.outputs import NOT_ASKED, arrays, with_vocabulary
from edgecnn.tasks.question.pictures import draw_pictures
from edgecnn.tasks.table import TASKS
from edgecnn.training.config import TrainConfig
from edgecnn_runtime.questions import TextInput
from edgecnn_runtime.tasks.question import Answer

LABELS = ("yes", "no", "red")
IMAGES = (
    (Asked("Is it red?", "is it", 0), Asked("what color", "what color", 2)),
    (Asked("is it red", "is it", 1),),
    (Asked("What?", "what", 2), Asked("is it red", "is it", 1), Asked("is it blue now", "is it", 0)),
)
CONFIG = TrainConfig(model="vqa_cnn_lstm", data="shapes")


def samples(images=IMAGES, size=(32, 32)):
    pixels = np.random.default_rng(0).integers(0, 256, (len(images), *size, 3), dtype=np.uint8)
    return Samples(pixels, Answers(tuple(images)), LABELS, "train")


@pytest.fixture(scope="module")
def manifest():
    empty = build_manifest(get_spec("vqa_cnn_lstm"), LABELS, image_size=(32, 32), width=0.05)
    return with_vocabulary(empty, samples(), config=CONFIG, earlier=None)


@pytest.fixture(scope="module")
def model(manifest):
    return build_model("vqa_cnn_lstm", image_size=(32, 32), num_classes=3, width=0.05, text=manifest.text_input, seed=3)


def test_with_vocabulary_takes_every_word_and_the_longest_question(manifest):
    assert manifest.text_input == TextInput("question", 4, ("blue", "color", "is", "it", "now", "red", "what"))


def test_with_vocabulary_refuses_to_mirror_where_sides_are_named(manifest):
    flipped = dataclasses.replace(CONFIG, augment=("shift", "flip"))
    sided = samples([*IMAGES, (Asked("is it left?", "is it", 0),)])
    assert with_vocabulary(manifest, samples(), config=flipped, earlier=None)
    assert with_vocabulary(manifest, sided, config=CONFIG, earlier=None)
    with pytest.raises(UsageError, match=r"--augment flip: .* with the words left"):
        with_vocabulary(manifest, sided, config=flipped, earlier=None)
    answered = dataclasses.replace(samples(), labels=("upper Right", "no", "red"))
    with pytest.raises(UsageError, match=r"--augment flip: .* with the words right"):
        with_vocabulary(manifest, answered, config=flipped, earlier=None)


def test_arrays_hold_all_questions_and_mark_what_is_not_asked(manifest):
    found = arrays(Answers(IMAGES), [None] * 3, (32, 32), text=manifest.text_input)
    words = {"blue": 2, "color": 3, "is": 4, "it": 5, "now": 6, "red": 7, "what": 8}
    assert found["questions"].shape == (3, 3, 4)
    assert found["questions"][0].tolist() == [
        [words["is"], words["it"], words["red"], 0],
        [words["what"], words["color"], 0, 0],
        [0, 0, 0, 0],
    ]
    assert found["class_ids"].tolist() == [[0, 2, NOT_ASKED], [1, NOT_ASKED, NOT_ASKED], [2, 1, 0]]
    with pytest.raises(TypeError, match="expected questions"):
        arrays(ClassIds(np.zeros(1, np.int64)), [], text=manifest.text_input)


def test_last_word_is_the_last_state_of_a_masked_layer():
    keras.utils.set_random_seed(1)
    ids = np.array([[3, 4, 5, 6, 7], [2, 1, 0, 0, 0], [5, 0, 0, 0, 0], [1, 2, 3, 4, 0]], np.int32)
    lstm = keras.layers.LSTM(6, return_sequences=True)
    states = lstm(tf.random.stateless_normal((4, 5, 3), (1, 2)))
    picked = LastWord()(states, ids).numpy()
    masked = keras.layers.LSTM(6)
    masked.build((4, 5, 3))
    masked.set_weights(lstm.get_weights())
    expected = masked(tf.random.stateless_normal((4, 5, 3), (1, 2)), mask=tf.constant(ids != 0)).numpy()
    assert np.array_equal(picked, expected)
    assert not LastWord()(states, np.zeros_like(ids)).numpy().any()


def test_many_questions_are_answered_as_each_alone(model, manifest):
    many = of_many_questions(model)
    part = samples()
    asked = arrays(part.targets, [None] * 3, text=manifest.text_input)
    together = many([part.sources, asked["questions"]], training=False).numpy()
    for image, number in np.argwhere(asked["class_ids"] != NOT_ASKED):
        alone = model([part.sources[[image]], asked["questions"][[image], number]], training=False).numpy()
        assert together[image, number] == pytest.approx(alone[0], abs=1e-5)
    back = of_one_question(many, manifest)
    assert back is not model
    assert [tensor.name for tensor in back.inputs] == ["image", "question"]
    feeds = [part.sources, asked["questions"][:, 0]]
    assert np.array_equal(back(feeds, training=False), model(feeds, training=False))
    assert of_one_question(model, manifest) is model


def test_loss_and_metric_take_no_notice_of_what_is_not_asked():
    random = np.random.default_rng(0)
    truth = np.array([[0, 2, -1], [1, -1, -1], [2, 1, 0]], np.int32)
    logits = random.normal(0, 2, (3, 3, 4)).astype(np.float32)
    said = truth >= 0
    chosen = logits[said].astype(np.float64)
    logs = chosen - np.log(np.exp(chosen).sum(axis=1, keepdims=True))
    expected = -logs[np.arange(len(chosen)), truth[said]].mean()
    assert float(AnswerCrossentropy()(truth, logits)) == pytest.approx(expected, rel=1e-5)
    metric = AnsweredRight()
    metric.update_state(truth, logits)
    assert float(metric.result()) == pytest.approx(accuracy_score(truth[said], chosen.argmax(axis=1)))
    assert float(AnswerCrossentropy()(np.full((1, 2), -1), logits[:1, :2])) == 0.0


def answers(class_ids):
    scores = np.eye(3, dtype=np.float32)[list(class_ids)]
    return [Answer(row, labels=LABELS, shape=(32, 32)) for row in scores]


def test_metric_tells_kinds_apart_and_what_the_most_frequent_answer_gets(manifest):
    asked = [Asked("q", kind, class_id) for kind, class_id in
             (("is it", 0), ("is it", 1), ("is it", 1), ("is it", 0), ("is it", 1), ("what", 2))]  # fmt: skip
    metric = AnswerAccuracy(manifest)
    metric.update(answers([0, 1, 0]), asked[:3])
    metric.update(answers([1, 1, 2]), asked[3:])
    assert metric.value() == pytest.approx(accuracy_score([0, 1, 1, 0, 1, 2], [0, 1, 0, 1, 1, 2]))
    assert metric.scores().tolist() == [1, 1, 0, 0, 1, 1]
    tree = metric.evaluation(skipped=2).to_dict()
    assert (tree["skipped"], tree["questions"], tree["most_frequent"], tree["text_alone"]) == (2, 6, 0.5, None)
    assert [
        (one["kind"], one["questions"], one["answer_accuracy"], one["most_frequent"]) for one in tree["per_kind"]
    ] == [
        ("is it", 5, 0.6, 0.6),
        ("what", 1, 1.0, 1.0),
    ]


class Reads:
    """A model that answers by the first word alone, or by the picture's brightness alone."""

    def __init__(self, by):
        self.by = by

    def run(self, feeds):
        rows = len(feeds["image"])
        seen = (
            feeds["image"].reshape(rows, -1).mean(axis=1) > 127 if self.by == "picture" else feeds["question"][:, 0] % 2
        )
        logits = np.zeros((rows, 3), np.float32)
        logits[np.arange(rows), np.asarray(seen, np.int64)] = 5
        return {"logits": logits}


def test_text_alone_shows_which_model_looks(manifest):
    bright, dark = np.full((2, 32, 32, 3), 220, np.uint8), np.zeros((2, 32, 32, 3), np.uint8)
    about = [(Asked("is it red", "is it", 1),)] * 2 + [(Asked("is it red", "is it", 0),)] * 2
    part = Samples(np.concatenate([bright, dark]), Answers(tuple(about)), LABELS, "test")
    looking, reading = Reads("picture"), Reads("words")
    scores = {}
    for model in (looking, reading):
        plain = evaluate(model, manifest, part)
        whole = with_text_alone(plain, model, manifest, part)
        scores[model.by] = (whole.answer_accuracy, whole.every.text_alone, whole.per_kind[0].text_alone)
        assert plain.every.text_alone is None
    assert scores == {"picture": (1.0, 0.5, 0.5), "words": (0.5, 0.5, 0.5)}


def test_evaluate_counts_pictures_and_asks_every_question(model, manifest):
    part = samples()
    keras_model = KerasModel(model, manifest)
    evaluation = evaluate(keras_model, manifest, part, batch_size=2)
    assert (evaluation.images, evaluation.every.questions) == (3, 6)
    rows = [(index, asked) for index, about in enumerate(IMAGES) for asked in about]
    ids = arrays(part.targets, [None] * 3, text=manifest.text_input)["questions"]
    flat = np.concatenate([ids[index, : len(about)] for index, about in enumerate(IMAGES)])
    logits = model([part.sources[[index for index, _ in rows]], flat], training=False).numpy()
    right = accuracy_score([asked.class_id for _, asked in rows], logits.argmax(axis=1))
    assert evaluation.answer_accuracy == pytest.approx(right)


def test_score_dataset_has_text_alone_beside_the_score(model, manifest):
    from edgecnn.data.parts import make_dataset

    part = samples()
    dataset = make_dataset("questions", "questions", [part, part.called("test")])
    scored = score_dataset(KerasModel(model, manifest), manifest, dataset)
    assert scored.to_dict()["text_alone"] is not None
    assert "with the picture blacked out" in scored.evaluation.headline()


@pytest.mark.parametrize("text_alone", [0.25, None])
def test_kinds_say_nothing_of_blacked_out_pictures_that_nobody_looked_at(tmp_path, monkeypatch, text_alone):
    every = KindMetrics("every", 8, 0.75, 0.5, text_alone)
    drawn = []
    monkeypatch.setattr("edgecnn.tasks.question.pictures.save_figure", lambda *given: drawn.append(given))
    draw_pictures(AnswerEvaluation(8, every, (dataclasses.replace(every, kind="what"),)), tmp_path)
    ((figure, path),) = drawn
    assert (path.name,) == TASKS["question"].picture_names
    bars = {bar.get_label(): [patch.get_width() for patch in bar] for bar in figure.axes[0].containers}
    blind = {} if text_alone is None else {"right with the picture blacked out": [0.25, 0.25]}
    assert bars == {"right": [0.75, 0.75], "the most frequent answer": [0.5, 0.5], **blind}
