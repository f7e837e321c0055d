import json
import os
import subprocess
import sys

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.cli.streams import Results, printable, stdout_for_results, to_json
from edgecnn_runtime.errors import EdgeCNNError

NOISY = """
import os
from edgecnn.cli.streams import stdout_for_results
with stdout_for_results() as results:
    os.write(1, b"noise from C++\\n")
    print("noise from Python", flush=True)
    results.json({"answer": 7})
    os.write(1, b"more noise\\n")
print("after")
"""


class BrokenStream:
    def __init__(self, error):
        self.error = error

    def write(self, _text):
        raise self.error


def test_stdout_for_results_keeps_what_libraries_print_off_stdout():
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, check=True)
    before, _, after = done.stdout.rpartition("after\n")
    assert json.loads(before) == {"answer": 7}
    assert after == ""
    assert done.stderr.splitlines() == ["noise from C++", "noise from Python", "more noise"]


def test_stdout_for_results_gives_stdout_back_when_the_block_fails(capfd):
    with pytest.raises(ZeroDivisionError), stdout_for_results():
        raise ZeroDivisionError
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"


def test_stdout_for_results_refuses_when_stdout_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(EdgeCNNError, match="it is closed"), stdout_for_results():
        pytest.fail("the block ran")


def test_line_ends_the_command_quietly_when_nobody_reads():
    with pytest.raises(typer.Exit) as raised:
        Results(BrokenStream(BrokenPipeError())).line("text")
    assert raised.value.exit_code == 0


def test_line_names_the_reason_when_the_disk_is_full():
    with pytest.raises(EdgeCNNError, match="No space left"):
        Results(BrokenStream(OSError(28, "No space left on device"))).line("text")


@given(name=st.binary(max_size=20))
def test_to_json_is_utf8_and_parses_for_every_file_name(name):
    text = to_json({"source": name.decode("utf-8", "surrogateescape")})
    source = json.loads(text.encode("utf-8"))["source"]
    assert source == name.decode("utf-8", "backslashreplace")


@given(text=st.text())
def test_printable_is_one_line_of_printable_characters(text):
    assert printable(text).isprintable()
