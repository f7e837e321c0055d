import json
from functools import partial

import keras
import numpy as np
import onnx
import pytest
from ranked_metric import Ranked

from edgecnn_exporters import (
    BudgetError,
    CalibrationError,
    CalibrationImages,
    ExportError,
    ParityError,
    QuantizationConfig,
    QuantizationError,
    export,
)
from edgecnn_exporters.graph.layer_names import mark
from edgecnn_exporters.quantization import workshop
from edgecnn_runtime import Predictor


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecnn_exporters.quantization.speed._SECONDS", 0.0)
        yield


def test_export_refuses_a_bound_on_a_metric_that_has_none_before_anything_is_done(tmp_path):
    strict = QuantizationConfig("float16", strict=True)
    with pytest.raises(QuantizationError, match=r"--strict: .* received ap50\. Leave --strict out"):
        export(
            None,
            None,
            tmp_path / "m.onnx",
            reference=None,
            evaluation=[],
            metric=lambda: Ranked(None),
            quantization=strict,
        )
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def labelled(model, make_pixels):
    """Batches that the model gets right."""
    batches = [make_pixels(40, seed=seed) for seed in range(5)]
    return [(pixels, np.asarray(model(pixels, training=False)).argmax(axis=1)) for pixels in batches]


@pytest.fixture(scope="module")
def quantize_into(model, export_model, labelled, make_pixels):
    """Exports the model with fewer bits into a folder."""

    def make(folder, name="model.onnx", *, precision="int8", options=None, **changes):
        quantization = QuantizationConfig(precision, **{"max_drop": 0.1, "min_speedup": 0.0, **(options or {})})
        if precision == "int8":
            changes.setdefault(
                "calibration", CalibrationImages([{"image": make_pixels(20, seed=seed)} for seed in (8, 9)])
            )
        source = changes.pop("model", model)
        settings = {"evaluation": labelled, "evaluation_fingerprint": "f" * 64, **changes}
        return export_model(source, folder / name, quantization=quantization, **settings)

    return make


@pytest.fixture
def quantize(quantize_into, tmp_path):
    return partial(quantize_into, tmp_path)


@pytest.fixture(scope="module")
def quantized(quantize_into, tmp_path_factory):
    """The report of an int8 export that passed; its file must not be changed."""
    return quantize_into(tmp_path_factory.mktemp("quantized"))


@pytest.fixture
def earlier(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"earlier")
    return path


def test_export_writes_an_int8_file_with_both_accuracies_and_the_verdicts(quantized):
    evidence = Predictor.load(quantized.path, device="cpu").evidence
    assert evidence == quantized.evidence
    assert evidence.precision == "int8"
    assert evidence.parity.metric.source == 1.0
    assert [gate.name for gate in evidence.gates] == [
        "parity.non_finite_images",
        "parity.outputs",
        "parity.decided_disagreement",
        "parity.accuracy_drop",
        "golden.outputs",
        "speedup",
    ]
    assert evidence.quantization.calibration.images == 40
    assert evidence.quantization.layers == 2


def test_export_reports_every_try_and_its_speed_beside_the_file(quantized):
    tree = json.loads(quantized.report_path.read_text())
    assert tree["passed"] is True
    assert [one["calibration"] for one in tree["tries"]] == ["trimmed"]
    assert tree["tries"][0]["speedup"]["n"] == 30
    assert list(tree["seconds"])[4:] == ["parity", "calibrate (trimmed)", "try 1", "golden", "stamp", "verify"]


def test_export_gives_the_same_int8_bytes_again(quantize, quantized):
    assert quantize("again.onnx").path.read_bytes() == quantized.path.read_bytes()


@pytest.mark.parametrize("batch", [None, 4])
def test_export_quantizes_a_file_of_any_batch_size(quantize, batch):
    assert Predictor.load(quantize(batch=batch).path, device="cpu").batch == batch


def test_export_quantizes_around_an_operator_with_inputs_left_out(quantize, make_model):
    """Resize: its second input has the empty name, as a weight that nothing reads had."""
    layers = [keras.layers.Conv2D(4, 3, padding="same", name="conv"), keras.layers.UpSampling2D(name="up")]
    model = make_model(*layers, keras.layers.Conv2D(4, 3, name="behind"))
    report = quantize(model=model, options={"max_drop": 1.0})
    assert report.evidence.quantization.layers == 3
    assert "Resize" in report.evidence.requirements.operators


