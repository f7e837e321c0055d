"""What only a machine with CUDA can show; elsewhere each of these is skipped. docs/cuda.md says how to run them."""

import dataclasses
import logging

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecnn_runtime import Predictor, providers
from edgecnn_runtime.errors import SessionError
from edgecnn_runtime.providers import CPU, CUDA, cuda_problem, onnxruntime
from edgecnn_runtime.session import Session

CHANNELS, SIZE = 64, 32
FLOAT32, HALF, QDQ = "float32", "float16", "int8 QDQ"
# Of the largest logit. float32: sums in another order; TF32 is off by 1e-4 or more. int8: one step of a tensor's scale.
LARGEST_DIFFERENCE = {FLOAT32: 1e-5, HALF: 5e-3, QDQ: 0.05}


def make_convnet(precision=FLOAT32):
    """The bytes of a graph of two convolutions and a dense layer, each a sum of hundreds of products."""
    random = np.random.default_rng(0)
    element = TensorProto.FLOAT16 if precision == HALF else TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=element),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    weights = {"per_gray": np.float32(1 / 255)}
    nodes.append(helper.make_node("Mul", ["planes", "per_gray"], ["tensor0"]))
    for layer, inputs in ((1, 3), (2, CHANNELS)):
        given, kernel = f"tensor{layer - 1}", f"kernel{layer}"
        values = random.normal(0, (2 / (9 * inputs)) ** 0.5, (CHANNELS, inputs, 3, 3)).astype(np.float32)
        weights[kernel] = values
        if precision == QDQ:
            scales = {given: 1 / 255 if layer == 1 else 4 / 255, kernel: float(np.abs(values).max() / 127)}
            weights[kernel] = np.clip(np.rint(values / scales[kernel]), -127, 127).astype(np.int8)
            zeros = {given: np.uint8(0), kernel: np.int8(0)}
            for name in (given, kernel):
                weights |= {f"{name}_scale": np.float32(scales[name]), f"{name}_zero": zeros[name]}
            nodes += [
                helper.make_node("QuantizeLinear", [given, f"{given}_scale", f"{given}_zero"], [f"{given}_q"]),
                helper.make_node("DequantizeLinear", [f"{given}_q", f"{given}_scale", f"{given}_zero"], [f"{given}_d"]),
                helper.make_node("DequantizeLinear", [kernel, f"{kernel}_scale", f"{kernel}_zero"], [f"{kernel}_d"]),
            ]
            given, kernel = f"{given}_d", f"{kernel}_d"
        nodes.append(helper.make_node("Conv", [given, kernel], [f"sums{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"sums{layer}"], [f"tensor{layer}"]))
    weights["dense"] = random.normal(0, 1, (CHANNELS * SIZE * SIZE // 64, 3)).astype(np.float32)
    nodes += [
        helper.make_node("AveragePool", ["tensor2"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "dense"], ["answer"]),
        helper.make_node("Cast", ["answer"], ["logits"], to=TensorProto.FLOAT),
    ]
    if precision == HALF:
        weights = {name: values.astype(np.float16) for name, values in weights.items()}
    graph = helper.make_graph(
        nodes,
        "convnet",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def why_not():
    """What keeps CUDA from running a graph here, None where nothing does."""
    if (problem := cuda_problem()) is not None:
        return problem
    try:
        Session(make_convnet(), device="cuda")
    except SessionError as error:
        return str(error)
    return None


WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"CUDA cannot be used here: {WHY_NOT}")


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def file(tmp_path, stamp, make_manifest, make_golden):
    """A stamped float32 file whose golden samples must be met within the float32 tolerance everywhere."""
    payload = make_convnet()
    manifest = make_manifest(height=SIZE, width=SIZE, color="rgb")
    golden = tuple(dataclasses.replace(sample, elsewhere=sample.alike) for sample in make_golden(payload, manifest))
    path = tmp_path / "convnet.onnx"
    path.write_bytes(stamp(payload, manifest, golden=golden))
    return path


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("precision", [FLOAT32, HALF, QDQ])
def test_cuda_answers_as_plain_onnx_runtime_on_the_cpu(pixels, capfd, precision, batch):
    payload = make_convnet(precision)
    plain = onnxruntime.InferenceSession(payload, providers=[CPU])
    (expected,) = plain.run(None, {"image": pixels[:batch]})
    session = Session(payload, device="cuda", tf32=precision == HALF)
    assert session.provider == CUDA
    received = session.run({"image": pixels[:batch]})["logits"]
    assert capfd.readouterr() == ("", "")
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(received, expected, rtol=0, atol=LARGEST_DIFFERENCE[precision] * np.abs(expected).max())


def test_a_result_names_cuda(file, photo):
    assert Predictor.load(file, device="cuda").predict(photo()).provider == CUDA


def test_golden_samples_are_met_on_cuda(file):
    verification = Predictor.load(file, device="cuda", verify=True).verification
    assert (verification.provider, verification.passed, len(verification.samples)) == (CUDA, True, 2)


def test_device_auto_takes_cuda_and_says_so_once(caplog):
    providers.say_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="edgecnn_runtime"):
        loaded = [Session(make_convnet(), device="auto") for _ in range(2)]
    assert {session.provider for session in loaded} == {CUDA}
    assert [record.getMessage() for record in caplog.records] == [f"device auto: running on {CUDA}."]


HIDDEN = """
import logging, sys
from edgecnn_runtime import Predictor
from edgecnn_runtime.errors import ProviderError
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
for device in ("cuda", "auto", "auto"):
    try:
        print(device, Predictor.load(sys.argv[1], device=device).provider)
    except ProviderError as error:
        print(error.exit_code, error)
"""


def test_without_a_visible_gpu_cuda_is_refused_and_auto_says_once_that_the_cpu_runs(file, run_python):
    done = run_python(HIDDEN, str(file), env={"CUDA_VISIBLE_DEVICES": ""})
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    why = "received CUDA failure 100: no CUDA-capable device is detected"
    assert lines[0].startswith(f"3 device cuda: expected {CUDA}, {why} from")
    assert lines[1] == f"WARNING device auto: running on the CPU, because {CUDA} did not load: {why}."
    assert lines[2:] == [f"auto {CPU}"] * 2
