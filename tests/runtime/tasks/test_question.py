"""Files that answer questions, against plain arithmetic."""

import base64
import dataclasses
import io
import json
import pickle
import threading

import model_files
import numpy as np
import pytest
import questions
from onnx import TensorProto, helper
from PIL import Image

from edgecnn_exporters.graph.splitting import kept_in_graph, split
from edgecnn_runtime import Failure, ManifestError, Predictor, QuestionError, SessionError
from edgecnn_runtime.container import holds_operator, parse_model_file
from edgecnn_runtime.decoders import AnswerDecoder, KeptPicture, OutputSpec, SoftmaxDecoder
from edgecnn_runtime.evidence import AnswersParity
from edgecnn_runtime.golden import GoldenSample
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import read_by
from edgecnn_runtime.session import Session
from edgecnn_runtime.tasks.question import QUESTION, Answer
from edgecnn_runtime.verification import describe, verify

ASKED = {"Is it blue?": [3, 4, 2], "What's it?": [6, 4], "shape": [5]}  # with the numbers of their words


@pytest.fixture(scope="module", params=[1, 2, "batch"])
def predictor(request, tmp_path_factory):
    path = questions.write(tmp_path_factory.mktemp("model") / "vqa.onnx", batch=request.param)
    return Predictor.load(path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def divided():
    """The graph that sees a picture once, and its manifest."""
    model = questions.make_model()
    manifest = kept_in_graph(model, questions.make_manifest())
    return split(model, manifest), manifest


@pytest.mark.parametrize(("text", "words"), ASKED.items())
def test_predict_answers_the_question(predictor, text, words):
    pixels = questions.draw(1)
    answer = predictor.predict(pixels, text)
    assert isinstance(answer, Answer)
    assert answer.scores == pytest.approx(questions.expected_scores(pixels, words), rel=1e-5)
    assert answer.question.text == text
    assert answer.label == questions.ANSWERS[int(np.argmax(questions.expected_scores(pixels, words)))]


def test_predict_batch_asks_everything_of_every_picture_and_reads_each_once(predictor, monkeypatch):
    pictures, read = [questions.draw(seed) for seed in range(3)], []
    plain = predictor.inputs._preprocess
    monkeypatch.setattr(predictor.inputs, "_preprocess", lambda image: read.append(1) or plain(image))
    answers = predictor.predict_batch(pictures, questions=list(ASKED))
    expected = [(pixels, text) for pixels in pictures for text in ASKED]
    assert len(answers) == len(expected) == 9
    assert len(read) == 3
    for answer, (pixels, text) in zip(answers, expected, strict=True):
        assert answer.question.text == text
        assert answer.scores == pytest.approx(questions.expected_scores(pixels, ASKED[text]), rel=1e-5)


def test_stream_gives_one_failure_for_a_picture_that_cannot_be_read(predictor, tmp_path):
    Image.fromarray(questions.draw(0)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    Image.fromarray(questions.draw(2)).save(tmp_path / "c.png")
    answers = list(predictor.stream(str(tmp_path), questions=["is it", "blue"]))
    assert [isinstance(answer, Failure) for answer in answers] == [False, False, True, False, False]
    assert [answer.source[-5:] for answer in answers] == ["a.png", "a.png", "b.png", "c.png", "c.png"]


@pytest.mark.parametrize("asked", [None, [], [""], ["is it", "?"]])
def test_questions_are_refused_before_a_picture_is_read(predictor, asked):
    with pytest.raises(QuestionError):
        predictor.stream("no such file", questions=asked)
    with pytest.raises(QuestionError):
        predictor.predict_batch([questions.draw(0)], questions=asked)


def test_one_text_is_no_list_of_questions(predictor):
    with pytest.raises(TypeError, match="received one text"):
        predictor.predict_batch([questions.draw(0)], questions="is it blue")


def test_predict_needs_a_question(predictor):
    with pytest.raises(QuestionError, match="answers questions, received none") as error:
        predictor.predict(questions.draw(0))
    assert error.value.exit_code == 2


def test_a_word_that_is_not_known_is_answered_and_named(predictor):
    pixels = questions.draw(1)
    answer = predictor.predict(pixels, "is it mauve or blue")
    assert answer.scores == pytest.approx(questions.expected_scores(pixels, [3, 4, 1, 1]), rel=1e-5)
    tree = answer.to_dict(limit=1)
    assert (tree["question"], tree["unknown_words"], tree["words_cut"]) == (
        "is it mauve or blue",
        ["mauve", "or"],
        ["blue"],
    )
    assert tree["predictions"][0]["answer"] == tree["predictions"][0]["name"] == answer.label


def test_a_pickled_predictor_asks_alike(predictor):
    again = pickle.loads(pickle.dumps(predictor))
    pixels = questions.draw(4)
    assert np.array_equal(again.predict(pixels, "blue").scores, predictor.predict(pixels, "blue").scores)


def test_draw_writes_under_the_picture_and_leaves_it_whole(predictor):
    picture = Image.fromarray(np.repeat(np.repeat(questions.draw(1), 60, axis=0), 60, axis=1))
    answer = predictor.predict(picture, "is it blue, or is there something else that has no end at all?")
    drawn = answer.draw(picture, limit=3)
    assert drawn.width == picture.width
    assert np.array_equal(np.asarray(drawn)[: picture.height], np.asarray(picture))
    strip = np.asarray(drawn)[picture.height :]
    assert strip.max() == 255  # letters
    lower = answer.draw(picture, limit=1)
    assert picture.height < lower.height < drawn.height


def test_a_file_is_refused_whose_question_is_of_another_form(tmp_path):
    for changed, message in (
        ({"length": 5}, r"\(5,\) \(manifest\), received \(4,\)"),
        ({"name": "text"}, "input names"),
    ):
        path = questions.write(tmp_path / "vqa.onnx", manifest=questions.make_manifest(**changed))
        with pytest.raises(ManifestError, match=message):
            Predictor.load(path, device="cpu")


def test_manifests_hold_a_question_where_one_is_asked_and_only_there(make_manifest):
    asking = questions.make_manifest()
    assert Manifest.from_json(asking.to_json()) == asking
    image, text = asking.inputs
    for inputs in ((image,), (text, image), (image, text, text), (image, dataclasses.replace(text, name="image"))):
        with pytest.raises(ManifestError, match="expected two inputs of different names, an image and a text"):
            dataclasses.replace(asking, inputs=inputs)
    with pytest.raises(ManifestError, match="expected one input, an image"):
        dataclasses.replace(make_manifest(), inputs=(image, text))
    with pytest.raises(ManifestError, match="a decoder for question"):
        dataclasses.replace(asking, decoder=SoftmaxDecoder())


@pytest.mark.parametrize(
    ("decoder", "outputs", "message"),
    [
        (AnswerDecoder(kept=KeptPicture("picture", 3)), [("logits", (3,))], "an output beside 'logits'"),
        (AnswerDecoder(kept=KeptPicture("logits", 3)), [("logits", (3,))], "an output beside 'logits'"),
        (AnswerDecoder(kept=KeptPicture("picture", 4)), [("logits", (3,)), ("picture", (3,))], "shape"),
        (AnswerDecoder(kept=KeptPicture("picture", 0)), [("logits", (3,)), ("picture", (1,))], "shape"),
        (AnswerDecoder(), [("logits", (1,))], "the same answer"),
    ],
)
def test_manifests_refuse_outputs_that_no_answer_is_read_from(decoder, outputs, message):
    specs = tuple(OutputSpec(name, shape) for name, shape in outputs)
    with pytest.raises(ManifestError, match=message):
        dataclasses.replace(questions.make_manifest(), decoder=decoder, outputs=specs, labels=None)


def sample_of(predictor, question):
    encoded = io.BytesIO()
    Image.fromarray(questions.draw(7)).save(encoded, "PNG")
    prepared = predictor.inputs(encoded.getvalue(), question)
    held = describe(predictor.manifest, prepared, predictor.run(prepared.feeds), limit=2)
    image = base64.b64encode(encoded.getvalue()).decode()
    return GoldenSample("plain.png", image, question, None, held, model_files.ALIKE, model_files.ELSEWHERE)


def test_verify_asks_the_samples_question(tmp_path):
    plain = Predictor.load(questions.write(tmp_path / "vqa.onnx"), device="cpu", threads=1)
    sample = sample_of(plain, "is it blue")
    proven = questions.write(tmp_path / "proven.onnx", golden=(sample,))
    assert verify(Predictor.load(proven, device="cpu")).passed
    for asked, passes in (("it is blue", False), ("is it", False), ("", False), ("Is IT -- blue?", True)):
        other = dataclasses.replace(sample, question=asked)
        path = questions.write(tmp_path / "other.onnx", golden=(other,))
        assert verify(Predictor.load(path, device="cpu")).passed is passes, asked


def test_verify_finds_a_vocabulary_in_another_order(tmp_path):
    plain = Predictor.load(questions.write(tmp_path / "vqa.onnx"), device="cpu", threads=1)
    manifest = questions.make_manifest(vocabulary=questions.VOCABULARY[::-1])
    path = questions.write(tmp_path / "other.onnx", manifest=manifest, golden=(sample_of(plain, "blue"),))
    assert not verify(Predictor.load(path, device="cpu")).passed


def test_agreement_record_counts_questions():
    record = QUESTION.parity(7, 6, {"scores": 0.25}, 7)
    assert record == AnswersParity(7, 6 / 7, 0.25)
    assert record.summary() == "top-1 agreement 0.8571 on 7 questions"
    assert json.loads(json.dumps(dataclasses.asdict(record)))["kind"] == "answers"


def test_a_divided_graph_answers_as_the_whole_one(divided, tmp_path):
    model, manifest = divided
    whole = Predictor.load(questions.write(tmp_path / "vqa.onnx"), device="cpu", threads=1)
    path = tmp_path / "divided.onnx"
    path.write_bytes(model_files.stamp(model.SerializeToString(), manifest))
    once = Predictor.load(path, device="cpu", threads=1)
    order = [(0, "blue"), (0, "is it"), (1, "is it"), (0, "is it"), (0, "shape"), (1, "shape"), (1, "blue")]
    for seed, text in order:
        expected, received = (one.predict(questions.draw(seed), text).scores for one in (whole, once))
        assert np.array_equal(expected, received), (seed, text)


def test_a_divided_graph_without_settings_sees_every_picture(divided):
    """As other tools run it: both inputs have a default."""
    model, _ = divided
    session = Session(model.SerializeToString(), device="cpu", threads=1)
    for seed in (0, 1):
        pixels = questions.draw(seed)
        logits = session.run({"image": pixels[np.newaxis], "question": np.array([[2, 3, 0, 0]], np.int32)})["logits"]
        scores = np.exp(logits[0]) / np.exp(logits[0]).sum()
        assert scores == pytest.approx(questions.expected_scores(pixels, [2, 3]), rel=1e-5)


class Counting:
    """A model that notes whether it was told what a picture is."""

    def __init__(self, model):
        self.model, self.told = model, []

    def run(self, feeds):
        if KeptPicture.KNOWN in feeds:
            self.told.append(bool(feeds[KeptPicture.KNOWN][0]))
        return self.model.run(feeds)


def test_a_picture_is_seen_once_however_it_comes(divided):
    model, manifest = divided
    counting = Counting(Session(model.SerializeToString(), device="cpu", threads=1))
    reading = read_by(counting, manifest)
    pixels, ids = questions.draw(0)[np.newaxis], np.array([[2, 3, 0, 0]], np.int32)
    changed = pixels.copy()
    changed[0, 7, 5, 2] ^= 1
    for given in (pixels, pixels.copy(), changed, changed, pixels):
        reading.run({"image": given, "question": ids})
    assert counting.told == [False, True, False, True, False]
    with pytest.raises(SessionError, match="expected"):
        reading.run({"question": ids})
    pixels[:] = 0  # the caller's array is its own
    reading.run({"image": pixels, "question": ids})
    assert counting.told[-1] is False


def test_a_divided_graph_answers_from_several_threads(divided):
    model, manifest = divided
    reading = read_by(Session(model.SerializeToString(), device="cpu", threads=1), manifest)
    wrong = []

    def ask(seed):
        pixels = questions.draw(seed)
        expected = questions.expected_scores(pixels, [2, 3])
        for _ in range(200):
            logits = reading.run({"image": pixels[np.newaxis], "question": np.array([[2, 3, 0, 0]], np.int32)})[
                "logits"
            ]
            if not np.allclose(np.exp(logits[0]) / np.exp(logits[0]).sum(), expected, rtol=1e-4):
                wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_operators_inside_branches_are_found(divided):
    model, manifest = divided
    file = parse_model_file(model_files.stamp(model.SerializeToString(), manifest), "vqa.onnx")
    assert [holds_operator(file, name) for name in ("If", "ReduceMean", "Gather", "Conv")] == [True, True, True, False]
    inner = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])])
    assert inner.node == []


def test_an_answer_below_the_score_threshold_is_no_prediction(predictor):
    pixels = questions.draw(1)
    scores = np.sort(questions.expected_scores(pixels, ASKED["shape"]))
    between = float(scores[-2:].mean())  # the second best is below it, the best is not
    sure = predictor.with_score_threshold(between).predict(pixels, "shape")
    assert [found["confidence"] for found in sure.predictions()] == pytest.approx(scores[-1:], rel=1e-5)
    unsure = predictor.with_score_threshold((1 + float(scores[-1])) / 2).predict(pixels, "shape")
    assert unsure.predictions() == []
    assert unsure.lines() == [f"unsure ({sure.lines()[0]})"]
