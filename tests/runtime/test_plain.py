import io

import numpy as np
import onnx
import onnxruntime
import plain_files
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgecnn_runtime import ModelFileError, PlainInputError, Predictor
from edgecnn_runtime.container import is_plain_file, parse_model_file
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS
from edgecnn_runtime.plain import PlainInput, PlainModel, guess_input, load_plain_file
from edgecnn_runtime.session import TensorInfo

FLOAT, FLOAT16, UINT8, INT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT8
PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 41, 3), dtype=np.uint8))
CAFFE, TORCH = (103.939, 116.779, 123.68), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BY_HAND = {  # written out here a second time: the oracle
    "raw": lambda pixels: pixels,
    "unit": lambda pixels: pixels / 255,
    "signed": lambda pixels: pixels / 127.5 - 1,
    "caffe": lambda pixels: pixels[..., ::-1] - CAFFE,
    "torch": lambda pixels: (pixels / 255 - TORCH[0]) / TORCH[1],
}


@pytest.fixture
def load(tmp_path):
    def load(data, **told):
        path = tmp_path / "plain.onnx"
        path.write_bytes(data)
        return PlainModel(load_plain_file(path, device="cpu", threads=1), **told)

    return load


def by_onnxruntime(data, name, array):
    """The outputs that ONNX Runtime gives of an array, without anything of edgecnn between."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: array}), strict=True))


def info(*shape, dtype="float32", name="x"):
    return TensorInfo(name, shape, np.dtype(dtype))


# what the graph takes


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 224, 160), ("nchw", 224, 160, 3, 1)),
        ((1, 224, 160, 3), ("nhwc", 224, 160, 3, 1)),
        (("batch_size", 1, 28, 30), ("nchw", 28, 30, 1, None)),
        (("unk__12", 28, 30, 1), ("nhwc", 28, 30, 1, None)),
        ((4, 3, 8, 9), ("nchw", 8, 9, 3, 4)),
    ],
)
def test_guess_input_finds_channels_where_1_or_3_stands(shape, expected):
    guessed = guess_input([info(*shape, dtype="uint8")])
    assert (guessed.layout, guessed.height, guessed.width, guessed.channels, guessed.batch) == expected
    assert guessed.shape == tuple(1 if isinstance(size, str) else size for size in shape)


@pytest.mark.parametrize("shape", [(1, 3, 224, 3), (1, 1, 28, 1), ("n", 3, 3, 1), (1, 3, "height", 3)])
def test_guess_input_asks_for_the_layout_where_both_are_possible(shape):
    with pytest.raises(PlainInputError, match=r"input 'x', float32 \(.*may stand first or last.*--layout nchw or") as e:
        guess_input([info(*shape)])
    assert e.value.exit_code == 2


def test_guess_input_takes_the_layout_that_was_said():
    first, last = (guess_input([info(1, 3, 224, 1)], layout=layout) for layout in ("nchw", "nhwc"))
    assert (first.channels, first.height, first.width) == (3, 224, 1)
    assert (last.channels, last.height, last.width) == (1, 3, 224)


def test_guess_input_refuses_a_layout_that_the_graph_contradicts():
    with pytest.raises(PlainInputError, match=r"where layout 'nhwc' has them \(--layout\), received 224"):
        guess_input([info(1, 3, 224, 224)], layout="nhwc")


@pytest.mark.parametrize("shape", [(1, 3, "height", "width"), ("N", "h", 64, 3)])
def test_guess_input_asks_for_a_free_size_and_takes_what_was_said(shape):
    with pytest.raises(PlainInputError, match=r"any height or width.*--image-size H,W"):
        guess_input([info(*shape)])
    guessed = guess_input([info(*shape)], image_size=(48, 64))
    assert (guessed.height, guessed.width) == (48, 64)


@pytest.mark.parametrize("said", [(224, 160), (160, 160)])
def test_guess_input_refuses_a_size_that_the_graph_contradicts(said):
    with pytest.raises(PlainInputError, match=r"its own height and width, received .*--image-size"):
        guess_input([info(1, 3, 160, 224)], image_size=said)
    assert guess_input([info(1, 3, *said)], image_size=said).height == said[0]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "expected one input, an image, received 0: none"),
        ([info(1, 3, 8, 8), info(1, 2, name="y")], r"received 2: 'x', float32 \(1, 3, 8, 8\); 'y', float32 \(1, 2\)"),
        ([info(1, 3, 8, 8, dtype="int8")], "float16 or float32, received int8"),
        ([info(1, 3, 8, 8, dtype="int64")], "received int64"),
        ([info(1, 3, 8, 8, dtype="float64")], "received float64"),
        ([info(1, 1000)], "an image of four axes, received 2"),
        ([info(1, 3, 4, 8, 8)], "received 5"),
        ([info(1, 4, 8, 8)], r"\(1, 4, 8, 8\): expected an image of 1 or 3 channels"),
        ([info("N", "C", "H", "W")], "expected an image of 1 or 3 channels"),
        ([info(1, 3, 0, 8)], "height and width of 1 or more"),
        ([info(1, 3, 60_000, 60_000)], "at most 50 megapixels"),
        ([info(0, 3, 8, 8)], "batch: expected 1 to"),
        ([info(2**40, 3, 8, 8)], "batch: expected 1 to 1398101 images, received 1099511627776"),
    ],
)
def test_guess_input_refuses_what_is_no_image(inputs, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        guess_input(inputs)
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "channels", "pixels", "message"),
    [
        ("uint8", 3, "unit", "takes uint8: expected pixels 'raw'"),
        ("float32", 1, "caffe", "has 1 channel: .*received 'caffe', which is of three"),
        ("float16", 1, "torch", "received 'torch'"),
    ],
)
def test_check_scaling_refuses_what_the_input_has_no_room_for(dtype, channels, pixels, message):
    with pytest.raises(PlainInputError, match=message):
        PlainInput("x", dtype, "nhwc", 8, 8, channels, 1).check_scaling(pixels)


# against ONNX Runtime itself, on arrays that Pillow and NumPy made


@pytest.mark.parametrize(
    ("dtype", "layout", "pixels"),
    [
        *((UINT8, layout, "raw") for layout in ("nchw", "nhwc")),
        *((dtype, layout, pixels) for dtype in (FLOAT, FLOAT16) for layout in ("nchw", "nhwc") for pixels in BY_HAND),
    ],
)
def test_outputs_equal_those_of_onnxruntime_on_an_array_made_by_hand(load, dtype, layout, pixels):
    assert BY_HAND.keys() == PIXEL_SCALINGS.keys()
    shape = ("batch_size", 3, 12, 16) if layout == "nchw" else ("batch_size", 12, 16, 3)
    data = plain_files.make_plain(shape=shape, layout=layout, dtype=dtype)
    array = BY_HAND[pixels](np.asarray(PICTURE.resize((16, 12), Image.Resampling.BILINEAR)).astype(np.float64))
    array = array if layout == "nhwc" else array.transpose(2, 0, 1)
    array = np.ascontiguousarray(array[np.newaxis].astype(helper.tensor_dtype_to_np_dtype(dtype)))
    expected = by_onnxruntime(data, "input", array)
    model = load(data, pixels=pixels)
    outputs = model.run(model.prepare(PICTURE).feeds)
    assert list(outputs) == ["output", "map"]
    for name, values in expected.items():
        assert outputs[name].dtype == values.dtype
        np.testing.assert_allclose(outputs[name], values, rtol=1e-2 if dtype == FLOAT16 else 1e-5, atol=2e-3)


@pytest.mark.parametrize("kind", ["QDQ", "QLinear"])
def test_quantized_files_answer_as_onnxruntime_does(load, kind):
    data = plain_files.make_quantized(kind)
    array = np.asarray(PICTURE.resize((16, 12), Image.Resampling.BILINEAR), np.float32).transpose(2, 0, 1)[np.newaxis]
    model = load(data)
    outputs = model.run(model.prepare(PICTURE).feeds)
    np.testing.assert_array_equal(outputs["output"], by_onnxruntime(data, "input", array)["output"])


@pytest.mark.parametrize("dtype", [FLOAT, UINT8])
def test_a_gray_input_gets_gray_pixels(load, dtype):
    data = plain_files.make_plain(shape=(1, 12, 16, 1), layout="nhwc", dtype=dtype, channels=1)
    gray = np.asarray(PICTURE.convert("L").resize((16, 12), Image.Resampling.BILINEAR))[np.newaxis, ..., np.newaxis]
    (array,) = load(data).prepare(PICTURE).feeds.values()
    assert array.dtype == helper.tensor_dtype_to_np_dtype(dtype)
    np.testing.assert_array_equal(array, gray)


def test_a_fixed_batch_is_filled_and_answers_with_its_first_row(load):
    one, four = (plain_files.make_plain(shape=(batch, 3, 12, 16)) for batch in (1, 4))
    single, batch = load(one), load(four)
    (array,) = batch.prepare(PICTURE).feeds.values()
    assert array.shape == (4, 3, 12, 16)
    assert (array == array[0]).all()
    expected = single.run(single.prepare(PICTURE).feeds)
    received = batch.run(batch.prepare(PICTURE).feeds)
    assert received["output"].shape == (1, plain_files.CLASSES)
    np.testing.assert_allclose(received["output"], expected["output"], rtol=1e-5, atol=1e-3)


def test_a_free_size_is_the_one_that_was_said(load):
    model = load(plain_files.make_plain(shape=("N", 3, "height", "width")), image_size=(9, 21))
    assert model.run(model.prepare(PICTURE).feeds)["map"].shape == (1, plain_files.CLASSES, 7, 20)


@pytest.mark.slow
def test_a_file_of_plain_tf2onnx_answers_as_keras_does(load):
    import keras
    import tensorflow as tf
    import tf2onnx

    keras.utils.set_random_seed(0)
    image = keras.Input((12, 16, 3), name="photo")
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 127.5, -1)(image))
    source = keras.Model(image, keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(x)))
    exported, _ = tf2onnx.convert.from_keras(source, [tf.TensorSpec((None, 12, 16, 3), tf.float32, name="photo")])
    model = load(exported.SerializeToString())
    assert (model.input.layout, model.input.dtype, model.input.batch) == ("nhwc", "float32", None)
    (values,) = model.run(model.prepare(PICTURE).feeds).values()
    array = np.asarray(PICTURE.resize((16, 12), Image.Resampling.BILINEAR), np.float32)[np.newaxis]
    np.testing.assert_allclose(values, source(array), atol=1e-5)


# what is plain


def test_a_file_is_plain_where_nothing_in_it_is_of_edgecnn(tmp_path, model_path):
    (tmp_path / "plain.onnx").write_bytes(plain_files.make_plain(metadata={"author": "somebody", "names": "{}"}))
    assert is_plain_file(tmp_path / "plain.onnx")
    assert not is_plain_file(model_path)


@pytest.mark.parametrize("key", ["edgecnn.manifest", "edgecnn.evidence", "edgecnn.metadata_sha256"])
def test_a_file_with_an_entry_of_edgecnn_is_never_plain(tmp_path, key):
    path = tmp_path / "m.onnx"
    path.write_bytes(plain_files.make_plain(metadata={key: "x"}))
    assert not is_plain_file(path)
    with pytest.raises(ModelFileError, match="received one of edgecnn's"):
        load_plain_file(path, device="cpu")
    with pytest.raises((ManifestError, ModelFileError)) as refused:
        Predictor.load(path, device="cpu")
    assert "--raw" not in str(refused.value)


def test_metadata_of_a_plain_file_may_stand_anywhere(load):
    entry = onnx.ModelProto()
    entry.metadata_props.add(key="author", value="somebody")
    data = entry.SerializeToString() + plain_files.make_plain()
    file = parse_model_file(data, "m")
    assert (file.is_plain, file.payload.read(), dict(file.metadata)) == (True, data, {"author": "somebody"})
    model = load(data)
    assert model.run(model.prepare(PICTURE).feeds)["output"].shape == (1, plain_files.CLASSES)


def test_is_plain_file_refuses_what_is_no_model(tmp_path):
    picture = io.BytesIO()
    PICTURE.save(picture, "PNG")
    (tmp_path / "a.onnx").write_bytes(picture.getvalue())
    (tmp_path / "half.onnx").write_bytes(plain_files.make_plain()[:-20])
    for name in ("a.onnx", "half.onnx", "missing.onnx"):
        with pytest.raises(ModelFileError, match=name):
            is_plain_file(tmp_path / name)


def test_load_says_what_takes_a_plain_file(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(plain_files.make_plain())
    with pytest.raises(ManifestError, match="'edgecnn run --raw', 'edgecnn bench' and 'edgecnn inspect' take it") as e:
        Predictor.load(path, device="cpu")
    assert e.value.exit_code == 6


def test_load_names_the_file_that_needs_a_newer_opset(load):
    data = plain_files.change_plain(lambda model: setattr(model.opset_import[0], "version", 99))
    with pytest.raises(ModelFileError, match=r"plain\.onnx: the model needs opset 99"):
        load(data)
