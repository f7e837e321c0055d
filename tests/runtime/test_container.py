import os

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.container import METADATA_SHA256_KEY, append_metadata, parse_model_file, read_model_file
from edgecnn_runtime.errors import ManifestError, ModelFileError
from edgecnn_runtime.integrity import read_evidence, read_manifest
from edgecnn_runtime.predictor import Predictor

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def load_refused(data: bytes) -> bool:
    """Whether the checks that stand before ONNX Runtime refuse the bytes, with one of our errors."""
    try:
        file = parse_model_file(data, "model.onnx")
        read_evidence(file)
        read_manifest(file)
    except (ModelFileError, ManifestError) as error:
        return error.exit_code == 6
    return False


def test_parse_model_file_takes_a_file_apart(make_graph, make_manifest, stamp):
    payload = make_graph(opset=16, ir_version=9)
    file = parse_model_file(stamp(payload, make_manifest(), {"task": "classify"}), "model.onnx")
    assert file.payload.read() == payload
    assert (file.opset, file.ir_version) == (16, 9)
    assert sorted(file.metadata) == ["edgecnn.evidence", "edgecnn.manifest", METADATA_SHA256_KEY, "task"]


def test_parse_model_file_reads_a_plain_onnx_model_without_metadata(make_graph):
    file = parse_model_file(make_graph(), "plain.onnx")
    assert file.payload.read() == make_graph()
    assert dict(file.metadata) == {}


def test_parse_model_file_ignores_opsets_of_other_domains(make_graph):
    model = onnx.load_from_string(make_graph(opset=17))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    assert parse_model_file(model.SerializeToString(), "m").opset == 17


def test_append_metadata_gives_what_onnx_reads_as_one_model(make_graph):
    model = onnx.load_from_string(append_metadata(make_graph(), {"b": "2", "a": "1"}))
    assert [entry.key for entry in model.metadata_props] == ["a", "b", METADATA_SHA256_KEY]
    assert len(model.graph.node) == 5
    del model.metadata_props[:]
    assert model.SerializeToString() == make_graph()


@given(st.dictionaries(TEXTS, TEXTS, max_size=6))
def test_parse_model_file_gives_back_what_append_metadata_wrote(make_graph, metadata):
    payload = make_graph()
    file = parse_model_file(append_metadata(payload, metadata), "m")
    assert file.payload.read() == payload
    assert {key: value for key, value in file.metadata.items() if key != METADATA_SHA256_KEY} == metadata


def test_parse_model_file_reads_metadata_that_onnx_wrote(make_graph):
    model = onnx.load_from_string(make_graph())
    onnx.helper.set_model_props(model, {"key": "value"})
    assert dict(parse_model_file(model.SerializeToString(), "m").metadata) == {"key": "value"}


def test_parse_model_file_refuses_a_graph_field_after_the_metadata(make_graph):
    with pytest.raises(ModelFileError, match="expected only metadata from byte"):
        parse_model_file(append_metadata(make_graph(), {"a": "1"}) + make_graph(), "m")


def test_parse_model_file_refuses_a_key_that_stands_twice(make_graph):
    data = append_metadata(make_graph(), {"a": "1"})
    with pytest.raises(ModelFileError, match="stands twice"):
        parse_model_file(data + data[len(make_graph()) :], "m")


def test_read_model_file_equals_parse_model_file(model_path):
    file = read_model_file(model_path)
    assert file == parse_model_file(model_path.read_bytes(), str(model_path))


# faults.md, row 1


def test_read_model_file_names_a_missing_path(tmp_path):
    with pytest.raises(ModelFileError, match=r"missing\.onnx.*No such file") as caught:
        read_model_file(tmp_path / "missing.onnx")
    assert caught.value.exit_code == 6


def test_read_model_file_refuses_a_directory(tmp_path):
    with pytest.raises(ModelFileError, match="is a directory"):
        read_model_file(tmp_path)


