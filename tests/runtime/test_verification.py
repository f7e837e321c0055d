"""Faults 3 and 9 on the device, and everything between an image and its answer that may differ there."""

import dataclasses
import json
import logging
import pickle

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from edgecnn_runtime import ModelFileError, Predictor, VerificationError
from edgecnn_runtime.evidence import Quantization
from edgecnn_runtime.golden import Tolerance
from edgecnn_runtime.images import Picture, open_image
from edgecnn_runtime.machine import cpu_family
from edgecnn_runtime.session import Session
from edgecnn_runtime.verification import Difference, differences, trace, verify


@pytest.fixture
def golden(make_graph, make_manifest, make_golden):
    """Two samples of the default graph."""
    return make_golden(make_graph(), make_manifest())


@pytest.fixture
def golden_path(tmp_path, make_graph, make_manifest, stamp, golden):
    """A file of the default graph with its golden samples."""
    path = tmp_path / "golden.onnx"
    path.write_bytes(stamp(make_graph(), make_manifest(), golden=golden))
    return path


@pytest.fixture
def verify_as(make_graph, make_manifest, make_evidence, golden):
    """Verifies a changed graph or manifest by the samples of the default ones."""

    def verify_changed(graph=None, manifest=None, samples=golden, **evidence):
        payload = make_graph(**(graph or {}))
        proven = dataclasses.replace(make_evidence(payload), golden=samples, **evidence)
        session = Session(payload, device="cpu", threads=1)
        return verify(Predictor(session, make_manifest(**(manifest or {})), proven))

    return verify_changed


def altered_weight(payload, change, name="weights"):
    """The graph's bytes with one initializer changed, of the same length."""
    model = onnx.load_from_string(payload)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = np.frombuffer(tensor.raw_data, np.float32).copy()
    change(values)
    tensor.raw_data = values.tobytes()
    return model.SerializeToString()


def test_verify_passes_where_the_file_was_made(golden_path):
    predictor = Predictor.load(golden_path, device="cpu", threads=1)
    verification = verify(predictor)
    assert verification.passed
    assert [sample.name for sample in verification.samples] == ["plain.png", "turned.jpg"]
    assert (verification.provider, verification.cpu_family) == ("CPUExecutionProvider", cpu_family())
    assert (verification.checked_on, verification.modified) == ("x86-64-avx512-vnni", False)


@pytest.mark.parametrize("batch", [1, 4, "batch"])
def test_verify_takes_files_of_any_batch_size(verify_as, batch):
    assert verify_as({"batch": batch}).passed


def test_verify_takes_files_of_free_size(make_graph, make_manifest, make_golden, verify_as):
    graph = {"size": ("height", "width")}
    manifest = {"height": None, "width": None, "multiple_of": 4}
    samples = make_golden(make_graph(**graph), make_manifest(**manifest))
    assert [sample.trace.image_size for sample in samples] == [(40, 60), (60, 40)]
    assert verify_as(graph, manifest, samples).passed


def test_trace_is_what_predict_gives(predictor, photo, encode):
    image = encode(photo(), "JPEG")
    given, result = trace(predictor, image), predictor.predict(image)
    best = result.top(3)
    assert given.result.numbers == {
        **{f"score of class {s.class_id}": s.score for s in best},
        "best score": best[0].score,
    }
    assert given.result.words == {f"class {s.class_id}": repr(s.label) for s in best}
    assert given.image_size == result.shape
    assert given.outputs[0].shape == (1, 3)


# what differs


def test_verify_names_the_sample_and_both_answers(verify_as):
    first = verify_as({"bias": [-9, 0, 9]}).samples[0]
    assert not first.passed
    assert first.expected.startswith("'two' ")
    assert first.worst is not None


@pytest.mark.parametrize("graph", [{"bias": [1.1, 0.1, -0.9]}, {"operator": "GlobalMaxPool"}])
def test_verify_finds_another_network(verify_as, graph):
    verification = verify_as(graph)
    assert not verification.passed
    assert all(sample.worst.what.startswith("logits ") for sample in verification.samples)


def test_verify_finds_raw_outputs_that_give_the_same_scores(verify_as):
    sample = verify_as({"bias": [1.1, 0.1, -0.9]}).samples[0]
    assert (sample.expected.split(" (")[0], sample.passed) == (sample.received.split(" (")[0], False)


