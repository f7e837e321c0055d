import io

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from edgecnn_exporters.graph.writer import Converted, Weight, write_model
from edgecnn_runtime.evidence import payload_sha256

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=20)
arrays = hnp.arrays(st.sampled_from([np.float32, np.int64, np.float16]), shapes, elements=st.integers(-5, 5))


def model_of(values):
    """A model with the arrays as initializers w0, w1, ...; one holds its numbers in int64_data instead of raw_data."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["logits"], name="relu")],
        "name",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [
            *(numpy_helper.from_array(array, f"w{number}") for number, array in enumerate(values)),
            helper.make_tensor("listed", TensorProto.INT64, [2], [3, -1]),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="edgecnn")


def written(converted):
    file = io.BytesIO()
    return write_model(converted, file), file.getvalue()


@given(st.lists(arrays, max_size=3))
def test_write_model_gives_the_bytes_that_protobuf_gives(values):
    model = model_of(values)
    assert written(Converted(model))[1] == model.SerializeToString(deterministic=True)


@given(st.lists(arrays, max_size=3))
def test_write_model_writes_weights_as_if_the_model_held_them(values):
    weights = tuple(
        Weight(f"w{number}", array.shape, array.dtype, lambda array=array: array) for number, array in enumerate(values)
    )
    expected = model_of([])
    expected.graph.initializer.extend(numpy_helper.from_array(w.read(), w.name) for w in weights)
    assert onnx.load_from_string(written(Converted(model_of([]), weights))[1]) == expected


def test_write_model_tells_hash_and_size():
    result, content = written(Converted(model_of([np.ones((300, 100), np.float32)])))
    assert (result.sha256, result.size_bytes) == (payload_sha256(content), len(content))


def test_write_model_reads_one_weight_after_the_other():
    order = []

    class File(io.BytesIO):
        def write(self, data):
            if len(data) == 4000:
                order.append("written")
            return super().write(data)

    def read():
        order.append("read")
        return np.zeros(1000, np.float32)

    weights = tuple(Weight(name, (1000,), np.dtype(np.float32), read) for name in "ab")
    write_model(Converted(model_of([]), weights), File())
    assert order == ["read", "written", "read", "written"]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 2**14, 2**21])
def test_write_model_writes_lengths_of_any_size(size):
    model = model_of([np.zeros(size, np.uint8)])
    assert onnx.load_from_string(written(Converted(model))[1]) == model
