"""What a file may say of itself to be believed, and is not: faults 33 and 38."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
from attacks import EVIDENCE_ATTACKS, FAILING_SAMPLES, MANIFEST_ATTACKS, put

from edgecnn_runtime import ManifestError, ModelFileError, Predictor, VerificationError
from edgecnn_runtime.container import METADATA_SHA256_KEY, append_metadata, metadata_sha256, parse_model_file
from edgecnn_runtime.golden import ALIKE, ELSEWHERE, Tolerance
from edgecnn_runtime.machine import cpu_family

MANIFEST, EVIDENCE = "edgecnn.manifest", "edgecnn.evidence"


@pytest.fixture(scope="module")
def golden(make_graph, make_manifest, make_golden):
    return make_golden(make_graph(), make_manifest())


@pytest.fixture
def forge(make_graph, make_manifest, stamp, golden):
    """Bytes of a file whose evidence or manifest is edited as JSON text, with right hashes."""

    def write(edit=None, *, key=EVIDENCE, payload=None, **evidence):
        payload = make_graph() if payload is None else payload
        file = parse_model_file(stamp(payload, make_manifest(), **{"golden": golden, **evidence}), "m")
        entries = {name: text for name, text in file.metadata.items() if name != METADATA_SHA256_KEY}
        if edit is not None:
            entries[key] = edit(entries[key])
        return append_metadata(payload, entries)

    return write


def entry(key, value):
    """One entry of `metadata_props`, as protobuf writes it."""
    model = onnx.ModelProto()
    model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()


# missing proof


@pytest.mark.parametrize("kept", [[MANIFEST], [MANIFEST, METADATA_SHA256_KEY], [MANIFEST, EVIDENCE]])
@pytest.mark.parametrize("weights", ["kept", "changed"])
def test_load_refuses_a_file_whose_proof_was_left_out(make_graph, forge, caplog, kept, weights):
    payload = make_graph(bias=[9, 0, 0] if weights == "changed" else None)
    whole = parse_model_file(forge(), "m").metadata
    held = {key: whole[key] for key in kept}
    if METADATA_SHA256_KEY in held:
        held[METADATA_SHA256_KEY] = metadata_sha256({MANIFEST: whole[MANIFEST]})
    data = payload + b"".join(entry(key, value) for key, value in held.items())
    with pytest.raises(ModelFileError, match=r"nothing is proven.*--allow-modified \(allow_modified=True\)") as caught:
        Predictor.load(data, device="cpu")
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)
    predictor = Predictor.load(data, device="cpu", allow_modified=True)
    assert predictor.evidence is None
    assert sum("without evidence" in record.getMessage() for record in caplog.records) <= 1  # said once a process


def test_a_modified_file_is_said_to_be_one_once(forge, tmp_path, caplog):
    path = tmp_path / "said.onnx"
    path.write_bytes(forge().replace(b"test_cnn", b"best_cnn"))
    for _ in range(2):
        Predictor.load(path, device="cpu", allow_modified=True)
    (said,) = [record.getMessage() for record in caplog.records]
    assert str(path) in said
    assert "without evidence" in said


# tolerances that the file brings


def zeroed(payload):
    model = onnx.load_from_string(payload)
    for tensor in model.graph.initializer:
        tensor.raw_data = bytes(len(tensor.raw_data))
    return model.SerializeToString()


@pytest.mark.parametrize("family", ["here", "elsewhere"])
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("huge", [1.0, 1e300])
def test_zero_weights_fail_whatever_the_file_allows(make_graph, forge, golden, family, precision, huge):
    allowed = Tolerance(huge, huge, huge)
    samples = tuple(dataclasses.replace(sample, alike=allowed, elsewhere=allowed) for sample in golden)
    data = forge(
        payload=zeroed(make_graph(precision=precision)),
        golden=samples,
        precision=precision,
        cpu_family=cpu_family() if family == "here" else family,
    )
    with pytest.raises(VerificationError) as caught:
        Predictor.load(data, device="cpu", verify=True)
    assert caught.value.exit_code == 4
    limit = ELSEWHERE[precision]
    for sample in caught.value.verification.samples:
        assert sample.worst.allowed <= max(limit.pixels, limit.results, limit.outputs * 10)


def test_a_file_may_be_stricter_than_the_runtime():
    strict = Tolerance(0.0, 1e-9, 1e-9)
    assert strict.capped(ALIKE) == strict
    assert Tolerance(9.0, 1e-9, 9.0).capped(ALIKE) == Tolerance(2.0, 1e-9, 1e-4)


@pytest.mark.parametrize("number", [-1.0, -1e-300, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_tolerance_is_a_number_of_0_or_more(number, place):
    numbers = [1.0, 1.0, 1.0]
    numbers[place] = number
    with pytest.raises(ManifestError, match="tolerances of 0 or more"):
        Tolerance(*numbers)


@pytest.mark.parametrize("claimed", ["int8", "float16"])
def test_load_refuses_a_precision_that_the_graph_does_not_have(make_graph, forge, claimed):
    assert Predictor.load(forge(precision=claimed, payload=make_graph(precision=claimed)), device="cpu").evidence
    with pytest.raises(ModelFileError, match=f"received {claimed}"):
        Predictor.load(forge(precision=claimed), device="cpu")
    with pytest.raises(ModelFileError, match=f"received {claimed} with the recipe None"):
        Predictor.load(forge(precision=claimed, payload=make_graph(precision=claimed), quantization=None), device="cpu")
    modified = forge(precision=claimed).replace(b"test_cnn", b"best_cnn")
    with pytest.raises(ModelFileError, match="none that can be read"):
        Predictor.load(modified, device="cpu", allow_modified=True, verify=True)


@pytest.mark.parametrize("attack", EVIDENCE_ATTACKS)
def test_load_refuses_evidence_that_no_export_writes(forge, attack):
    with pytest.raises(ManifestError) as caught:
        Predictor.load(forge(EVIDENCE_ATTACKS[attack]), device="cpu", verify=True)
    assert caught.value.exit_code == 6
    assert len(str(caught.value)) <= 2000


@pytest.mark.parametrize("attack", FAILING_SAMPLES)
def test_verify_fails_samples_that_prove_nothing(forge, attack):
    with pytest.raises(VerificationError) as caught:
        Predictor.load(forge(FAILING_SAMPLES[attack]), device="cpu", verify=True)
    assert [sample.passed for sample in caught.value.verification.samples] == [False, True]


# the manifest


@pytest.mark.parametrize("attack", MANIFEST_ATTACKS)
def test_load_refuses_a_manifest_that_no_export_writes(forge, attack):
    with pytest.raises(ManifestError, match=r"the model's bytes: manifest[:.]") as caught:
        Predictor.load(forge(MANIFEST_ATTACKS[attack], key=MANIFEST), device="cpu")
    assert caught.value.exit_code == 6
    assert len(str(caught.value)) <= 2000


# the graph


@pytest.mark.parametrize("batch", [0, 2**40, 2**31])
def test_load_refuses_a_batch_that_nobody_means(make_graph, forge, batch):
    with pytest.raises(ModelFileError) as caught:
        Predictor.load(forge(payload=make_graph(batch=batch)), device="cpu")
    assert caught.value.exit_code == 6


def test_load_refuses_a_tensor_name_that_is_not_utf8(make_graph, forge):
    payload = make_graph(output_name="logitz").replace(b"logitz", b"logit\xff")
    with pytest.raises(ModelFileError, match=r"not an ONNX|UTF-8|refused"):
        Predictor.load(forge(payload=payload), device="cpu")


def test_load_takes_the_largest_batch_that_is_allowed(make_graph, forge):
    assert Predictor.load(forge(payload=make_graph(batch=4096)), device="cpu").batch == 4096


def test_messages_have_2000_characters_at_most(forge):
    for name in ("x" * 1_000_000, "\n" * 5000):
        with pytest.raises(ModelFileError) as caught:
            Predictor.load(name, device="cpu")
        assert len(str(caught.value)) <= 2000
    label = ",".join([f'"{"x" * 1_000_000}"'] * 2)
    with pytest.raises(ManifestError, match="unique labels") as caught:
        Predictor.load(forge(put("labels", value=f'[{label},"z"]'), key=MANIFEST), device="cpu")
    assert len(str(caught.value)) <= 2000


def test_a_long_message_keeps_its_beginning_and_its_cure():
    message = str(ModelFileError("a.onnx: " + "x" * 10**6 + ". Export the model again."))
    assert message.startswith("a.onnx: x")
    assert message.endswith("x. Export the model again.")
    assert len(message) == 2000
    assert str(ModelFileError("y" * 2000)) == "y" * 2000


def test_numbers_of_the_runtime_hold_for_every_precision():
    assert list(ELSEWHERE) == ["float32", "float16", "int8"]
    assert all(np.all(np.array(dataclasses.astuple(row)) <= (2.0, 0.05, 0.1)) for row in (ALIKE, *ELSEWHERE.values()))


def test_an_error_of_ours_is_one_line_whatever_it_quotes(forge):
    odd = "a\n\x1b[31m\u2028b"
    assert str(ModelFileError(f"{odd}.onnx: no")) == "a\\n\\x1b[31m\\u2028b.onnx: no"
    edit = put("provenance", "versions", value=json.dumps({odd: 1}))
    with pytest.raises(ManifestError, match=r"versions\.a\\n\\x1b\[31m\\u2028b: expected a text") as caught:
        Predictor.load(forge(edit), device="cpu")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.timeout(60)  # each took hours: as many steps as keys, each over all keys
@pytest.mark.parametrize(
    ("key", "edit"),
    [
        (EVIDENCE, put("provenance", "versions", value="{" + ",".join(['"a":"1"'] * 300_000) + "}")),
        (MANIFEST, put("labels", value="[" + ",".join(f'"{index // 2}"' for index in range(600_000)) + "]")),
    ],
    ids=["a key", "labels"],
)
def test_load_refuses_what_stands_often_without_counting_each(forge, key, edit):
    def wide(text):
        return edit(text).replace('"shape": [3]', '"shape": [600000]')

    with pytest.raises(ManifestError, match=r"stands twice|more than once"):
        Predictor.load(forge(wide, key=key), device="cpu")