@pytest.mark.parametrize(
    ("family", "version", "passed"),
    [("here", "here", False), ("elsewhere", "here", True), ("here", "1.0.0", True), ("here", None, True)],
)
def test_verify_is_exact_where_the_same_kernels_compute(verify_as, make_evidence, family, version, passed):
    versions = {"onnxruntime": onnxruntime.__version__ if version == "here" else version} if version else {}
    provenance = dataclasses.replace(make_evidence(b"").provenance, versions=versions)
    checked_on = cpu_family() if family == "here" else family
    shifted = {"bias": [1.002, 0.002, -0.998]}
    proven = {"cpu_family": checked_on, "provenance": provenance}
    assert verify_as(shifted, precision="int8", **proven).passed is passed
    assert not verify_as(shifted, precision="float32", **proven).passed  # whatever the file allows


def test_verify_finds_another_resizing(verify_as):
    worst = verify_as(manifest={"resize": "letterbox", "pad_value": 0}).samples[0].worst
    assert not worst.passed


def test_verify_finds_another_decoding_that_the_network_does_not_see(verify_as, monkeypatch):
    def mirrored(source):
        return Picture(open_image(source).transpose(Image.Transpose.FLIP_LEFT_RIGHT))

    monkeypatch.setattr("edgecnn_runtime.preprocessing.open_picture", mirrored)
    samples = verify_as().samples  # the mean over the picture stays
    assert [sample.passed for sample in samples] == [False, False]
    assert samples[0].worst.what == "image signed"


def test_verify_finds_a_turn_that_is_not_undone(verify_as, monkeypatch):
    monkeypatch.setattr("edgecnn_runtime.images._UPRIGHT", {})
    plain, turned = verify_as().samples
    assert plain.passed
    assert "an image of (60, 40)" in turned.expected
    assert "an image of (40, 60)" in turned.received


def test_verify_finds_other_labels(verify_as):
    sample = verify_as(manifest={"labels": ("zero", "two", "one")}).samples[0]
    assert "2: 'two'" in sample.expected
    assert "2: 'one'" in sample.received


def test_verify_says_what_kept_an_image_from_being_answered(verify_as, golden):
    damaged = dataclasses.replace(golden[0], image=golden[0].image[:40])
    sample = verify_as(samples=(damaged,)).samples[0]
    assert (sample.passed, sample.worst) == (False, None)
    assert "damaged or truncated" in sample.received


def test_differences_allow_exactly_the_tolerance(predictor, photo):
    given = trace(predictor, np.asarray(photo()))
    what, least = min(given.result.numbers.items(), key=lambda item: item[1])
    result = dataclasses.replace(given.result, numbers={**given.result.numbers, what: least + 0.2})
    shifted = dataclasses.replace(given, result=result)

    def passed(allowed):
        return all(difference.passed for difference in differences(given, shifted, Tolerance(2.0, 1e-4, allowed)))

    assert passed(0.2001)
    assert not passed(0.1999)


# faults 3 and 9: damaged weights


def test_load_refuses_a_flipped_bit_before_it_verifies(golden_path):
    data = bytearray(golden_path.read_bytes())
    data[data.index(b"weights") + 20] ^= 1
    golden_path.write_bytes(data)
    with pytest.raises(ModelFileError, match="SHA-256"):
        Predictor.load(golden_path, device="cpu", verify=True)


def test_load_verifies_a_modified_file_by_the_samples_that_it_carries(golden_path, make_graph):
    def flip_the_high_bit(values):
        values.view(np.uint32)[1] ^= np.uint32(1 << 30)

    payload = altered_weight(make_graph(), flip_the_high_bit)
    golden_path.write_bytes(payload + golden_path.read_bytes()[len(payload) :])
    with pytest.raises(VerificationError) as caught:
        Predictor.load(golden_path, device="cpu", allow_modified=True, verify=True)
    message = str(caught.value)
    assert "golden sample 'plain.png': expected 'two' 0." in message
    assert "received 'one' 1.0000" in message
    assert "2 of 2 samples failed on CPUExecutionProvider" in message
    assert (caught.value.exit_code, caught.value.verification.modified) == (4, True)


