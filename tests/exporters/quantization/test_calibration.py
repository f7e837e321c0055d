import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization.calibrate import load_tensors_data

from edgecnn_exporters.errors import CalibrationError
from edgecnn_exporters.quantization.calibration import METHODS, Calibrator, check_images, feeds_of
from edgecnn_exporters.quantization.quantize import INT8_OPERATORS, write_source

PEAK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np, onnx
from conftest import draw_tiny, write_tiny
from edgecnn_exporters.quantization.calibration import METHODS, Calibrator
from edgecnn_exporters.quantization.quantize import INT8_OPERATORS, write_source
folder, count = Path(sys.argv[2]), int(sys.argv[3])

class Images:
    def __iter__(self):
        for number in range(count // 10):
            yield {"image": np.random.default_rng(number).integers(0, 256, (10, 64, 64, 1), dtype=np.uint8)}

float32 = write_tiny(folder, size=64)
write_source(onnx.load_from_string(float32.payload()), folder / "source.onnx")
calibrator = Calibrator(folder / "source.onnx", Images(), batch=1, operators=INT8_OPERATORS)
for method in METHODS:
    calibrator.ranges(method)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture
def calibrate(tiny, tmp_path):
    """Measures the ranges of a tiny graph: called with images, a method and a batch size, gives them by tensor."""

    def measure(images, method, *, batch=1):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        float32 = tiny.write(folder, batch=batch)
        write_source(onnx.load_from_string(float32.payload()), folder / "source.onnx")
        calibrator = Calibrator(folder / "source.onnx", feeding(images), batch=batch, operators=INT8_OPERATORS)
        cache = calibrator.ranges(method)
        assert calibrator.ranges(method) == cache
        ranges = {name: entry.range_value for name, entry in load_tensors_data(cache).items()}
        return {name: [float(np.ravel(limit)[0]) for limit in limits] for name, limits in ranges.items()}, cache

    return measure


@pytest.fixture
def normalizing(tmp_path):
    """Trims the ranges of x / max(x) behind a convolution, which are no numbers for a black image."""

    def measure(images):
        nodes = [
            helper.make_node("Cast", ["image"], ["x"], name="cast", to=onnx.TensorProto.FLOAT),
            helper.make_node("Transpose", ["x"], ["t"], name="turn", perm=[0, 3, 1, 2]),
            helper.make_node("ReduceMax", ["t"], ["most"], name="most", keepdims=1),
            helper.make_node("Div", ["t", "most"], ["part"], name="part"),
            helper.make_node("Conv", ["part", "w"], ["y"], name="conv"),
        ]
        image = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, 4, 4, 1])
        output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, 2, 2])
        weight = numpy_helper.from_array(np.linspace(-1, 1, 18, dtype=np.float32).reshape(2, 1, 3, 3), "w")
        graph = helper.make_graph(nodes, "graph", [image], [output], [weight])
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        write_source(model, folder / "source.onnx")
        calibrator = Calibrator(folder / "source.onnx", feeding(images), batch=1, operators=["Conv"])
        ranges = load_tensors_data(calibrator.ranges("trimmed"))
        return {name: [float(np.ravel(limit)[0]) for limit in entry.range_value] for name, entry in ranges.items()}

    return measure


def feeding(batches):
    return [{"image": pixels} for pixels in batches]


def pixels(*images):
    return np.array(images, np.uint8).reshape(len(images), 2, 1, 1)


@pytest.mark.parametrize(("batches", "count"), [([], 0), ([pixels((0, 9))], 1), ([pixels((0, 9))[:0]], 0)])
def test_check_images_refuses_none_and_one(batches, count):
    with pytest.raises(CalibrationError, match=f"at least 2 images.*received {count}"):
        check_images(feeding(batches), "image")


@pytest.mark.parametrize("images", [[(0, 0)] * 40, [(number, number) for number in range(40)]])
def test_check_images_refuses_images_with_nothing_on_them(images):
    with pytest.raises(CalibrationError, match="received 40 of a single value each"):
        check_images(feeding([pixels(*images)]), "image")


def test_check_images_warns_of_few(caplog):
    with caplog.at_level(logging.WARNING, "edgecnn_exporters"):
        assert check_images(feeding([pixels((0, 9)), pixels((1, 2), (3, 4))]), "image") == 3
    assert "calibration on 3 images: give 32 or more" in caplog.text


