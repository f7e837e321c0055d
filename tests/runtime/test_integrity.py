import json

import pytest

from edgecnn_runtime.container import METADATA_SHA256_KEY, append_metadata, metadata_sha256, parse_model_file
from edgecnn_runtime.errors import ManifestError, ModelFileError
from edgecnn_runtime.integrity import read_claims, read_evidence, read_manifest


@pytest.fixture
def stamped(make_graph, make_manifest, stamp):
    return stamp(make_graph(), make_manifest())


def test_read_manifest_and_evidence_give_what_was_stamped(stamped, make_graph, make_manifest, make_evidence):
    file = parse_model_file(stamped, "model.onnx")
    assert read_manifest(file) == make_manifest()
    assert read_evidence(file) == make_evidence(make_graph())


def test_read_manifest_says_that_a_file_is_not_from_edgecnn(make_graph):
    with pytest.raises(
        ManifestError, match=r"plain\.onnx: expected the metadata entry 'edgecnn.manifest', received \[\]"
    ):
        read_manifest(parse_model_file(make_graph(), "plain.onnx"))


def test_read_manifest_names_the_file_that_is_damaged(make_graph, stamp):
    with pytest.raises(ManifestError, match=r"m\.onnx: manifest: expected JSON"):
        read_manifest(parse_model_file(stamp(make_graph(), "{"), "m.onnx"))


def test_read_evidence_refuses_a_file_without_evidence(make_graph, make_manifest):
    data = append_metadata(make_graph(), {"edgecnn.manifest": make_manifest().to_json()})
    with pytest.raises(
        ModelFileError, match=r"m: expected .*received a file without 'edgecnn.evidence'.*allow"
    ) as error:
        read_evidence(parse_model_file(data, "m"))
    assert error.value.exit_code == 6
    assert read_evidence(parse_model_file(data, "m"), allow_modified=True) is None


def test_read_evidence_says_first_that_a_file_is_not_from_edgecnn(make_graph):
    with pytest.raises(ManifestError, match="not exported by edgecnn"):
        read_evidence(parse_model_file(make_graph(), "m"), allow_modified=True)


def test_read_evidence_refuses_another_graph_under_the_same_metadata(make_graph, make_manifest, stamp):
    data = stamp(make_graph(), make_manifest())[len(make_graph()) :]
    with pytest.raises(
        ModelFileError, match=r"the graph was damaged or altered.*expected SHA-256 \w{64}, received \w{64}"
    ):
        read_evidence(parse_model_file(make_graph(bias=[0, 0, 1]) + data, "m"))


def test_read_evidence_refuses_an_altered_label(stamped):
    with pytest.raises(ModelFileError, match="the metadata was damaged or altered"):
        read_evidence(parse_model_file(stamped.replace(b'"zero"', b'"nill"'), "m"))


def test_read_evidence_refuses_an_altered_entry_for_other_tools(make_graph, make_manifest, stamp):
    data = stamp(make_graph(), make_manifest(), {"names": "{0: 'cat'}"})
    with pytest.raises(ModelFileError, match="the metadata was damaged"):
        read_evidence(parse_model_file(data.replace(b"'cat'", b"'dog'"), "m"))


def test_read_evidence_refuses_evidence_without_the_metadata_hash(make_graph, make_manifest, make_evidence):
    data = append_metadata(
        make_graph(),
        {"edgecnn.manifest": make_manifest().to_json(), "edgecnn.evidence": make_evidence(make_graph()).to_json()},
    )
    renamed = data.replace(METADATA_SHA256_KEY.encode(), METADATA_SHA256_KEY[:-1].encode() + b"_")
    with pytest.raises(ModelFileError, match=r"without 'edgecnn\.metadata_sha256'"):
        read_evidence(parse_model_file(renamed, "m"))


@pytest.mark.parametrize("old", [b'"zero"', b"weights"])
def test_read_evidence_gives_none_for_an_altered_file_that_is_allowed(stamped, old):
    file = parse_model_file(stamped.replace(old, old[::-1]), "m")
    assert read_evidence(file, allow_modified=True) is None


@pytest.mark.parametrize("old", [b"pooled", b"test_cnn", b"unchanged"])
def test_read_claims_gives_the_samples_of_an_altered_file_too(make_graph, make_manifest, make_golden, stamp, old):
    golden = make_golden(make_graph(), make_manifest())
    data = stamp(make_graph(), make_manifest(), golden=golden)
    assert read_claims(parse_model_file(data.replace(old, old[::-1]), "m")).golden == golden


def test_read_claims_is_none_where_no_evidence_can_be_read(make_graph, make_manifest, make_golden, stamp):
    golden = make_golden(make_graph(), make_manifest())
    data = stamp(make_graph(), make_manifest(), golden=golden)
    assert read_claims(parse_model_file(make_graph(), "m")) is None
    assert read_claims(parse_model_file(data.replace(b'"golden"', b'"GOLDEN"'), "m")) is None


def test_read_evidence_refuses_another_schema_version(make_graph, make_manifest, make_evidence):
    tree = {**json.loads(make_evidence(make_graph()).to_json()), "schema_version": 3}
    entries = {"edgecnn.manifest": make_manifest().to_json(), "edgecnn.evidence": json.dumps(tree)}
    with pytest.raises(ManifestError, match=r"expected schema_version 5, received 3\. Export the model again"):
        read_evidence(parse_model_file(append_metadata(make_graph(), entries), "m"))


def test_metadata_sha256_depends_on_every_key_and_value_but_not_on_order():
    digest = metadata_sha256({"a": "1", "b": "2"})
    assert (
        digest
        == metadata_sha256({"b": "2", "a": "1"})
        == metadata_sha256({"a": "1", "b": "2", METADATA_SHA256_KEY: "x"})
    )
    others = [{"a": "1"}, {"a": "2", "b": "1"}, {"a": "12", "b": ""}, {"a1": "", "b": "2"}, {"a": "1", "c": "2"}]
    assert len({digest, *map(metadata_sha256, others)}) == 6