def test_export_leaves_the_file_and_its_report_and_nothing_else(quantized, files_in):
    assert files_in(quantized.path.parent) == ["model.onnx", "model.report.json"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_drop": -1.0}, ["--max-drop -1 is not met", "--quantize fp16"]),
        ({"min_speedup": 1e9}, ["--min-speedup 1e+09 is not met", "--quantize fp16"]),
        ({"strict": True, "max_drop": 0.012}, ["--strict", "95 % bound", "Give more test images"]),
    ],
)
def test_export_refuses_what_keeps_no_budget(quantize, earlier, files_in, options, words):
    with pytest.raises(BudgetError) as caught:
        quantize(options=options)
    assert (caught.value.exit_code, earlier.read_bytes()) == (5, b"earlier")
    assert [word for word in words if word not in str(caught.value)] == []
    assert files_in(earlier.parent) == ["model.onnx", "model.report.json"]
    assert not caught.value.tries[-1].fits
    tree = json.loads((earlier.parent / "model.report.json").read_text())
    assert (tree["passed"], tree["evidence"], len(tree["tries"])) == (False, None, len(caught.value.tries))


def test_export_writes_float16(quantize):
    report = quantize("half.onnx", precision="float16")
    assert (report.evidence.precision, report.evidence.quantization.format) == ("float16", "float16")
    assert report.evidence.parity.metric.file == 1.0


def test_export_writes_float16_without_labels(quantize):
    report = quantize(precision="float16", evaluation=None)
    assert report.evidence.parity.metric is None
    assert [gate.name for gate in report.evidence.gates] == [
        "parity.non_finite_images",
        "parity.outputs",
        "parity.decided_disagreement",
        "parity.tensors",
        "golden.outputs",
    ]


def test_export_refuses_int8_of_zero_outputs_without_golden_samples_and_with_labels_at_chance(
    quantize, make_pixels, monkeypatch, earlier, files_in
):
    quantize_int8 = workshop.quantize_int8

    def zeroed(*arguments, **options):
        model = quantize_int8(*arguments, **options)
        (last,) = (node for node in model.graph.node if "logits" in node.output)
        last.output[0] = "lost"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0), "nothing"))
        model.graph.node.append(onnx.helper.make_node("Mul", ["lost", "nothing"], ["logits"], mark("logits", 99)))
        return model

    monkeypatch.setattr(workshop, "quantize_int8", zeroed)
    at_chance = [(make_pixels(60, seed=3), np.arange(60) % 3)]
    with pytest.raises(ParityError, match=r"does not answer like the model: parity\.outputs") as caught:
        quantize(evaluation=at_chance, golden_samples=0, options={"max_drop": 0.5})
    assert caught.value.exit_code == 4
    assert caught.value.report.gates[-1].passed  # the accuracy alone would have let it pass
    assert earlier.read_bytes() == b"earlier"
    assert files_in(earlier.parent) == ["model.onnx", "model.report.json"]


def test_export_refuses_a_model_that_keras_quantized(quantize, make_model, earlier, files_in):
    model = make_model()
    model.get_layer("logits").quantize("int8")
    with pytest.raises(QuantizationError, match=r"layer 'logits'.*Keras quantized"):
        quantize(model=model)
    assert files_in(earlier.parent) == ["model.onnx"]


def test_export_refuses_calibration_images_that_cannot_serve(quantize, earlier, files_in):
    with pytest.raises(CalibrationError, match=rf"^{earlier}: calibration: expected at least 2 images"):
        quantize(calibration=CalibrationImages([{"image": np.zeros((1, 12, 10, 1), np.uint8)}]))
    assert files_in(earlier.parent) == ["model.onnx"]


@pytest.mark.parametrize(
    ("evaluation", "message"), [(None, "to judge an int8 file on"), (iter([]), "expected an iterable that can be read")]
)
def test_export_refuses_to_judge_without_images(quantize, evaluation, message):
    with pytest.raises(ValueError, match=message):
        quantize(evaluation=evaluation)


def test_export_takes_calibration_images_for_int8_and_for_nothing_else(quantize, make_pixels):
    with pytest.raises(ValueError, match="calibration: expected images for int8, and none"):
        quantize(calibration=None)
    with pytest.raises(ValueError, match="calibration: expected images for int8, and none"):
        quantize(precision="float16", calibration=CalibrationImages([{"image": make_pixels(4, seed=0)}]))


@pytest.mark.parametrize("room", [0.6, 0.99])
def test_export_names_the_file_when_the_disk_is_full(quantize, exported, earlier, files_in, room):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(exported.size_bytes * room), before[1]))
    try:
        with pytest.raises(ExportError, match=f"^{earlier}: "):
            quantize()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert earlier.read_bytes() == b"earlier"
    assert files_in(earlier.parent) == ["model.onnx"]


def test_export_gives_the_same_int8_bytes_after_saving_and_loading(model, tmp_path, quantize, quantized):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert quantize("loaded.onnx", model=loaded).path.read_bytes() == quantized.path.read_bytes()
