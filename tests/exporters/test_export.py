import dataclasses
import json
import logging
import os
import platform
import stat

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from edgecnn_exporters import ExportError, ParityError, QuantizationConfig, UnsupportedOpError, WeightsError
from edgecnn_exporters import candidate as candidate_module
from edgecnn_exporters.graph.convert import hash_weights
from edgecnn_exporters.report import Outcome
from edgecnn_runtime import Predictor
from edgecnn_runtime.decoders import OutputSpec
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.tasks.classification import Classification
from edgecnn_runtime.verification import verify


class KerasReferenceThatTells:
    """A source that keeps the manifests it is asked to answer by; by one of a certain name it answers otherwise."""

    def __init__(self, model, manifests, fails=None):
        self.model, self.manifests, self.fails = model, manifests, fails

    def run(self, feeds):
        return {"logits": np.asarray(self.model(feeds["image"], training=False))}

    def results(self, outputs, placements, manifest=None):
        self.manifests.append(manifest)
        turn = -1 if manifest.model.name == self.fails else 1
        scores = tf.nn.softmax(turn * outputs["logits"]).numpy()
        return [
            Classification(row, labels=None, shape=place.image_size)
            for row, place in zip(scores, placements, strict=True)
        ]


def labelled(make_pixels, model, counts):
    """Batches that the model gets right but for the first image."""
    for number, count in enumerate(counts):
        pixels = make_pixels(count, seed=number)
        class_ids = np.asarray(model(pixels, training=False)).argmax(axis=1)
        if number == 0:
            class_ids[0] = (class_ids[0] + 1) % 3
        yield pixels, class_ids


def test_export_writes_a_file_that_answers_like_the_model(model, exported, make_pixels):
    predictor = Predictor.load(exported.path, device="cpu")
    for pixels in make_pixels(3):
        scores = predictor.predict(pixels).scores
        np.testing.assert_allclose(scores, tf.nn.softmax(model(pixels[np.newaxis]))[0], atol=1e-6)


def test_export_stamps_manifest_and_evidence(model, exported, make_manifest):
    predictor = Predictor.load(exported.path, device="cpu")
    assert predictor.manifest == make_manifest(model)
    assert predictor.evidence == exported.evidence
    assert exported.evidence.provenance.weights_sha256 == hash_weights(model)
    assert (exported.evidence.provenance.seed, exported.evidence.precision) == (7, "float32")


def test_export_proves_parity_on_synthetic_images_without_data(exported):
    parity = exported.evidence.parity
    assert (parity.images_from, parity.decoded.images, parity.metric) == ("synthetic", 32, None)
    assert parity.decoded.top1_agreement == 1.0
    assert parity.tensors[0].max_relative < 1e-5
    assert all(gate.passed for gate in exported.evidence.gates)


def test_export_makes_a_valid_onnx_file(exported):
    onnx.checker.check_model(os.fspath(exported.path), full_check=True)
    keys = [entry.key for entry in onnx.load(exported.path).metadata_props]
    assert {"edgecnn.manifest", "edgecnn.evidence", "Image.BitmapPixelFormat", "task", "imgsz"} <= set(keys)


def test_export_leaves_the_file_and_its_report_and_nothing_else(exported, files_in):
    assert files_in(exported.path.parent) == ["model.onnx", "model.report.json"]
    assert exported.size_bytes == exported.path.stat().st_size


def test_export_reports_times_and_machine_beside_the_file(exported):
    report = json.loads(exported.report_path.read_text())
    assert (report["file"], report["passed"], report["machine"]["host"]) == ("model.onnx", True, platform.node())
    assert list(report["seconds"]) == ["weights", "convert", "graph", "load", "parity", "golden", "stamp", "verify"]
    assert report["evidence"]["payload_sha256"] == exported.evidence.payload_sha256
    assert {"cpu", "cpu_family"} <= report["machine"].keys()


