import json
import logging
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecnn.errors import DatasetError, KerasFileError, UsageError
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.export import export_source
from edgecnn.models.pretrained import RANDOM_SEED
from edgecnn.training import TrainConfig, train
from edgecnn_exporters import BudgetError, CalibrationError
from edgecnn_runtime import Predictor
from edgecnn_runtime.errors import ManifestError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder of a tiny model, and the .npz it was trained on; made once, copied nowhere: tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    random = np.random.default_rng(0)
    class_ids = np.arange(24) % 3
    pixels = random.integers(0, 60, (24, 10, 10), dtype=np.uint8)
    pixels[np.arange(24), :, class_ids] = 220
    data = folder / "set.npz"
    np.savez(
        data,
        x_train=pixels,
        y_train=class_ids,
        x_test=pixels[:9],
        y_test=class_ids[:9],
        labels=np.array(["a", "b", "c"]),
    )
    config = TrainConfig("simple_cnn", str(data), epochs=1, image_size=(10, 10), width=0.05, seed=7)
    train(config, folder / "run")
    return folder


def test_export_source_proves_a_run_on_its_own_data(trained, tmp_path):
    evidence = export_source(ExportConfig(str(trained / "run")), tmp_path / "out.onnx").evidence
    assert evidence.parity.metric.images == 9
    assert evidence.parity.images_from == evidence.provenance.data_fingerprint
    assert evidence.provenance.seed == 7


@pytest.mark.parametrize(("count", "names"), [(0, []), (1, ["plain.png"]), (2, ["plain.png", "resized.jpg"])])
def test_export_source_takes_as_many_golden_samples_as_it_is_asked_for(trained, tmp_path, count, names):
    report = export_source(ExportConfig(str(trained / "run"), golden_samples=count), tmp_path / "out.onnx")
    assert [sample.name for sample in report.evidence.golden] == names
    assert (
        ("golden" in report.seconds)
        == ("golden.outputs" in {gate.name for gate in report.evidence.gates})
        == (count > 0)
    )
    assert json.loads(report.report_path.read_text())["golden_samples"] == count


@pytest.mark.parametrize("fault", ["changed", "gone"])
def test_export_source_says_why_there_is_no_metric_when_the_data_are(trained, tmp_path, caplog, fault):
    data, moved = trained / "set.npz", tmp_path / "moved.npz"
    data.rename(moved)
    if fault == "changed":
        with np.load(moved) as arrays:
            np.savez(data, **{**arrays, "y_train": (arrays["y_train"] + 1) % 3})
    try:
        with caplog.at_level(logging.WARNING, "edgecnn"):
            evidence = export_source(ExportConfig(str(trained / "run")), tmp_path / "out.onnx").evidence
    finally:
        data.unlink(missing_ok=True)
        moved.rename(data)
    assert evidence.parity.metric is None
    assert evidence.parity.images_from == "synthetic"
    assert "no metric, because" in caplog.text
    assert ("has changed" if fault == "changed" else "cannot be read") in caplog.text


def test_export_source_matches_labels_by_name(trained, tmp_path):
    with np.load(trained / "set.npz") as arrays:
        turned = {name: 2 - arrays[name] for name in ("y_train", "y_test")}
        np.savez(tmp_path / "turned.npz", **{**arrays, **turned, "labels": np.array(["c", "b", "a"])})
    by_own = export_source(ExportConfig(str(trained / "run")), tmp_path / "a.onnx").evidence
    by_turned = export_source(
        ExportConfig(str(trained / "run"), data=str(tmp_path / "turned.npz")), tmp_path / "b.onnx"
    )
    assert by_turned.evidence.parity.metric == by_own.parity.metric


