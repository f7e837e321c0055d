import contextlib
import dataclasses
import itertools

import numpy as np
import onnx
import pytest
import segmentations
from ranked_metric import Ranked

from edgecnn.tasks.classification.metric import Accuracy
from edgecnn_exporters.candidate import Candidate
from edgecnn_exporters.errors import CalibrationError, QuantizationError
from edgecnn_exporters.proof.gates import quantized_gates
from edgecnn_exporters.proof.proof import Proof
from edgecnn_exporters.quantization.calibration import CalibrationImages
from edgecnn_exporters.quantization.config import QuantizationConfig
from edgecnn_exporters.quantization.workshop import FileWorkshop, _error, quantize_file


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("edgecnn_exporters.quantization.speed._SECONDS", 0.0)


@pytest.fixture
def quantize(tiny, make_batch, tmp_path):
    """Quantizes a tiny graph and judges it on labels that its float32 file gives: returns both."""
    counter = itertools.count()

    def make(
        *,
        max_drop=0.05,
        spread=1.0,
        batch=1,
        precision="int8",
        fingerprint=None,
        images=None,
        metric=Accuracy,
        **options,
    ):
        folder = tmp_path / str(next(counter))
        folder.mkdir()
        float32 = tiny.write(folder, spread=spread, batch=batch)
        reference = tiny.reference(float32)
        test = tiny.draw(200, seed=2, batch_size=batch or 16)
        labelled = [make_batch(images, reference.run({"image": images})["logits"].argmax(axis=1)) for images in test]
        proof = Proof(reference, float32.manifest, labelled, "f" * 64, lambda: metric(float32.manifest))
        config = QuantizationConfig(precision, max_drop=max_drop, min_speedup=0, **options)
        quantized = quantize_file(
            float32,
            config,
            CalibrationImages(tiny.feeds(images or tiny.draw(64)), fingerprint) if precision == "int8" else None,
            folder,
            judge=lambda candidate: proof.compare(
                candidate.load(),
                quantized_gates(precision, max_drop),
                graph_sha256=candidate.graph.written.sha256,
            ),
            stages=lambda _: contextlib.nullcontext(),
        )
        return float32, quantized, config

    return make


def test_quantize_file_takes_the_first_calibration_where_that_is_accurate(quantize):
    _, quantized, _ = quantize(fingerprint="a" * 64)
    assert [one.calibration for one in quantized.tries] == ["trimmed"]
    recipe = quantized.quantization
    assert (recipe.format, recipe.activation_type, recipe.weight_type, recipe.per_channel) == (
        "QDQ",
        "uint8",
        "int8",
        True,
    )
    assert (recipe.calibration.images, recipe.calibration.data_fingerprint) == (64, "a" * 64)
    assert (recipe.layers, recipe.float_layers, recipe.rewrites) == (
        4,
        (),
        ("pixels", "width_folding", "bias_correction"),
    )


def test_quantize_file_computes_with_the_pixels_as_they_are(quantize):
    _, quantized, _ = quantize()
    graph = onnx.load(quantized.candidate.path).graph
    behind = {"image"}
    for node in graph.node:
        if behind.intersection(node.input):
            if node.op_type == "Conv":
                break
            assert node.op_type in ("Reshape", "Transpose", "DequantizeLinear"), node.op_type
            behind.update(node.output)
    else:
        pytest.fail("no convolution reads the image")


def test_quantize_file_measures_the_speed_and_keeps_its_time_out_of_the_evidence(quantize):
    _, quantized, config = quantize()
    assert quantized.tries[-1].speedup.n == 30
    (gate,) = quantized.speed_gates(config)
    assert (gate.name, gate.budget, gate.value, gate.passed) == ("speedup", 0.0, None, True)


def test_quantize_file_names_nodes_and_weights_after_their_layers(quantize):
    _, quantized, _ = quantize()
    graph = onnx.load(quantized.candidate.path).graph
    assert {node.name.split("/")[0] for node in graph.node} == {
        *("stem", "wide", "narrow", "pool", "flatten", "logits")
    }
    assert all("/" in tensor.name for tensor in graph.initializer)
    onnx.checker.check_model(quantized.candidate.path, full_check=True)


def test_quantize_file_finds_the_layer_that_int8_breaks(quantize):
    _, quantized, _ = quantize(spread=1000.0)
    drops = [one.drop for one in quantized.tries]
    assert [one.calibration for one in quantized.tries[:4]] == ["trimmed", "minmax", "percentile", "entropy"]
    assert min(drops[:4]) > 0.2
    assert len(drops) == 5
    assert drops[-1] <= 0.05
    assert quantized.quantization.float_layers == ("wide/Conv", "narrow/Conv")
    assert quantized.quantization.layers == 2


def test_quantize_file_goes_by_the_drop_of_a_metric_that_is_no_mean(quantize):
    _, quantized, _ = quantize(spread=1000.0, metric=Ranked)
    assert [one.accurate for one in quantized.tries] == [False] * 4 + [True]
    assert quantized.quantization.float_layers == ("wide/Conv", "narrow/Conv")
    for one in quantized.tries:
        assert (one.metric, one.bound, one.decided, one.drop) == ("ap50", None, True, round(one.source - one.file, 12))
    assert quantized.tries[-1].fits
    assert "ap50 drop 0.0" in quantized.tries[-1].describe()


def test_quantize_file_keeps_only_the_last_try(quantize):
    _, quantized, _ = quantize(spread=1000.0)
    left = {path.name for path in quantized.candidate.path.parent.glob("*.onnx")}
    assert left == {"float32.onnx", "source.onnx", "try5.onnx"}


