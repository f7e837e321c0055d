import pytest

import edgecnn.benchmarking.child
from edgecnn.benchmarking.child import FOUND, run_child, temporary_folder
from edgecnn.errors import MeasurementError


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Writes a script beside which `run_child` looks for it."""
    monkeypatch.setattr(edgecnn.benchmarking.child, "__file__", str(tmp_path / "child.py"))

    def write(code):
        (tmp_path / "script.py").write_text(code)
        return "script.py"

    return write


def test_run_child_reads_what_was_found_among_noise(script):
    code = f"import sys; print('noise'); print('{FOUND}' + sys.argv[1] + sys.stdin.read()); print('more noise')"
    assert run_child(script(code), '{"a": ', what="x", stdin=b"1}").found == {"a": 1}


def test_run_child_knows_when_the_process_was_started(script):
    code = f"import time; print('{FOUND}' + str(time.perf_counter()))"
    child = run_child(script(code), what="x")
    assert child.started < child.found


def test_run_child_keeps_its_folder_out_of_the_modules(script, tmp_path):
    (tmp_path / "json.py").write_text("raise ImportError")
    assert run_child(script(f"import json; print('{FOUND}1')"), what="x").found == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('no such thing')", "exit code 1: ValueError: no such thing"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("pass", "exit code 0: it said nothing"),
    ],
)
def test_run_child_says_how_a_process_failed(script, code, message):
    with pytest.raises(MeasurementError, match=f"m.onnx: the measured process .*{message}"):
        run_child(script(code), what="m.onnx")


def test_run_child_says_so_where_no_process_can_be_started(script, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(MeasurementError, match="cannot start a process"):
        run_child(script(""), what="x")


def test_temporary_folder_is_gone_afterwards():
    with temporary_folder() as folder:
        (folder / "file").write_bytes(b"1")
    assert not folder.exists()


def test_temporary_folder_names_the_cure_where_there_is_no_room(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nothing"))
    with pytest.raises(MeasurementError, match="TMPDIR"), temporary_folder():
        pass
