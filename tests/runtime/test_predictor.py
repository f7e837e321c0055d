import io
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn_runtime import Predictor
from edgecnn_runtime.errors import ImageError, ManifestError, ModelFileError, ProviderError
from edgecnn_runtime.tasks.scores import softmax

WEIGHTS, BIASES = np.linspace(-0.02, 0.02, 3), np.linspace(1, -1, 3)


def expected_scores(array):
    return softmax(np.array([array.mean() * WEIGHTS + BIASES]))[0]


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


@pytest.mark.parametrize("allow_modified", [False, True])
def test_a_pickled_predictor_refuses_another_model_under_its_path(model_path, make_graph, write_model, allow_modified):
    data = pickle.dumps(Predictor.load(model_path, device="cpu", allow_modified=allow_modified))
    write_model(model_path, make_graph(bias=[-9, 0, 9]))  # as good a file as the first
    with pytest.raises(ModelFileError, match=r"model\.onnx: expected the file that .* was loaded from") as caught:
        pickle.loads(data)
    assert caught.value.exit_code == 6


def test_a_pickled_predictor_refuses_another_manifest_of_the_same_graph(model_path, make_graph, make_manifest, stamp):
    data = pickle.dumps(Predictor.load(model_path, device="cpu"))
    model_path.write_bytes(stamp(make_graph(), make_manifest(labels=("two", "one", "zero"))))
    with pytest.raises(ModelFileError, match="expected the file that"):
        pickle.loads(data)


def test_a_predictor_from_bytes_answers_and_cannot_be_pickled(model_path, predictor):
    loaded = Predictor.load(model_path.read_bytes(), device="cpu", threads=1)
    array = np.arange(48, dtype=np.uint8).reshape(8, 6)
    assert loaded.predict(array).scores.tolist() == predictor.predict(array).scores.tolist()
    assert loaded.evidence == predictor.evidence
    with pytest.raises(TypeError, match="from a path"):
        pickle.dumps(loaded)


@pytest.mark.parametrize("data", [b"model.onnx", b"", b"\x00" * 1_000_000, b"\xff" * 5000])
def test_load_says_in_a_few_words_that_bytes_are_no_model(data):
    with pytest.raises(ModelFileError, match=r"^the model's bytes: ") as caught:
        Predictor.load(data, device="cpu")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("path", [None, 3, bytearray(b"a"), ["model.onnx"], io.BytesIO(b"a")])
def test_load_says_what_it_takes(path):
    with pytest.raises(TypeError, match="path of a model file or its bytes, received"):
        Predictor.load(path, device="cpu")


# wrong containers

ONE_IMAGE = {
    "path": "a.jpg",
    "Path": Path("a.jpg"),
    "bytes": b"\x89PNG",
    "bytearray": bytearray(b"\x89PNG"),
    "array of a picture": np.zeros((8, 6, 3), np.uint8),
    "gray array": np.zeros((8, 6), np.uint8),
    "picture": Image.new("L", (6, 8)),
    "file": io.BytesIO(b"\x89PNG"),
    "dict": {"a.jpg": 1},
    "None": None,
    "number": 3,
}


@pytest.mark.parametrize("images", ONE_IMAGE.values(), ids=ONE_IMAGE)
def test_predict_batch_asks_for_a_list(predictor, images):
    with pytest.raises(TypeError, match=r"^images: expected a list of images, received \w+. Give \[image\]") as caught:
        predictor.predict_batch(images)
    assert len(str(caught.value)) < 200


def test_predict_batch_takes_an_array_of_images(predictor):
    arrays = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 1), np.uint8)
    expected = [predictor.predict(array).scores.tolist() for array in arrays]
    assert [result.scores.tolist() for result in predictor.predict_batch(arrays)] == expected
    assert [result.scores.tolist() for result in predictor.predict_batch(iter(arrays))] == expected


@pytest.mark.parametrize("kind", ["bytearray", "file", "dict", "None", "number"])
def test_stream_refuses_at_once_what_holds_no_images(predictor, kind):
    with pytest.raises(TypeError, match=r"^sources: expected a path, an image, or .*file\.read\(\)"):
        predictor.stream(ONE_IMAGE[kind])


def test_stream_refuses_an_open_file_instead_of_its_lines(predictor, tmp_path, photo):
    photo().save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(TypeError, match="received BufferedReader"):
        predictor.stream(file)
    with (tmp_path / "a.png").open("rb") as file:
        (result,) = predictor.stream(file.read())
    assert result.label == predictor.predict(tmp_path / "a.png").label


def test_a_predictor_without_a_file_cannot_be_pickled(predictor):
    with pytest.raises(TypeError, match=r"only a Predictor that Predictor\.load made from a path can be pickled"):
        pickle.dumps(Predictor(predictor.session, predictor.manifest))


def test_results_can_be_pickled(predictor):
    result = predictor.predict(np.zeros((8, 6), np.uint8))
    assert pickle.loads(pickle.dumps(result)).to_dict() == result.to_dict()


def test_the_file_may_go_once_it_is_loaded(model_path):
    predictor = Predictor.load(model_path, device="cpu")
    shutil.rmtree(model_path.parent)
    assert predictor.predict(np.zeros((8, 6), np.uint8)).label == "zero"


def test_with_score_threshold_lists_no_class_below_it(predictor, photo):
    image = photo().resize((6, 8)).convert("L")
    whole = predictor.predict(image)
    least = float(np.sort(whole.scores)[-2])  # that of the second best, which is listed then
    result = predictor.with_score_threshold(least).predict(image)
    assert [found["class"] for found in result.predictions(3)] == [best.class_id for best in whole.top(2)]
    assert not result.is_unsure
    unsure = predictor.with_score_threshold(1.0).predict(image)
    assert (unsure.is_unsure, unsure.predictions(), unsure.to_dict()["predictions"]) == (True, [], [])
    assert (unsure.label, unsure.score, unsure.top(3)) == (whole.label, whole.score, whole.top(3))
    assert unsure.lines() == [f"unsure ({whole.name_of(whole.class_id)} {whole.score:.4f})"]
    assert predictor.predict(image).predictions(3) == whole.predictions(3)  # the other one is as it was


def test_with_score_threshold_stays_through_another_decoder_and_a_pickle(model_path):
    predictor = Predictor.load(model_path, device="cpu").with_score_threshold(1.0)
    image = np.zeros((8, 6), np.uint8)
    for again in (predictor.with_decoder(predictor.manifest.decoder), pickle.loads(pickle.dumps(predictor))):
        assert again.predict(image).is_unsure
        assert [result.is_unsure for result in again.predict_batch([image] * 2)] == [True, True]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_with_score_threshold_refuses_what_is_no_part_of_one(predictor, threshold):
    with pytest.raises(ValueError, match="score_threshold: expected 0 to 1, received"):
        predictor.with_score_threshold(threshold)
