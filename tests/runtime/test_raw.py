import json

import numpy as np
import plain_files
import pytest
import questions
from onnx import TensorProto

from edgecnn_runtime import Failure, Predictor
from edgecnn_runtime.inputs import Prepared
from edgecnn_runtime.plain import PlainModel, load_plain_file
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.raw import MOST_VALUES, PredictorOutputs, RawAnswer, answer_raw, top


class Fixed:
    """A model that answers every image with the same outputs."""

    provider = "CPUExecutionProvider"

    def __init__(self, **outputs):
        self.outputs = {name: np.asarray(values) for name, values in outputs.items()}

    def prepare(self, image):
        del image
        return Prepared({}, Placement((5, 4), (1.0, 1.0), (0.0, 0.0)))

    def run(self, feeds):
        del feeds
        return self.outputs


def answer(**outputs):
    (found,) = answer_raw(Fixed(**outputs), [b"an image"])
    return found


def test_a_vector_is_told_by_its_largest_numbers():
    found = answer(scores=np.float32([[0.5, -9, 12.25, 3]]))
    assert found.lines(2) == ["scores float32 (1, 4): 2 12.25, 3 3"]
    (output,) = found.to_dict(2)["outputs"]
    assert output["top"] == [{"index": 2, "value": 12.25}, {"index": 3, "value": 3.0}]
    assert (output["values"], output["truncated"]) == ([[0.5, -9.0, 12.25, 3.0]], False)
    assert (output["min"], output["mean"], output["max"]) == (-9.0, 1.6875, 12.25)


def test_other_outputs_are_told_by_their_spread():
    found = answer(boxes=np.arange(6, dtype=np.float32).reshape(1, 3, 2))
    assert found.lines(5) == ["boxes float32 (1, 3, 2): min 0, mean 2.5, max 5"]
    assert "top" not in found.to_dict(5)["outputs"][0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.float32([[[[1]], [[4]], [[4]]]]), [(1, 4.0), (2, 4.0), (0, 1.0)]),  # (1, 3, 1, 1), of equal ones the first
        (np.int64([7]), [(0, 7.0)]),
        (np.bool_([[False, True]]), [(1, 1.0), (0, 0.0)]),
        (np.uint8([[0, 200]]), [(1, 200.0), (0, 0.0)]),  # not turned round by a minus
        (np.zeros((2, 2)), None),
        (np.zeros((0, 6)), None),
    ],
)
def test_top_finds_the_largest_of_a_vector(values, expected):
    assert top(values, 5) == expected


def test_an_output_without_numbers_is_empty():
    found = answer(boxes=np.zeros((0, 6), np.float32))
    assert found.lines(5) == ["boxes float32 (0, 6): empty"]
    assert found.to_dict(5)["outputs"][0]["values"] == []


@pytest.mark.parametrize(("size", "is_truncated"), [(MOST_VALUES, False), (MOST_VALUES + 1, True)])
def test_json_holds_outputs_whole_up_to_a_size(size, is_truncated):
    (output,) = answer(x=np.arange(size, dtype=np.float32)[np.newaxis]).to_dict(1)["outputs"]
    assert output["truncated"] is is_truncated
    assert output["values"] == (None if is_truncated else [list(range(size))])
    assert (output["max"], output["top"]) == (size - 1, [{"index": size - 1, "value": size - 1}])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_])
def test_json_gives_every_dtype_back(dtype):
    values = np.array([[1, 0, 1]]).astype(dtype)
    (output,) = json.loads(json.dumps(answer(x=values).to_dict(1), allow_nan=False))["outputs"]
    assert np.array_equal(np.array(output["values"], dtype), values)
    assert output["dtype"] == str(values.dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_a_failure(bad):
    found = answer(good=[1.0], x=np.float32([[1, bad]]))
    assert isinstance(found, Failure)
    assert found.kind == "invalid_output"
    assert "output 'x': expected finite numbers, received 1 NaN" in found.message


def test_a_bad_image_is_one_failure_and_the_others_are_answered(tmp_path, photo):
    (tmp_path / "m.onnx").write_bytes(plain_files.make_plain(dtype=TensorProto.UINT8, shape=(1, 3, 12, 16)))
    (tmp_path / "a.png").write_bytes(b"no picture")
    photo().save(tmp_path / "b.png")
    model = PlainModel(load_plain_file(tmp_path / "m.onnx", device="cpu", threads=1))
    bad, good = answer_raw(model, [tmp_path / "a.png", tmp_path / "b.png"])
    assert (bad.kind, bad.source) == ("image", str(tmp_path / "a.png"))
    assert isinstance(good, RawAnswer)
    assert (good.source, good.provider) == (str(tmp_path / "b.png"), "CPUExecutionProvider")
    assert good.shape == photo().size[::-1]
    assert min(good.preprocess_ms, good.inference_ms) > 0


def test_one_of_edgecnns_files_gives_what_its_graph_gives(model_path, photo):
    predictor = Predictor.load(model_path, device="cpu", threads=1)
    (found,) = answer_raw(PredictorOutputs(predictor), [photo()])
    expected = predictor.session.run(predictor.inputs(photo()).feeds)
    assert list(found.outputs) == ["logits"]
    np.testing.assert_array_equal(found.outputs["logits"], expected["logits"])
    assert not np.allclose(found.outputs["logits"].sum(), 1)  # no softmax


def test_a_model_that_takes_more_than_an_image_is_refused(tmp_path):
    predictor = Predictor.load(questions.write(tmp_path / "m.onnx"), device="cpu", threads=1)
    with pytest.raises(ValueError, match="takes an image alone, received one with text beside it"):
        PredictorOutputs(predictor)