def test_quantize_file_ends_with_a_file_that_does_not_fit(quantize):
    _, quantized, _ = quantize(spread=1000.0, max_drop=-1.0)
    assert not quantized.tries[-1].fits
    assert quantized.tries[-1].layers >= 1


def test_quantize_file_lays_weights_out_for_amx(quantize, tiny, monkeypatch):
    for limit in ("_CHANNELS_1X1", "_CHANNELS_OUT", "_PATCH"):
        monkeypatch.setattr(f"edgecnn_exporters.rewrites.amx_weights.{limit}", 1)
    (_, plain, _), (_, tuned, _) = quantize(), quantize(tune_for="amx")
    assert plain.quantization.rewrites == ("pixels", "width_folding", "bias_correction")
    assert tuned.quantization.rewrites == ("pixels", "width_folding", "bias_correction", "amx_weights")
    assert plain.candidate.payload() != tuned.candidate.payload()
    sessions = plain.candidate.load(), tuned.candidate.load()
    for image in np.concatenate(tiny.draw(20, seed=5)):
        plainly, quickly = (session.run({"image": image[None]})["logits"] for session in sessions)
        assert np.array_equal(plainly, quickly)


@pytest.mark.parametrize(("amx", "warned"), [(True, False), (False, True)])
def test_quantize_file_says_where_it_cannot_measure_amx(quantize, monkeypatch, caplog, amx, warned):
    monkeypatch.setattr("edgecnn_exporters.quantization.workshop.has_amx", lambda: amx)
    _, quantized, _ = quantize(tune_for="amx")
    assert "amx_weights" not in quantized.quantization.rewrites  # too small a network to gain by it
    assert any("no AMX" in record.getMessage() for record in caplog.records) is warned


@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_quantize_file_gives_the_same_bytes_again(quantize, spread):
    files = [quantize(spread=spread)[1].candidate.path.read_bytes() for _ in range(2)]
    assert files[0] == files[1]


@pytest.mark.parametrize("batch", [None, 4])
def test_quantize_file_takes_any_batch_size(quantize, batch):
    _, quantized, _ = quantize(batch=batch)
    assert quantized.candidate.load().batch == batch
    assert quantized.tries[-1].fits


def test_quantize_file_makes_float16_without_calibration(quantize):
    _, quantized, config = quantize(precision="float16")
    assert [one.calibration for one in quantized.tries] == [None]
    assert quantized.tries[0].drop <= 0.01
    assert (quantized.quantization.format, quantized.quantization.calibration) == ("float16", None)
    assert quantized.tries[0].speedup is None  # CPUs convert it back
    assert quantized.speed_gates(config) == ()


def test_quantize_file_refuses_a_graph_without_layers(quantize, monkeypatch):
    monkeypatch.setattr("edgecnn_exporters.quantization.quantize.INT8_OPERATORS", ("Relu",))
    with pytest.raises(QuantizationError, match="received none"):
        quantize()


def test_quantize_file_refuses_images_with_nothing_on_them(quantize):
    with pytest.raises(CalibrationError):
        quantize(images=[np.zeros((40, 8, 8, 1), np.uint8)])


def test_calibration_images_can_be_read_again():
    with pytest.raises(ValueError, match="read again"):
        CalibrationImages(iter([]))


def test_config_refuses_the_layout_of_amx_where_there_are_no_int8_weights_of_8_bits():
    with pytest.raises(ValueError, match="tune_for"):
        QuantizationConfig("float16", tune_for="amx")
    with pytest.raises(ValueError, match="tune_for"):
        QuantizationConfig("int8", tune_for="amx", reduce_range=True)


def test_config_is_frozen():
    config = QuantizationConfig("float16")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_drop = 1.0


@pytest.fixture
def of_any_size(tmp_path):
    """Makes the workshop of a segmenter for pictures of any size, and the sizes that it is calibrated on."""
    sizes = ((24, 40), (16, 16), (48, 8), (32, 32))

    def make(precision):
        manifest = segmentations.make_manifest((None, None), multiple_of=8)
        model = onnx.load_from_string(segmentations.make_graph((None, None), batch=1))
        with_samples = precision == "int8"
        draw = np.random.default_rng(0).integers
        images = [draw(0, 256, (1, *size, 3), dtype=np.uint8) for size in sizes]
        return FileWorkshop(
            Candidate.write(model, tmp_path / "float32.onnx", manifest, 1),
            QuantizationConfig(precision),
            CalibrationImages([{"image": pixels} for pixels in images]) if with_samples else None,
            tmp_path,
            judge=lambda _: pytest.fail("nothing is to be judged"),
            stages=lambda _: contextlib.nullcontext(),
        )

    return make


def test_layers_are_ranked_where_maps_have_another_size_in_each_run(of_any_size):
    (only,) = of_any_size("int8").by_sensitivity("minmax")
    assert len(only) >= 1


def test_drawn_images_of_a_free_size_are_as_the_graph_takes_them(of_any_size):
    sides = [side for feed in of_any_size("float16")._feeds() for side in feed["image"].shape[1:3]]
    assert len(set(sides)) > 1
    assert not any(side % 8 for side in sides)


def test_the_error_is_the_sum_of_the_parts_of_each_output():
    expected = [{"a": np.array([[3.0, 4.0]]), "b": np.ones((1, 2))}, {"a": np.zeros((1, 5)), "b": np.ones((1, 2))}]
    received = [{"a": np.array([[3.0, 5.0]]), "b": np.ones((1, 2))}, {"a": np.ones((1, 5)), "b": np.zeros((1, 2))}]
    assert _error(expected, received) == pytest.approx((1 + 5) / 25 + 2 / 4)