def test_export_puts_no_host_and_no_path_into_the_file(model, export_model, tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "a-host-of-its-own")  # a real one may be two letters long
    report = export_model(model, tmp_path / "m.onnx")
    assert b"a-host-of-its-own" in report.report_path.read_bytes()
    content = report.path.read_bytes()
    assert b"a-host-of-its-own" not in content
    assert os.fspath(tmp_path).encode() not in content


def test_export_gives_the_same_bytes_again(model, exported, export_model, tmp_path):
    again = export_model(model, tmp_path / "other.onnx", seed=7)
    assert again.path.read_bytes() == exported.path.read_bytes()


def test_export_gives_the_same_bytes_after_saving_and_loading(model, exported, export_model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert export_model(loaded, tmp_path / "m.onnx", seed=7).path.read_bytes() == exported.path.read_bytes()


def test_export_tells_each_stage(model, export_model, tmp_path, caplog):
    stages = []
    with caplog.at_level(logging.INFO, logger="edgecnn_exporters"):
        export_model(model, tmp_path / "model.onnx", on_stage=stages.append)
    assert stages == ["weights", "convert", "graph", "load", "parity", "golden", "stamp", "verify"]
    assert [record.message.split(":")[0] for record in caplog.records] == stages


def test_export_keeps_stdout_clean(model, export_model, tmp_path, capfd):
    export_model(model, tmp_path / "model.onnx")
    assert capfd.readouterr().out == ""


def test_export_measures_the_metric_on_labelled_images(model, export_model, make_pixels, tmp_path):
    evaluation = labelled(make_pixels, model, [4, 5, 1])
    report = export_model(model, tmp_path / "m.onnx", evaluation=evaluation, evaluation_fingerprint="f" * 64)
    parity = report.evidence.parity
    assert (parity.images_from, parity.decoded.images) == ("f" * 64, 10)
    assert (parity.metric.name, parity.metric.source, parity.metric.file) == ("accuracy", 0.9, 0.9)


@pytest.mark.parametrize("batch", [None, 4])
def test_export_compares_a_file_of_any_batch_size(model, export_model, make_pixels, tmp_path, batch):
    report = export_model(model, tmp_path / "m.onnx", evaluation=labelled(make_pixels, model, [3, 7]), batch=batch)
    assert report.evidence.parity.decoded.images == 10
    assert Predictor.load(report.path, device="cpu").batch == batch


def test_export_replaces_an_earlier_file(model, export_model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"old")
    assert export_model(model, tmp_path / "model.onnx").path.read_bytes() != b"old"


def test_export_writes_through_a_link(model, export_model, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "real" / "model.onnx")
    export_model(model, tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    assert Predictor.load(tmp_path / "real" / "model.onnx", device="cpu")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_export_gives_the_file_the_usual_permissions(exported):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(exported.path.stat().st_mode) == 0o666 & ~umask


# What stops an export leaves the earlier file, and nothing else but, for a missed parity, the report.


@pytest.fixture
def earlier(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"earlier")
    return path


@pytest.fixture
def assert_intact(earlier, files_in):
    def check(*others):
        assert earlier.read_bytes() == b"earlier"
        assert files_in(earlier.parent) == sorted(["model.onnx", *others])

    return check


def tamper(monkeypatch, name, change):
    """Alters one weight between conversion and verification."""
    finish = candidate_module.finish

    def tampered(converted, target, **options):
        graph = finish(converted, target, **options)
        proto = onnx.load(target)
        weight = next(tensor for tensor in proto.graph.initializer if tensor.name == name)
        values = onnx.numpy_helper.to_array(weight).copy()
        change(values)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, name))
        target.write_bytes(proto.SerializeToString())
        return graph

    monkeypatch.setattr(candidate_module, "finish", tampered)


def shift_one_bias(values):
    values[1] += 0.01


def overflow_one_kernel(values):
    values.flat[0] = np.inf


