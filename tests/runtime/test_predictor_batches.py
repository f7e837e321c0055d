"""Batches and streams of the Predictor."""

import itertools
import os
import struct
import zlib

import numpy as np
import pytest

from edgecnn_runtime import Classification, Failure
from edgecnn_runtime.errors import OutputError
from edgecnn_runtime.tasks.scores import softmax

WEIGHTS, BIASES = np.linspace(-0.02, 0.02, 3), np.linspace(1, -1, 3)


def expected_scores(array):
    return softmax(np.array([array.mean() * WEIGHTS + BIASES]))[0]


def gray_levels(count):
    return [np.full((8, 6), level, np.uint8) for level in np.linspace(0, 255, count).astype(int)]


def scores_of(answers):
    return [answer.scores.tolist() if isinstance(answer, Classification) else answer.kind for answer in answers]


@pytest.mark.parametrize("batch", [1, 4, "batch"])
@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_predict_batch_equals_one_by_one(load, predictor, batch, count):
    images = gray_levels(count)
    answers = load({"batch": batch}).predict_batch(images)
    assert len(answers) == count
    for answer, image in zip(answers, images, strict=True):
        np.testing.assert_allclose(answer.scores, predictor.predict(image).scores, rtol=1e-6)


def test_predict_fills_up_a_fixed_batch(load):
    array = np.full((8, 6), 50, np.uint8)
    np.testing.assert_allclose(load({"batch": 4}).predict(array).scores, expected_scores(array), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 4, "batch"])
def test_predict_batch_answers_around_a_bad_image(load, batch):
    images = gray_levels(5)
    images[1], images[3] = b"no image", "missing.png"
    answers = load({"batch": batch}).predict_batch(images)
    assert [type(answer) for answer in answers] == [Classification, Failure, Classification, Failure, Classification]
    assert (answers[1].source, answers[1].kind) == (None, "image")
    assert (answers[3].source, answers[3].kind) == ("missing.png", "image")
    np.testing.assert_allclose(answers[4].scores, expected_scores(images[4]), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 4, "batch"])
@pytest.mark.parametrize("item", [None, 3, [[1, 2]], bytearray(b"x"), object()])
def test_an_item_that_is_no_image_is_one_failure(load, batch, item):
    predictor, images = load({"batch": batch}), gray_levels(3)
    images[1] = item
    for answers in (predictor.predict_batch(images), list(predictor.stream(images))):
        assert [getattr(answer, "kind", "result") for answer in answers] == ["result", "image_type", "result"]
        assert answers[1].source is None
    with pytest.raises(TypeError):
        predictor.predict(item)


def test_a_picture_that_pillow_asserts_about_is_one_failure(load):
    header = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)  # a palette type without palette
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(2))), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    answers = list(load().stream([b"\x89PNG\r\n\x1a\n" + data, *gray_levels(1)]))
    assert [getattr(answer, "kind", "result") for answer in answers] == ["image", "result"]


@pytest.mark.parametrize("batch", [1, "batch"])
def test_a_lack_of_memory_is_a_failure_of_those_that_it_met(load, monkeypatch, batch):
    predictor = load({"batch": batch})
    real = predictor.inputs._preprocess._place

    def place(picture):
        if picture.getpixel((0, 0)) == 7:
            raise MemoryError
        return real(picture)

    monkeypatch.setattr(predictor.inputs._preprocess, "_place", place)
    images = [np.full((20, 20), level, np.uint8) for level in (1, 7, 3)]
    answers = predictor.predict_batch(images)
    assert [getattr(answer, "kind", "result") for answer in answers] == ["result", "memory", "result"]