def test_read_model_file_refuses_a_fifo_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "fifo.onnx")
    with pytest.raises(ModelFileError, match="FIFO"):
        read_model_file(tmp_path / "fifo.onnx")


def test_read_model_file_names_an_unreadable_file(model_path):
    model_path.chmod(0)
    if os.geteuid() == 0:  # root reads everything, so become nobody for a moment
        for parent in (model_path.parent, *model_path.parent.parents):
            if parent.stat().st_uid == 0 and parent.name.startswith(("pytest-", "test_")):
                parent.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(ModelFileError, match="Permission denied"):
            read_model_file(model_path)
    finally:
        os.seteuid(os.getuid())


def test_read_model_file_names_a_loop_of_links(tmp_path):
    (tmp_path / "a.onnx").symlink_to(tmp_path / "a.onnx")
    with pytest.raises(ModelFileError, match="symbolic links"):
        read_model_file(tmp_path / "a.onnx")


# faults.md, row 2


def test_read_model_file_refuses_an_empty_file(tmp_path):
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelFileError, match="received an empty file"):
        read_model_file(tmp_path / "empty.onnx")


def test_parse_model_file_refuses_a_png(photo, encode):
    with pytest.raises(ModelFileError, match="not an ONNX model"):
        parse_model_file(encode(photo()), "picture.onnx")


def test_every_truncation_is_refused_before_onnx_runtime_sees_it(make_graph, make_manifest, stamp):
    data = stamp(make_graph(), make_manifest())
    assert not load_refused(data)
    assert [size for size in range(len(data)) if not load_refused(data[:size])] == []


def test_parse_model_file_names_the_byte_of_a_truncation(make_graph):
    with pytest.raises(ModelFileError, match="truncated at byte 100"):
        parse_model_file(make_graph()[:100], "m")


@given(st.binary(max_size=2000))
def test_parse_model_file_refuses_random_bytes(data):
    with pytest.raises(ModelFileError):
        parse_model_file(data, "random.onnx")


@given(st.binary(max_size=200))
def test_parse_model_file_refuses_random_bytes_after_a_graph(make_graph, make_manifest, stamp, junk):
    data = stamp(make_graph(), make_manifest()) + junk
    assert load_refused(data) == bool(junk)


def test_load_survives_truncated_files_in_a_process_of_its_own(model_path, run_python):
    code = """
        import sys
        from pathlib import Path
        from edgecnn_runtime import EdgeCNNError, Predictor
        data, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[1] + ".cut")
        refused = 0
        for size in range(0, len(data), 7):
            path.write_bytes(data[:size])
            try:
                Predictor.load(path, device="cpu", allow_modified=True)
            except EdgeCNNError as error:
                refused += error.exit_code == 6
        print(refused == len(range(0, len(data), 7)))
    """
    done = run_python(code, str(model_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


# faults.md, row 3


def test_every_flipped_bit_is_refused_before_onnx_runtime_sees_it(make_graph, make_manifest, stamp):
    data = stamp(make_graph(), make_manifest(), {"names": "{0: 'zero'}"})
    accepted = []
    for index in range(len(data)):
        for bit in range(8):
            flipped = data[:index] + bytes([data[index] ^ 1 << bit]) + data[index + 1 :]
            if not load_refused(flipped):
                accepted.append((index, bit))
    assert accepted == []


def test_load_names_the_damage_of_one_flipped_bit_in_the_weights(model_path):
    data = bytearray(model_path.read_bytes())
    data[data.index(b"weights") - 5] ^= 1
    model_path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"the graph was damaged or altered.*--allow-modified"):
        Predictor.load(model_path, device="cpu")


def test_load_names_the_damage_of_one_changed_label(model_path):
    data = model_path.read_bytes()
    model_path.write_bytes(data.replace(b'"two"', b'"owt"'))
    with pytest.raises(ModelFileError, match="the metadata was damaged or altered"):
        Predictor.load(model_path, device="cpu")