def test_load_verifies_a_modified_file_that_answers_alike(golden_path):
    golden_path.write_bytes(golden_path.read_bytes().replace(b"test_cnn", b"best_cnn"))
    predictor = Predictor.load(golden_path, device="cpu", allow_modified=True, verify=True)
    assert predictor.evidence is None
    assert predictor.verification.modified
    assert predictor.verification.passed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_load_fails_to_verify_weights_that_are_not_finite(tmp_path, make_graph, make_manifest, stamp, golden, value):
    payload = altered_weight(make_graph(), lambda values: values.__setitem__(1, value))
    path = tmp_path / "nan.onnx"
    path.write_bytes(stamp(payload, make_manifest(), golden=golden))
    with pytest.raises(VerificationError, match=r"plain\.png.*expected 'two'.*received output 'logits'.*NaN") as caught:
        Predictor.load(path, device="cpu", verify=True)
    assert caught.value.exit_code == 4
    assert json.dumps(caught.value.verification.to_dict(), allow_nan=False)


def test_load_refuses_to_verify_a_file_without_samples(model_path):
    with pytest.raises(ModelFileError, match=r"model\.onnx: expected golden samples.*--golden-samples 1") as caught:
        Predictor.load(model_path, device="cpu", verify=True)
    assert caught.value.exit_code == 6


def test_load_keeps_what_was_verified(golden_path):
    assert Predictor.load(golden_path, device="cpu").verification is None
    predictor = Predictor.load(golden_path, device="cpu", verify=True)
    assert predictor.verification == verify(predictor)
    assert pickle.loads(pickle.dumps(predictor)).verification == predictor.verification


def test_to_dict_is_json_with_nan_as_null():
    tree = Difference("logits mean", 1.0, float("nan"), 0.1).to_dict()
    assert tree == {"what": "logits mean", "expected": 1.0, "received": None, "allowed": 0.1}
    assert not Difference("logits mean", 1.0, float("nan"), 0.1).passed


def test_a_difference_where_nothing_is_allowed_is_infinitely_too_much():
    assert Difference("logits mean", 0.0, 0.0, 0.0).excess == 0
    assert Difference("logits mean", 0.0, 1e-9, 0.0).excess == float("inf")


# another family of processors


@pytest.fixture
def load_on(tmp_path, make_graph, make_manifest, stamp, golden, monkeypatch, caplog):
    """Loads a file of a precision that was checked on another family, and gives the warnings."""

    def load(precision, *, family="aarch64-dotprod", amx=False, rewrites=(), golden=golden, **options):
        path = tmp_path / "family.onnx"
        evidence = {"golden": golden, "precision": precision}
        if rewrites:
            evidence["quantization"] = Quantization("QDQ", "uint8", "int8", True, False, None, 1, (), rewrites)
        path.write_bytes(stamp(make_graph(precision=precision), make_manifest(), **evidence))
        monkeypatch.setattr("edgecnn_runtime.other_processor.cpu_family", lambda: family)
        monkeypatch.setattr("edgecnn_runtime.other_processor.has_amx", lambda: amx)
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                Predictor.load(path, device="cpu", **options)
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    return load


@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_load_says_once_that_the_file_was_checked_on_another_family(load_on, tmp_path, precision):
    (warning,) = load_on(precision)
    for words in (precision, "x86-64-avx512-vnni", "aarch64-dotprod", f"edgecnn verify {tmp_path / 'family.onnx'}"):
        assert words in warning


def test_load_sends_nobody_to_verify_a_file_without_samples(load_on):
    (warning,) = load_on("int8", golden=())
    assert "edgecnn verify" not in warning
    assert "holds no golden samples" in warning


def test_load_says_nothing_where_the_family_does_not_matter(load_on):
    assert load_on("float32") == []


def test_load_says_nothing_on_the_family_that_was_checked(load_on):
    assert load_on("int8", family="x86-64-avx512-vnni") == []


def test_load_says_nothing_where_it_verifies(load_on):
    assert load_on("int8", verify=True) == []


@pytest.mark.parametrize(
    ("rewrites", "amx", "warned"),
    [(("amx_weights",), False, True), (("amx_weights",), True, False), ((), False, False)],
)
def test_load_says_once_that_the_weights_are_laid_out_for_amx(load_on, rewrites, amx, warned):
    said = load_on("int8", family="x86-64-avx512-vnni", rewrites=rewrites, amx=amx)
    assert ["AMX" in warning and "--tune-for" in warning for warning in said] == ([True] if warned else [])
