import io
import logging
import re
import sys

import pytest

from edgecnn.cli.streams import LogLines, Results
from edgecnn.cli.tables import Table

HOSTILE, SHOWN = "\x1b[31m\r\n\u202e\x9b", r"\x1b[31m\r\n\u202e\x9b"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_report_escapes_lines_and_every_cell(stream, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    written = stream()
    Results(written).report([f"line {HOSTILE}", "", Table([f"head {HOSTILE}"], [[f"cell {HOSTILE}"]])])
    text = re.sub(r"\x1b\[[01]m", "", written.getvalue())  # how rich writes a heading
    assert text.replace("\n", "").replace("\u2500", "").isprintable()
    assert [text.count(f"{word} {SHOWN}") for word in ("line", "head", "cell")] == [1, 1, 1]


def test_log_lines_are_single_and_prefixed():
    record = logging.LogRecord("a", logging.INFO, "a.py", 1, "left out %s", (HOSTILE,), None)
    assert LogLines().format(record) == f"edgecnn: left out {SHOWN}"


def test_log_lines_keep_the_lines_of_a_traceback():
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        record = logging.LogRecord("a", logging.ERROR, "a.py", 1, "failed", (), sys.exc_info())
    lines = LogLines().format(record).split("\n")
    assert lines[0] == "edgecnn: failed"
    assert lines[-1] == "RuntimeError: a bug"