@pytest.mark.parametrize(
    ("weight", "change", "gate"),
    [
        ("logits/bias", shift_one_bias, "parity.tensors"),
        ("conv/kernel", overflow_one_kernel, "parity.non_finite_images"),
    ],
)
def test_export_refuses_a_file_whose_weights_were_altered(
    model, export_model, monkeypatch, earlier, assert_intact, weight, change, gate
):
    tamper(monkeypatch, weight, change)
    with pytest.raises(ParityError) as caught:
        export_model(model, earlier)
    assert_intact("model.report.json")
    report = json.loads((earlier.parent / "model.report.json").read_text())
    assert (report["passed"], report["evidence"], report["parity"]["worst_tensor"]) == (False, None, "logits")
    assert gate in [g["name"] for g in report["parity"]["gates"] if not g["passed"]]
    assert f"{earlier}: no file written" in str(caught.value)
    assert "worst output 'logits', worst image " in str(caught.value)
    assert (caught.value.exit_code, caught.value.report.passed) == (4, False)


def test_export_refuses_a_file_whose_classes_were_swapped(
    model, export_model, monkeypatch, make_pixels, earlier, assert_intact
):
    def swap(values):
        values[:] = values[:, ::-1].copy()

    tamper(monkeypatch, "logits/kernel", swap)
    with pytest.raises(ParityError) as caught:
        export_model(model, earlier, evaluation=labelled(make_pixels, model, [8]))
    failed = {gate.name for gate in caught.value.report.gates if not gate.passed}
    assert {"parity.tensors", "parity.decided_disagreements", "parity.accuracy"} <= failed
    assert_intact("model.report.json")


def test_export_says_so_when_the_report_cannot_be_written_either(
    model, export_model, monkeypatch, earlier, assert_intact
):
    def full(*_):
        raise OSError(28, "No space left on device")

    tamper(monkeypatch, "logits/bias", shift_one_bias)
    monkeypatch.setattr(Outcome, "publish_failure", full)
    with pytest.raises(ParityError, match="could not be written either: No space left on device"):
        export_model(model, earlier)
    assert_intact()


def test_export_refuses_weights_that_are_not_finite(make_model, export_model, earlier, assert_intact):
    model = make_model()
    model.get_layer("bn").moving_mean.assign([0, np.nan, 0, 0])
    with pytest.raises(WeightsError, match="weight 'bn/moving_mean'") as caught:
        export_model(model, earlier)
    assert caught.value.exit_code == 4
    assert_intact()


def test_export_refuses_an_operator_that_onnx_lacks(make_model, export_model, earlier, assert_intact):
    class Gamma(keras.layers.Layer):
        def call(self, x):
            return tf.math.lgamma(x)

    with pytest.raises(UnsupportedOpError, match=f"{earlier}: .*Lgamma of layer 'gamma'.*Replace") as caught:
        export_model(make_model(Gamma(name="gamma")), earlier)
    assert caught.value.exit_code == 1
    assert_intact()


def test_export_refuses_a_manifest_of_another_model(model, make_manifest, export_model, earlier, assert_intact):
    manifest = dataclasses.replace(make_manifest(model), outputs=(OutputSpec("logits", (4,)),))
    with pytest.raises(ManifestError, match=rf"^{earlier}: manifest and graph disagree.*\(4,\).*\(3,\)"):
        export_model(model, earlier, manifest=manifest)
    assert_intact()


def test_export_leaves_nothing_when_it_is_interrupted(model, export_model, earlier, assert_intact):
    class Interrupting:
        def run(self, _):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(model, earlier, reference=Interrupting())
    assert_intact()


def test_export_lets_errors_of_the_data_through(model, export_model, earlier, assert_intact):
    def images():
        raise FileNotFoundError(2, "No such file or directory", "image.png")
        yield

    with pytest.raises(FileNotFoundError):
        export_model(model, earlier, evaluation=images())
    assert_intact()


def test_export_refuses_data_without_images(model, export_model, earlier, assert_intact):
    with pytest.raises(ExportError, match=f"{earlier}: parity: expected at least one image"):
        export_model(model, earlier, evaluation=iter(()))
    assert_intact()


