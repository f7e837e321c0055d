"""CSV as RFC 4180 has it: what was written comes back equal through Python's reader and through a strict one."""

import csv
import io
import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.cli.answers import answer_writer
from edgecnn.cli.streams import Results
from edgecnn.csv_text import from_csv, to_csv
from edgecnn.data.bad_pictures import BadPicture, bad_pictures_csv, bad_pictures_from_csv
from edgecnn_runtime import Classification, Failure
from edgecnn_runtime.tasks.classification import CLASSIFICATION

NAMES = {
    "comma": "a,b",
    "quote": 'a "b"',
    "quotes alone": '""',
    "newline": "a\nb",
    "cr": "a\rb",
    "cr alone": "\r",
    "crlf": "a\r\nb",
    "newline at the end": "a\n",
    "tab": "a\tb",
    "spaces": "  a ",
    "formula": "=cmd|' /C calc'!A0",
    "escape": "\x1b[31m",
    "other line ends": "a\u2028b\x85c\x0bd",
    "letters": "ひまわり é 🌻",
    "empty": "",
}


def strict_rows(text):
    """RFC 4180 and nothing more: rows end in CRLF, and whatever is special stands in quotes."""
    rows, row, place = [], [], 0
    cell = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)')
    while place < len(text):
        found = cell.match(text, place)
        assert found, f"no cell at {text[place : place + 20]!r}"
        row.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        place = found.end()
        if found[3] == "\r\n":
            rows, row = [*rows, row], []
    assert row == []
    return rows


def python_rows(text):
    return list(csv.reader(io.StringIO(text, newline="")))


READERS = [strict_rows, python_rows, from_csv]


@pytest.mark.parametrize("read", READERS)
@given(rows=st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_rows_come_back_equal(read, rows):
    assert read(to_csv(rows)) == [list(row) for row in rows]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_run_writes_names_and_labels_that_come_back_equal(read, name):
    good = Classification(
        np.array([0.25, 0.75], np.float32),
        labels=("b", name),
        shape=(4, 6),
        source=name,
        provider="CPUExecutionProvider",
    )
    stream = io.StringIO(newline="")
    with answer_writer("csv", Results(stream), 1, CLASSIFICATION.columns) as writer:
        writer.write(good)
        writer.write(Failure(name, "image", f"{name}: no image"))
    assert read(stream.getvalue())[1:] == [
        [name, "1", name, "1", "0.75", "CPUExecutionProvider", "", ""],
        [name, "", "", "", "", "", "image", f"{name}: no image"],
    ]


@pytest.mark.parametrize("read", READERS)
def test_run_writes_names_that_are_not_utf8_as_the_text_of_their_bytes(read):
    raw = b"caf\xe9\r,\xff.png"
    stream = io.StringIO(newline="")
    with answer_writer("csv", Results(stream), 1, CLASSIFICATION.columns) as writer:
        writer.write(Failure(os.fsdecode(raw), "image", "no image"))
    assert read(stream.getvalue().encode().decode())[1][0] == raw.decode("utf-8", "backslashreplace")


def test_run_on_a_terminal_shows_escapes_instead_of_obeying_them():
    stream = io.StringIO(newline="")
    with answer_writer("csv", Results(stream), 1, CLASSIFICATION.columns, on_terminal=True) as writer:
        writer.write(Failure("\x1b[2J\r\u202ea,b", "image", "no image"))
    assert python_rows(stream.getvalue())[1][0] == r"\x1b[2J\r\u202ea,b"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_lists_of_bad_pictures_are_read_as_they_were_written(name, tmp_path):
    bad = (BadPicture("train", 3, name, name, f"{name}: why"), BadPicture("val", 4, "b", "c", "d"))
    path = tmp_path / "skipped.csv"
    path.write_bytes(bad_pictures_csv(bad).encode())
    assert bad_pictures_from_csv(path) == bad
    assert strict_rows(path.read_bytes().decode())[1:] == [
        ["train", "3", name, name, f"{name}: why"],
        ["val", "4", "b", "c", "d"],
    ]


def test_lists_of_bad_pictures_tell_bytes_that_are_not_utf8():
    written = bad_pictures_csv([BadPicture("train", 0, "a", os.fsdecode(b"\xff.png"), "why")])
    assert strict_rows(written)[1] == ["train", "0", "a", r"\xff.png", "why"]
    assert to_csv([["\ud800"]]).encode() == b"\\ud800\r\n"  # half a pair, which no file can hold


@pytest.mark.parametrize("text", ['a"b\r\n"', '"a', f"{'x' * 200_000}\r\n"], ids=["quote", "open", "long"])
def test_what_is_no_csv_is_refused(text):
    with pytest.raises(ValueError, match="no CSV: "):
        from_csv(text)
