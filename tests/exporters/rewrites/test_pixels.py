import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgecnn_exporters.rewrites.pixels import pixel_tensors, pixels_into_convolution, skip_pixel_quantization

MEANS, SCALES = np.float32([-103.9, -116.8, -123.7]), np.float32([1, 0.5, 0.25])


@pytest.fixture(scope="module")
def stem(make_graph, float_tensor):
    """An image normalised to (pixel + offset) * scale, a convolution, Relu and a second convolution."""

    def make(*, size=(9, 8), channels=3, scale=1 / 255, offset=0.0, kernel=3, batch=1, outputs=(), **options):
        random = np.random.default_rng(0)
        strides, pads = options.get("strides", [1, 1]), options.get("pads", [0] * 4)
        made = [(size[a] + pads[a] + pads[a + 2] - kernel) // strides[a] + 1 for a in (0, 1)] if size[0] else ["h", "w"]
        weights = {
            "offset": np.float32(offset),
            "scale": np.float32(scale),
            "w": random.normal(0, 0.2, (4, channels, kernel, kernel)).astype(np.float32),
            "b": random.normal(0, 0.2, 4).astype(np.float32),
            "w2": random.normal(0, 0.2, (2, 4, 1, 1)).astype(np.float32),
        }
        nodes = [
            ("Cast", ["image"], "float", {"to": TensorProto.FLOAT}),
            ("Add", ["float", "offset"], "shifted", {}),
            ("Mul", ["shifted", "scale"], "scaled", {}),
            ("Transpose", ["scaled"], "first", {"perm": [0, 3, 1, 2]}),
            ("Conv", ["first", "w", "b"], "convolved", options),
            ("Relu", ["convolved"], "activated", {}),
            ("Conv", ["activated", "w2"], "y", {}),
        ]
        tensors = {"y": float_tensor(batch, 2, *made)} | {n: float_tensor(batch, 4, *made) for n in outputs}
        image = (TensorProto.UINT8, (batch, *(size if size[0] else ("height", "width")), channels))
        return make_graph(nodes, {"image": image}, tensors, weights)

    return make


def draw(size=(9, 8), channels=3, images=1, seed=0):
    return {"image": np.random.default_rng(seed).integers(0, 256, (images, *size, channels), dtype=np.uint8)}


def quantize(model, folder):
    """Quantizes as the exporter is to do it: raw pixels at scale 1 and zero point 0."""

    class Reader(CalibrationDataReader):
        def __init__(self):
            shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
            self.feeds = iter([draw(shape[1:3], shape[3], seed=seed) for seed in range(4)])

        def get_next(self):
            return next(self.feeds, None)

    source, target = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(model, source)
    raw = [{"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}]
    quantize_static(
        source,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv", "Relu", "Reshape", "Transpose"],
        extra_options={"TensorQuantOverrides": dict.fromkeys(pixel_tensors(model), raw)},
    )
    return onnx.load(target)


def executed(model, folder):
    """Returns the operators that ONNX Runtime runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def test_pixels_into_convolution_leaves_a_cast_of_the_image(stem, operators):
    model, changed = pixels_into_convolution(stem(pads=[1, 1, 1, 1]))
    assert changed
    assert operators(model) == ["Transpose", "Cast", "Conv", "Relu", "Conv"]


def test_pixels_into_convolution_takes_an_offset_into_the_bias_where_nothing_is_padded(stem, operators):
    model, changed = pixels_into_convolution(stem(offset=MEANS, scale=SCALES))
    assert changed
    assert operators(model) == ["Transpose", "Cast", "Conv", "Relu", "Conv"]


def test_pixels_into_convolution_marks_the_border_where_an_offset_meets_padding(stem, operators):
    model, changed = pixels_into_convolution(stem(offset=MEANS, pads=[1, 1, 1, 1]))
    assert changed
    assert operators(model) == ["Pad", "Concat", "Transpose", "Cast", "Conv", "Relu", "Conv"]


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    kernel=st.integers(1, 5),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.one_of(st.just((0, 0, 0, 0)), st.tuples(*[st.integers(0, 2)] * 4)),
    offset=st.sampled_from([0.0, -127.5, MEANS]),
    scale=st.sampled_from([1 / 255, SCALES]),
)
def test_pixels_into_convolution_answers_alike(
    stem, run, largest_difference, size, kernel, strides, pads, offset, scale
):
    model = stem(size=size, kernel=kernel, strides=list(strides), pads=list(pads), offset=offset, scale=scale)
    changed_model, changed = pixels_into_convolution(model)
    assert changed
    assert largest_difference(run(model, draw(size)), run(changed_model, draw(size))) <= 2e-6


@pytest.mark.parametrize("batch", [3, "batch"])
def test_pixels_into_convolution_works_for_several_images(stem, run, largest_difference, batch):
    model = stem(batch=batch, pads=[1, 1, 1, 1])
    changed_model, changed = pixels_into_convolution(model)
    assert changed
    assert largest_difference(run(model, draw(images=3)), run(changed_model, draw(images=3))) <= 2e-6


def test_pixels_into_convolution_works_for_any_size(stem, run, largest_difference):
    model = stem(size=(None, None), pads=[1, 1, 1, 1])
    changed_model, changed = pixels_into_convolution(model)
    assert changed
    for size in ((4, 5), (7, 3)):
        assert largest_difference(run(model, draw(size)), run(changed_model, draw(size))) <= 2e-6


@pytest.mark.parametrize("free", [{"size": (None, None)}, {"batch": "batch"}])
def test_pixels_into_convolution_leaves_an_offset_before_padding_alone_where_the_size_is_free(stem, free):
    model = stem(offset=MEANS, pads=[1, 1, 1, 1], **free)
    left, changed = pixels_into_convolution(model)
    assert left is model
    assert not changed


def test_pixels_into_convolution_leaves_an_image_that_is_an_output_alone(stem, float_tensor):
    model = stem()
    model.graph.output.append(onnx.helper.make_tensor_value_info("scaled", *float_tensor(1, 9, 8, 3)))
    assert not pixels_into_convolution(model)[1]


def test_pixels_into_convolution_leaves_automatic_padding_alone(make_graph, float_tensor):
    nodes = [
        ("Cast", ["image"], "a", {"to": TensorProto.FLOAT}),
        ("Transpose", ["a"], "b", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["b", "w"], "y", {"auto_pad": "SAME_UPPER"}),
    ]
    image = {"image": (TensorProto.UINT8, (1, 4, 4, 3))}
    model = make_graph(nodes, image, {"y": float_tensor(1, 1, 4, 4)}, {"w": np.ones((1, 3, 3, 3), np.float32)})
    assert not pixels_into_convolution(model)[1]


def test_pixel_tensors_names_what_the_convolution_reads(stem):
    model, _ = pixels_into_convolution(stem())
    (name,) = pixel_tensors(model)
    (convolution,) = (node for node in model.graph.node if name in node.input)
    assert convolution.op_type == "Conv"


def test_pixel_tensors_names_nothing_that_is_normalised_first(stem):
    assert pixel_tensors(stem()) == ()


@pytest.mark.parametrize(("offset", "pads"), [(0.0, [1] * 4), (MEANS, [0] * 4), (MEANS, [1] * 4)])
def test_skip_pixel_quantization_leaves_no_float_operator_before_the_answer(stem, tmp_path, offset, pads):
    rewritten, _ = pixels_into_convolution(stem(offset=offset, pads=pads))
    model, changed = skip_pixel_quantization(quantize(rewritten, tmp_path))
    assert changed
    operators = executed(model, tmp_path)
    assert operators.count("QLinearConv") == 2
    assert set(operators) <= {"Pad", "Concat", "Transpose", "QLinearConv", "DequantizeLinear"}


@pytest.mark.parametrize(("offset", "pads"), [(0.0, [1] * 4), (MEANS, [0] * 4), (MEANS, [1] * 4)])
def test_skip_pixel_quantization_changes_no_bit(stem, run, tmp_path, offset, pads):
    rewritten, _ = pixels_into_convolution(stem(offset=offset, pads=pads))
    before = quantize(rewritten, tmp_path)
    after, _ = skip_pixel_quantization(before)
    np.testing.assert_array_equal(run(after, draw(seed=9))["y"], run(before, draw(seed=9))["y"])


@pytest.mark.parametrize(("offset", "pads"), [(0.0, [1] * 4), (MEANS, [0] * 4), (MEANS, [1] * 4)])
def test_skip_pixel_quantization_answers_as_the_float_model_within_the_weights_rounding(
    stem, run, largest_difference, tmp_path, offset, pads
):
    model = stem(offset=offset, pads=pads)
    after, _ = skip_pixel_quantization(quantize(pixels_into_convolution(model)[0], tmp_path))
    assert largest_difference(run(model, draw(seed=9)), run(after, draw(seed=9))) <= 0.03


def test_skip_pixel_quantization_leaves_another_scale_alone(stem, tmp_path):
    model = quantize(stem(), tmp_path)
    left, changed = skip_pixel_quantization(model)
    assert left is model
    assert not changed