def test_export_source_refuses_data_of_other_classes(trained, tmp_path):
    with np.load(trained / "set.npz") as arrays:
        np.savez(tmp_path / "other.npz", **{**arrays, "labels": np.array(["x", "y", "z"])})
    with pytest.raises(UsageError, match="labels"):
        export_source(ExportConfig(str(trained / "run"), data=str(tmp_path / "other.npz")), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_export_source_takes_a_keras_file_with_a_manifest_elsewhere(trained, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes((trained / "run" / "model.keras").read_bytes())
    config = ExportConfig(str(model), data=str(trained / "set.npz"), manifest=trained / "run" / "manifest.json")
    evidence = export_source(config, tmp_path / "out.onnx").evidence
    assert evidence.provenance.seed is None
    assert evidence.parity.metric.images == 9


def test_export_source_asks_for_the_manifest_of_a_keras_file(trained, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes((trained / "run" / "model.keras").read_bytes())
    with pytest.raises(UsageError, match=r"manifest\.json"):
        export_source(ExportConfig(str(model)), tmp_path / "out.onnx")


def test_export_source_refuses_a_damaged_manifest(trained, tmp_path):
    (tmp_path / "m.json").write_text("{}")
    config = ExportConfig(str(trained / "run" / "model.keras"), manifest=tmp_path / "m.json")
    with pytest.raises(ManifestError, match=r"m\.json"):
        export_source(config, tmp_path / "out.onnx")


def test_export_source_refuses_what_is_no_keras_file(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no zip")
    with pytest.raises(KerasFileError):
        export_source(ExportConfig(str(tmp_path / "model.keras")), tmp_path / "out.onnx")


def test_export_source_gives_a_name_random_weights_and_the_labels_of_a_file(tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n\nowl\n")
    config = ExportConfig("mnist_convnet", weights="none", labels=tmp_path / "labels.txt", batch=None)
    report = export_source(config, tmp_path / "out.onnx")
    predictor = Predictor.load(tmp_path / "out.onnx", device="cpu")
    assert predictor.manifest.labels == ("cat", "dog", "owl")
    assert predictor.batch is None
    assert report.evidence.provenance.seed == RANDOM_SEED
    assert report.evidence.provenance.data_fingerprint is None


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe", None])
def test_export_source_refuses_a_file_without_labels(tmp_path, content):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="--labels"):
        export_source(ExportConfig("mnist_convnet", weights="none", labels=path), tmp_path / "out.onnx")


def test_export_source_gives_a_name_the_weights_of_a_run(trained, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    config = ExportConfig(
        "simple_cnn",
        weights=str(trained / "run" / "model.keras"),
        labels=tmp_path / "labels.txt",
        image_size=(10, 10),
        width=0.05,
        data=str(trained / "set.npz"),
    )
    by_name = export_source(config, tmp_path / "name.onnx").evidence
    by_run = export_source(ExportConfig(str(trained / "run")), tmp_path / "run.onnx").evidence
    assert by_name.payload_sha256 == by_run.payload_sha256
    assert by_name.parity.metric == by_run.parity.metric
    assert by_name.provenance.seed is None


# Fewer bits: calibrated on the train part, judged on the test part.

LENIENT = {"max_drop": 1.0, "min_speedup": 0.0}


def test_export_source_calibrates_on_the_train_part_and_judges_on_the_test_part(trained, tmp_path):
    config = ExportConfig(str(trained / "run"), quantize="int8", **LENIENT)
    evidence = export_source(config, tmp_path / "out.onnx").evidence
    assert (evidence.precision, evidence.parity.metric.images) == ("int8", 9)
    assert evidence.quantization.calibration.images == 24
    assert evidence.quantization.calibration.data_fingerprint == evidence.parity.images_from
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"out.onnx", "out.report.json", "out.report.md", "out.report.png"}


def test_export_source_calibrates_on_as_many_images_as_asked_for(trained, tmp_path):
    config = ExportConfig(str(trained / "run"), quantize="int8", calibration_samples=10, **LENIENT)
    assert export_source(config, tmp_path / "out.onnx").evidence.quantization.calibration.images == 10


def test_export_source_draws_the_tries_that_kept_no_budget(trained, tmp_path):
    config = ExportConfig(str(trained / "run"), quantize="int8", max_drop=1.0, min_speedup=1e6)
    with pytest.raises(BudgetError, match="--quantize fp16"):
        export_source(config, tmp_path / "out.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"out.report.json", "out.report.md", "out.report.png"}


def test_export_source_writes_float16(trained, tmp_path):
    config = ExportConfig(str(trained / "run"), quantize="fp16", **LENIENT)
    assert export_source(config, tmp_path / "out.onnx").evidence.precision == "float16"


def test_export_source_refuses_int8_when_the_data_of_the_run_are_gone(trained, tmp_path):
    data, moved = trained / "set.npz", tmp_path / "moved.npz"
    data.rename(moved)
    try:
        with pytest.raises(UsageError, match="--quantize int8: it needs images"):
            export_source(ExportConfig(str(trained / "run"), quantize="int8"), tmp_path / "out.onnx")
    finally:
        moved.rename(data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["black", "labels"])
def test_export_source_refuses_to_calibrate_on_other_data(trained, tmp_path, fault):
    with np.load(trained / "set.npz") as arrays:
        changed = {
            "black": {"x_train": np.zeros_like(arrays["x_train"])},
            "labels": {"labels": np.array(["x", "y", "z"])},
        }
        np.savez(tmp_path / "other.npz", **{**arrays, **changed[fault]})
    config = ExportConfig(str(trained / "run"), data=str(tmp_path / "other.npz"), quantize="int8", **LENIENT)
    with pytest.raises(CalibrationError if fault == "black" else UsageError):
        export_source(config, tmp_path / "out.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"other.npz"}


def test_export_source_refuses_a_width_of_nothing(tmp_path):
    with pytest.raises(UsageError, match=r"expected a width multiplier above 0, received 0\.0"):
        export_source(ExportConfig("mnist_convnet", weights="none", width=0.0), tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


# Bad pictures, the part to judge by, and answers near chance.


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory):
    """Forty pictures to learn from and forty to validate with, which `trained` can tell apart or not."""
    root = tmp_path_factory.mktemp("folders")
    random = np.random.default_rng(5)
    for part in ("train", "val"):
        for class_id, name in enumerate("abc"):
            (root / part / name).mkdir(parents=True)
            for index in range(14):
                pixels = random.integers(0, 60, (10, 10), np.uint8)
                pixels[:, class_id] = 220
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return root


def test_export_source_names_all_bad_pictures_or_leaves_them_out(trained, class_folders, tmp_path, caplog):
    shutil.copytree(class_folders, tmp_path / "set")
    bad = [tmp_path / "set" / name for name in ("val/a/3.png", "val/c/0.png", "train/b/2.png")]
    for path in bad:
        path.write_bytes(b"half")
    config = ExportConfig(str(trained / "run"), data=str(tmp_path / "set"), quantize="int8", **LENIENT)
    with pytest.raises(DatasetError, match=r"^3 of 84 .*val/a/3\.png: .*val/c/0\.png: .*train/b/2\.png: .*--skip-bad"):
        export_source(config, tmp_path / "out.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"set"}
    with caplog.at_level(logging.INFO, "edgecnn"):
        evidence = export_source(replace(config, skip_bad=True), tmp_path / "out.onnx").evidence
    assert (evidence.parity.metric.images, evidence.quantization.calibration.images) == (40, 41)
    assert "proving the file on the val part of set: 42 images" in caplog.messages
    assert any(message.startswith("left out 3 pictures") and str(bad[2]) in message for message in caplog.messages)


@pytest.mark.slow
def test_export_source_warns_where_source_and_file_are_near_chance(class_folders, tmp_path, caplog):
    train(
        TrainConfig("simple_cnn", str(class_folders), 25, 8, learning_rate=0.01, image_size=(10, 10)), tmp_path / "run"
    )
    report = export_source(ExportConfig(str(tmp_path / "run")), tmp_path / "good.onnx")
    assert report.evidence.parity.metric.source > 0.9
    assert "near chance" not in caplog.text
    shutil.copy(tmp_path / "run" / "model.keras", tmp_path / "model.keras")
    manifest = (tmp_path / "run" / "manifest.json").read_text().replace('["a","b","c"]', '["b","c","a"]')
    (tmp_path / "manifest.json").write_text(manifest)
    config = ExportConfig(str(tmp_path / "model.keras"), data=str(class_folders))
    assert export_source(config, tmp_path / "bad.onnx").evidence.parity.metric.source < 0.1
    assert "the file answers like its source, but accuracy 0.0" in caplog.text
    assert re.search(r"With the model's labels in the order a, b, c it would be (0\.9|1\.0)", caplog.text)
