import json

import pytest

from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.report_file import hash_file, is_report_of, read_report, report_path


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"a model")
    return path


def write(model, **changed):
    tree = {"file": model.name, "file_sha256": hash_file(model), "passed": True, "parity": {}, "evidence": {}}
    report_path(model).write_text(json.dumps({**tree, **changed}))


def test_hash_file_is_the_sha256_of_all_its_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_read_report_gives_the_report_of_the_file(model):
    write(model)
    assert read_report(model)["passed"] is True


def test_read_report_refuses_the_report_of_another_content(model):
    write(model)
    model.write_bytes(b"b model")
    with pytest.raises(EdgeCNNError, match=r"m\.report\.json: expected the report of the m\.onnx that stands there"):
        read_report(model)


@pytest.mark.parametrize("changed", [{"file_sha256": None}, {"file": "n.onnx"}], ids=str)
def test_read_report_refuses_a_report_that_names_another_file_or_none(model, changed):
    write(model, **changed)
    with pytest.raises(EdgeCNNError, match="expected the report of"):
        read_report(model)


def test_read_report_refuses_the_report_of_a_file_that_is_gone(model):
    write(model)
    model.unlink()
    with pytest.raises(EdgeCNNError, match="Export again"):
        read_report(model)


def test_read_report_gives_the_report_of_an_export_that_made_no_file(model):
    write(model, passed=False, file_sha256=None)
    assert read_report(model)["passed"] is False


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"null"], ids=["", "list", "half", *"xyz"]
)
def test_is_report_of_takes_nothing_else_for_one(model, content):
    report_path(model).write_bytes(content)
    assert not is_report_of(report_path(model), model.name)


def test_is_report_of_takes_no_folder_for_one(model):
    report_path(model).mkdir()
    assert not is_report_of(report_path(model), model.name)
