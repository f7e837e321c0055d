import io
import itertools
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from edgecnn_runtime import Classification, Failure, Predictor
from edgecnn_runtime.errors import ImageError, ManifestError, ModelFileError, OutputError, ProviderError
from edgecnn_runtime.scores import softmax

WEIGHTS, BIASES = np.linspace(-0.02, 0.02, 3), np.linspace(1, -1, 3)


def expected_scores(array):
    return softmax(np.array([array.mean() * WEIGHTS + BIASES]))[0]


def gray_levels(count):
    return [np.full((8, 6), level, np.uint8) for level in np.linspace(0, 255, count).astype(int)]


def scores_of(answers):
    return [answer.scores.tolist() if isinstance(answer, Classification) else answer.kind for answer in answers]


@pytest.fixture
def load(tmp_path, make_graph, make_manifest, write_model):
    """Loads a predictor of a graph and manifest with changes."""

    def load(graph=None, manifest=None, **options):
        path = write_model(tmp_path / "changed.onnx", make_graph(**(graph or {})), make_manifest(**(manifest or {})))
        return Predictor.load(path, device="cpu", **options)

    return load


def test_load_gives_what_travels_in_the_file(model_path, make_graph, make_manifest, make_evidence):
    predictor = Predictor.load(model_path, device="cpu", threads=1)
    assert predictor.manifest == make_manifest()
    assert predictor.evidence == make_evidence(make_graph())
    assert (predictor.provider, predictor.batch, predictor.session.threads) == ("CPUExecutionProvider", 1, 1)


def test_load_answers_the_same_whatever_the_file_is_called(model_path, predictor):
    renamed = model_path.rename(model_path.with_name("yolo_detection.bin"))
    assert Predictor.load(renamed, device="cpu").manifest == predictor.manifest


def test_load_takes_a_path_as_text(model_path):
    assert Predictor.load(str(model_path), device="cpu").evidence is not None


def test_predict_gives_hand_computed_scores(predictor):
    array = np.arange(48, dtype=np.uint8).reshape(8, 6)
    result = predictor.predict(array)
    np.testing.assert_allclose(result.scores, expected_scores(array), rtol=1e-5)
    assert (result.label, result.class_id, result.shape) == ("zero", 0, (8, 6))


def test_predict_says_where_and_how_fast_it_ran(predictor, photo, tmp_path):
    photo().save(tmp_path / "a.png")
    result = predictor.predict(tmp_path / "a.png")
    assert result.source == str(tmp_path / "a.png")
    assert result.provider == "CPUExecutionProvider"
    assert min(result.speed_ms.preprocess, result.speed_ms.inference, result.speed_ms.postprocess) > 0
    assert predictor.predict(np.zeros((8, 6), np.uint8)).source is None


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("color", ["gray", "rgb"])
@pytest.mark.parametrize("resize", [{}, {"resize": "letterbox", "pad_value": 0}])
def test_predict_answers_path_bytes_picture_and_array_alike(load, photo, encode, tmp_path, orientation, color, resize):
    predictor = load({"channels": 3 if color == "rgb" else 1}, {"color": color, **resize})
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    data = encode(photo(30, 50), exif=exif)
    (tmp_path / "photo.png").write_bytes(data)
    results = [
        predictor.predict(source)
        for source in (tmp_path / "photo.png", str(tmp_path / "photo.png"), data, Image.open(io.BytesIO(data)))
    ]
    turned = photo(30, 50)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    if orientation in turns:
        turned = turned.transpose(Image.Transpose(turns[orientation]))
    results.append(predictor.predict(np.asarray(turned)))
    assert len({result.scores.tobytes() for result in results}) == 1
    assert {result.shape for result in results} == {(turned.height, turned.width)}


def test_predict_answers_the_three_forms_of_a_gray_array_alike(predictor):
    gray = np.arange(48, dtype=np.uint8).reshape(8, 6)
    forms = [gray, gray[:, :, np.newaxis], np.repeat(gray[:, :, np.newaxis], 3, axis=2)]
    assert len({predictor.predict(form).scores.tobytes() for form in forms}) == 1