def test_check_images_counts_enough_of_them_in_silence(caplog):
    assert check_images(feeding([pixels(*[(0, 9)] * 20)] * 2), "image") == 40
    assert caplog.text == ""


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 5), (2, [2, 2, 2]), (4, [4, 4]), (None, [1] * 5)])
def test_feeds_of_fills_a_fixed_batch(batch, sizes):
    images = [pixels((1, 1), (2, 2), (3, 3)), pixels((4, 4), (5, 5))]
    feeds = [feed["image"] for feed in feeds_of(feeding(images), batch)]
    assert [len(feed) for feed in feeds] == sizes
    assert [int(feed[0, 0, 0, 0]) for feed in feeds][:2] == [1, {1: 2, 2: 3, 4: 4, None: 2}[batch]]


def test_calibrator_finds_the_least_and_the_largest(calibrate, tiny, tmp_path):
    images = tiny.draw(40)
    ranges, _ = calibrate(images, "minmax")
    logits = tiny.reference(tiny.write(tmp_path)).run({"image": np.concatenate(images)})["logits"]
    np.testing.assert_allclose(ranges["logits"], [logits.min(), logits.max()], rtol=1e-5)


@pytest.mark.parametrize(("bright", "trimmed"), [(1, True), (8, False)])
def test_calibrator_trims_what_few_images_take(calibrate, bright, trimmed):
    dim, blinding = (np.full((1, 8, 8, 1), value, np.uint8) for value in (100, 255))
    images = [dim] * (40 - bright) + [blinding] * bright
    calm, widest = (calibrate(those, "minmax")[0] for those in ([dim] * 40, images))
    found, _ = calibrate(images, "trimmed")
    assert calm["logits"] != widest["logits"]
    for name, limits in (calm if trimmed else widest).items():
        np.testing.assert_allclose(found[name], limits, rtol=1e-5)


@pytest.mark.parametrize("broken", [0, 20, 39])
def test_calibrator_passes_over_an_image_that_is_answered_with_nan(normalizing, broken):
    images = [np.full((1, 4, 4, 1), 10 + number, np.uint8) for number in range(40)]
    whole = normalizing(images)
    images[broken] = np.zeros((1, 4, 4, 1), np.uint8)  # 0 / 0
    found = normalizing(images)
    for name, limits in whole.items():
        np.testing.assert_allclose(found[name], limits, rtol=0.05, atol=0.05)


def test_calibrator_refuses_a_network_that_answers_nothing_finite(normalizing):
    with pytest.raises(CalibrationError, match="is not finite on any image"):
        normalizing([np.zeros((1, 4, 4, 1), np.uint8)] * 40)


@pytest.mark.parametrize("method", METHODS)
def test_calibrator_gives_ranges_within_the_extremes(calibrate, tiny, method):
    images = tiny.draw(40)
    widest, found = calibrate(images, "minmax")[0], calibrate(images, method)[0]
    assert found.keys() == widest.keys()
    for name, (low, high) in found.items():
        assert widest[name][0] <= low < high <= widest[name][1]


@pytest.mark.parametrize("method", ["minmax", "percentile"])
@pytest.mark.parametrize("batch", [4, None])
def test_calibrator_gives_the_same_ranges_at_any_batch_size(calibrate, tiny, method, batch):
    images = tiny.draw(40)
    alone, together = calibrate(images, method)[0], calibrate(images, method, batch=batch)[0]
    for name, limits in alone.items():
        np.testing.assert_allclose(together[name], limits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_calibrator_takes_no_notice_of_the_order(calibrate, tiny, method):
    dark = np.ones((1, 8, 8, 1), np.uint8)
    images = [dark, *tiny.draw(40)]
    first, _ = calibrate(images, method)
    last, cache = calibrate(images[::-1], method)
    assert first == last
    if method == "entropy":  # the other one writes no histogram
        bins = [len(entry["hist"]["data"]) for entry in json.loads(cache.read_text())["data"].values()]
        assert set(bins) == {512}


def test_calibrator_keeps_stdout_clean(calibrate, tiny, capfd):
    calibrate(tiny.draw(40), "percentile")
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_calibrator_takes_no_more_memory_for_more_images(tmp_path):
    peaks = {}
    for count in (200, 2000):
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-c", PEAK, str(Path(__file__).parents[1]), str(folder), str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[count] = int(done.stdout.split()[-1])
    assert peaks[2000] <= 1.1 * peaks[200], peaks
