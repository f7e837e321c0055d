import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.evidence import Calibration, Evidence, Gate, Quantization, payload_sha256


@pytest.fixture
def evidence(make_evidence, make_graph, make_manifest, make_golden):
    golden = make_golden(make_graph(), make_manifest())
    return dataclasses.replace(make_evidence(b"payload"), golden=golden)


def leaves(tree, path=()):
    """Every path to a key of the JSON tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


def changed(evidence, path, change):
    tree = json.loads(evidence.to_json())
    node = tree
    for key in path[:-1]:
        node = node[key]
    change(node, path[-1])
    return json.dumps(tree)


def test_from_json_gives_back_what_to_json_wrote(evidence):
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_from_json_gives_back_evidence_without_a_metric(evidence):
    bare = dataclasses.replace(evidence, parity=dataclasses.replace(evidence.parity, metric=None))
    assert Evidence.from_json(bare.to_json()) == bare


@pytest.mark.parametrize("stated", ["1.9", "1.12", "99.0.1"])
def test_from_json_takes_files_that_state_another_onnxruntime(evidence, stated):
    tree = json.loads(evidence.to_json())
    tree["requirements"]["onnxruntime"] = stated
    assert Evidence.from_json(json.dumps(tree)).requirements.onnxruntime == stated


@pytest.fixture
def quantized(evidence):
    """Evidence of an int8 file."""
    calibration = Calibration("minmax", 300, "d" * 64)
    recipe = Quantization("QDQ", "uint8", "int8", True, False, calibration, 5, ("conv/Conv",), ("fold",))
    gates = (
        Gate("parity.accuracy_drop", 0.01, 0.008, True, bound=0.012, decided=False),
        Gate("speedup", 1.0, None, True),
    )
    return dataclasses.replace(evidence, precision="int8", quantization=recipe, gates=gates)


def test_from_json_gives_back_the_recipe_of_an_int8_file(quantized):
    assert Evidence.from_json(quantized.to_json()) == quantized


@pytest.mark.parametrize(
    "path", [("precision",), ("quantization", "format"), ("quantization", "calibration", "method")]
)
def test_from_json_refuses_a_word_that_is_not_known(quantized, path):
    with pytest.raises(ManifestError, match="expected one of"):
        Evidence.from_json(changed(quantized, path, lambda node, key: node.__setitem__(key, "int4")))


def test_to_json_is_compact_and_sorted(evidence):
    text = evidence.to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert json.loads(text)["schema_version"] == 5


def test_every_key_is_required_and_every_value_has_its_type(evidence):
    def spoil(node, key):
        node[key] = [{"unexpected": True}]

    paths = [path for path in leaves(json.loads(evidence.to_json())) if path[:2] != ("provenance", "versions")]
    maps = {"words", "numbers"}  # whose keys are free
    assert len(paths) > 25
    for path in paths:
        with pytest.raises(ManifestError):
            Evidence.from_json(changed(evidence, path, spoil))
        if isinstance(path[-1], str) and not maps.intersection(path[:-1]):
            with pytest.raises(ManifestError):
                Evidence.from_json(changed(evidence, path, lambda node, key: node.pop(key)))


def test_unknown_keys_are_refused(evidence):
    with pytest.raises(ManifestError, match=r"unknown \['host'\]"):
        Evidence.from_json(changed(evidence, ("parity", "host"), lambda node, key: node.__setitem__(key, "here")))


def test_another_schema_version_is_refused_with_both(evidence):
    with pytest.raises(ManifestError, match="evidence: expected schema_version 5, received 7"):
        Evidence.from_json(changed(evidence, ("schema_version",), lambda node, key: node.__setitem__(key, 7)))


def test_more_than_four_golden_samples_are_refused(evidence):
    text = changed(evidence, ("golden",), lambda node, key: node.__setitem__(key, node[key] * 5))
    with pytest.raises(ManifestError, match="expected at most 4 golden samples, received 10"):
        Evidence.from_json(text)


def test_a_golden_sample_without_numbers_is_refused(evidence):
    text = changed(evidence, ("golden", 0, "trace", "result", "numbers"), lambda node, key: node.__setitem__(key, {}))
    with pytest.raises(ManifestError, match="expected numbers from 0 to 1"):
        Evidence.from_json(text)


@given(st.text(max_size=60))
def test_any_other_text_is_a_manifest_error(text):
    with pytest.raises(ManifestError):
        Evidence.from_json(text)


def test_nan_cannot_be_written(evidence):
    gate = dataclasses.replace(evidence.gates[0], value=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(evidence, gates=(gate,)).to_json()


@pytest.mark.parametrize("payload", [b"", b"payload", memoryview(b"payload")])
def test_payload_sha256_is_the_hex_digest(payload):
    assert payload_sha256(payload) == hashlib.sha256(bytes(payload)).hexdigest()