def test_predict_refuses_an_array_of_another_dtype(predictor):
    with pytest.raises(ImageError, match="expected dtype uint8, received float64"):
        predictor.predict(np.zeros((8, 6)))


def test_predict_raises_the_error_of_its_image(predictor, tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        predictor.predict(tmp_path / "missing.png")


def test_a_model_without_labels_gives_no_names(load):
    assert load(manifest={"labels": None}).predict(np.zeros((8, 6), np.uint8)).label is None


def test_a_model_of_free_size_answers_each_size(load):
    predictor = load({"size": ("height", "width")}, {"height": None, "width": None, "multiple_of": 4})
    array = np.full((20, 12), 77, np.uint8)
    np.testing.assert_allclose(predictor.predict(array).scores, expected_scores(array), rtol=1e-5)


# batches


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


# files that are refused


@pytest.mark.parametrize("allow_modified", [False, True])
def test_load_needs_leave_for_an_altered_file_and_then_reports_no_evidence(model_path, allow_modified):
    model_path.write_bytes(model_path.read_bytes().replace(b'"two"', b'"TWO"'))
    if allow_modified:
        predictor = Predictor.load(model_path, device="cpu", allow_modified=True)
        assert predictor.evidence is None
        assert predictor.manifest.labels == ("zero", "one", "TWO")
    else:
        with pytest.raises(ModelFileError, match="allow_modified=True"):
            Predictor.load(model_path, device="cpu")


def test_load_names_the_file_that_needs_a_newer_opset(tmp_path, make_graph, write_model):
    with pytest.raises(ModelFileError, match=r"new\.onnx: the model needs opset 99, .* re-export with --opset"):
        Predictor.load(write_model(tmp_path / "new.onnx", make_graph(opset=99)), device="cpu")


def test_load_refuses_a_plain_onnx_model(tmp_path, make_graph):
    (tmp_path / "plain.onnx").write_bytes(make_graph())
    with pytest.raises(ManifestError, match="was not exported by edgecnn"):
        Predictor.load(tmp_path / "plain.onnx", device="cpu")


def test_load_refuses_a_device_that_is_not_there(model_path, monkeypatch):
    monkeypatch.setattr("edgecnn_runtime.session.cuda_problem", lambda: "there is no GPU")
    with pytest.raises(ProviderError, match="device cuda: there is no GPU"):
        Predictor.load(model_path, device="cuda")


# threads and processes


def test_eight_threads_give_the_answers_of_one(predictor):
    images = [np.random.default_rng(seed).integers(0, 256, (8, 6), dtype=np.uint8) for seed in range(200)]
    serial = [predictor.predict(image).scores.tobytes() for image in images]
    with ThreadPoolExecutor(8) as pool:
        parallel = [result.scores.tobytes() for result in pool.map(predictor.predict, images)]
    assert parallel == serial


def test_a_pickled_predictor_loads_its_path_again(model_path, monkeypatch):
    monkeypatch.chdir(model_path.parent)
    predictor = Predictor.load(model_path.name, device="cpu", threads=1)
    data = pickle.dumps(predictor)
    assert len(data) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(data)
    array = np.arange(48, dtype=np.uint8).reshape(8, 6)
    assert again.predict(array).scores.tolist() == predictor.predict(array).scores.tolist()
    assert again.session.threads == 1


def test_a_pickled_predictor_refuses_a_file_that_was_altered_since(model_path):
    data = pickle.dumps(Predictor.load(model_path, device="cpu"))
    model_path.write_bytes(model_path.read_bytes().replace(b'"two"', b'"TWO"'))
    with pytest.raises(ModelFileError):
        pickle.loads(data)


def test_a_predictor_without_a_file_cannot_be_pickled(predictor):
    with pytest.raises(TypeError, match=r"only a Predictor that Predictor\.load made can be pickled"):
        pickle.dumps(Predictor(predictor.session, predictor.manifest))


def test_results_can_be_pickled(predictor):
    result = predictor.predict(np.zeros((8, 6), np.uint8))
    assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict()


def test_the_file_may_go_once_it_is_loaded(model_path):
    predictor = Predictor.load(model_path, device="cpu")
    shutil.rmtree(model_path.parent)
    assert predictor.predict(np.zeros((8, 6), np.uint8)).label == "zero"