@pytest.mark.parametrize("room", [0.2, 0.6, 0.99])  # for the converted graph; for the folded one; for the last metadata
def test_export_names_the_file_when_the_disk_is_full(model, export_model, earlier, assert_intact, exported, room):
    resource = pytest.importorskip("resource")
    limit = int(exported.size_bytes * room)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(ExportError, match=f"^{earlier}: ") as caught:
            export_model(model, earlier)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 1
    assert_intact()


@pytest.mark.parametrize("name", ["", "missing/model.onnx"])
def test_export_refuses_a_directory_and_a_missing_folder(model, export_model, earlier, assert_intact, name):
    with pytest.raises(ExportError, match=os.fspath(earlier.parent)):
        export_model(model, earlier.parent / name)
    assert_intact()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no read-only file system to be had")  # noqa: PTH112
def test_export_names_the_file_on_a_read_only_file_system(model, export_model):
    with pytest.raises(ExportError, match=r"^/proc/model\.onnx: cannot be written"):
        export_model(model, "/proc/model.onnx")


def test_export_refuses_when_the_reports_name_is_a_directory(model, export_model, earlier, assert_intact):
    (earlier.parent / "model.report.json").mkdir()
    with pytest.raises(ExportError, match=r"model\.report\.json: expected the name of a file"):
        export_model(model, earlier)
    assert_intact("model.report.json")


@pytest.mark.parametrize(
    ("options", "message"), [({"opset": 12}, "opset: expected 13 to 18"), ({"batch": 0}, "batch:")]
)
def test_export_refuses_arguments_out_of_range(model, export_model, earlier, assert_intact, options, message):
    with pytest.raises(ValueError, match=message):
        export_model(model, earlier, **options)
    assert_intact()


def settling(seen):
    """Names the model after what the file got right; keeps what it was given."""

    def settle(manifest, metric):
        seen.append((manifest, metric))
        return dataclasses.replace(manifest, model=dataclasses.replace(manifest.model, name=f"{metric.value():.2f}"))

    return settle


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_export_writes_the_manifest_that_the_files_own_answers_ask_for(
    model, export_model, make_manifest, make_pixels, tmp_path, precision
):
    seen, given = [], list(labelled(make_pixels, model, [5, 5]))
    reference_manifests = []
    reference = KerasReferenceThatTells(model, reference_manifests)
    report = export_model(
        model,
        tmp_path / "m.onnx",
        evaluation=given,
        reference=reference,
        settle=settling(seen),
        quantization=None if precision == "float32" else QuantizationConfig("float16", max_drop=1.0),
    )
    ((manifest, metric),) = seen  # of the file that was written alone, and after its first comparison
    assert manifest == make_manifest(model)
    assert len(metric.image_scores()) == 10
    predictor = Predictor.load(report.path, device="cpu")
    assert predictor.manifest.model.name == "0.90"
    assert predictor.manifest in reference_manifests  # the source answered by it too
    assert report.evidence.parity.metric.file == pytest.approx(0.9)
    assert "settle" in report.seconds
    assert verify(predictor).passed


def test_export_keeps_the_manifest_without_labels_or_where_nothing_asks_for_another(
    model, export_model, make_manifest, make_pixels, tmp_path
):
    for evaluation, settle in ((None, settling([])), (list(labelled(make_pixels, model, [5])), lambda old, _: old)):
        report = export_model(model, tmp_path / "m.onnx", evaluation=evaluation, settle=settle)
        assert Predictor.load(report.path, device="cpu").manifest == make_manifest(model)
        assert "settle" not in report.seconds


def test_export_writes_nothing_where_the_settled_manifest_does_not_pass(model, export_model, make_pixels, tmp_path):
    given = list(labelled(make_pixels, model, [5]))
    reference = KerasReferenceThatTells(model, [], fails="0.80")
    with pytest.raises(ParityError):
        export_model(model, tmp_path / "m.onnx", evaluation=given, reference=reference, settle=settling([]))
    assert not (tmp_path / "m.onnx").exists()