def test_what_ends_a_run_still_ends_it(load, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    predictor = load()
    monkeypatch.setattr(predictor.inputs._preprocess, "_place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predictor.predict_batch([np.zeros((20, 20), np.uint8)])


def test_the_answer_says_how_many_frames_there_were(predictor, photo, encode):
    data = encode(photo(), "TIFF", save_all=True, append_images=[photo()] * 2)
    several, single = predictor.predict_batch([data, encode(photo(), "TIFF")])
    assert (several.frames, several.to_dict()["frames"]) == (3, 3)
    assert (single.frames, "frames" in single.to_dict()) == (1, False)


def test_predict_batch_answers_images_of_different_input_sizes(load):
    predictor = load({"size": ("height", "width"), "batch": "batch"}, {"height": None, "width": None, "multiple_of": 4})
    images = [np.full(size, level, np.uint8) for size, level in [((8, 8), 10), ((4, 12), 90), ((8, 8), 200)]]
    for answer, image in zip(predictor.predict_batch(images), images, strict=True):
        np.testing.assert_allclose(answer.scores, expected_scores(image), rtol=1e-5)


# faults.md, row 23


def test_predict_never_ranks_nan(load):
    with pytest.raises(OutputError, match="NaN or infinite"):
        load({"bias": [np.nan, 0, 0]}).predict(np.zeros((8, 6), np.uint8))


@pytest.mark.parametrize("batch", [1, "batch"])
def test_one_image_with_an_invalid_output_is_one_failure(load, monkeypatch, batch):
    predictor = load({"batch": batch})
    real = predictor.session.run

    def overflow_where_white(feeds):
        outputs = real(feeds)
        outputs["logits"][feeds["image"].min(axis=(1, 2, 3)) == 255] = np.inf
        return outputs

    monkeypatch.setattr(predictor.session, "run", overflow_where_white)
    answers = predictor.predict_batch(gray_levels(3))
    assert [getattr(answer, "kind", "result") for answer in answers] == ["result", "result", "invalid_output"]


# streams


def test_stream_answers_a_directory_in_order_around_bad_files(predictor, photo, tmp_path):
    photo().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    photo().save(tmp_path / "c.jpg")
    answers = list(predictor.stream(str(tmp_path)))
    assert [os.path.basename(answer.source) for answer in answers] == ["a.png", "b.png", "c.jpg"]  # noqa: PTH119
    assert [type(answer) for answer in answers] == [Classification, Failure, Classification]


def test_stream_takes_one_or_many_sources_of_any_kind(predictor, photo, encode, tmp_path):
    photo().save(tmp_path / "a.png")
    array = np.zeros((8, 6), np.uint8)
    single = [tmp_path / "a.png", encode(photo()), photo(), array]
    for source in single:
        assert len(list(predictor.stream(source))) == 1
    assert len(list(predictor.stream(single))) == 4


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_stream_gives_equal_answers_for_every_batch_size(load, batch_size):
    predictor = load({"batch": "batch"})
    images = [*gray_levels(7), b"broken"]
    expected = scores_of(predictor.stream(images))
    assert scores_of(predictor.stream(images, batch_size=batch_size)) == expected


def test_stream_reads_no_further_than_it_answers(predictor):
    taken = []

    def camera():
        for number in itertools.count():
            taken.append(number)
            yield np.full((8, 6), number % 256, np.uint8)

    stream = predictor.stream(camera())
    assert taken == []
    for _ in range(3):
        next(stream)
    assert taken == [0, 1, 2]


def test_stream_uses_the_fixed_batch_size(load, monkeypatch):
    predictor = load({"batch": 4})
    runs = []
    real = predictor.session.run
    monkeypatch.setattr(predictor.session, "run", lambda feeds: runs.append(feeds["image"].shape) or real(feeds))
    assert len(list(predictor.stream(gray_levels(6)))) == 6
    assert runs == [(4, 8, 6, 1)] * 2


@pytest.mark.parametrize(
    ("batch", "batch_size", "message"),
    [
        ("batch", 0, "expected 1 or more, received 0"),
        (1, 8, "expected 1 to 1, the graph's fixed batch size, received 8"),
    ],
)
def test_stream_refuses_a_batch_size_at_once(load, batch, batch_size, message):
    with pytest.raises(ValueError, match=message):
        load({"batch": batch}).stream([], batch_size=batch_size)


def test_stream_of_an_empty_directory_is_one_failure(predictor, tmp_path):
    (answer,) = predictor.stream(tmp_path)
    assert (answer.kind, answer.source) == ("image", str(tmp_path))
