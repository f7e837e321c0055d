import os
import pty
import re
import subprocess
import sys
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.cli.tables import WIDTH, Table

WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30)
CELLS = st.lists(WORDS, max_size=12).map(" ".join)
CODES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def shown():
    """Runs edgecnn on a terminal so many columns wide and returns its lines, codes and all."""

    def run(*arguments, columns, **environment):
        ours, theirs = pty.openpty()
        variables = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), **environment}
        command = [sys.executable, "-m", "edgecnn", *arguments]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how a terminal of Linux ends
                break
            if not piece:
                break
            pieces.append(piece)
        os.close(ours)
        assert process.wait() == 0
        return b"".join(pieces).decode().replace("\r\n", "\n").splitlines()

    return run


def cells_of(lines, starts):
    """The words of each column, whatever line they stand in."""
    ends = [*starts[1:], None]
    return [
        " ".join(" ".join(line[start:end] for line in lines).split()) for start, end in zip(starts, ends, strict=True)
    ]


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4))
def test_plain_tables_fit_80_columns_and_lose_no_word(rows):
    header = ("first", "second", "third")
    text = Table(header, rows).plain()
    longest = [max(len(word) for row in (header, *rows) for word in row[column].split() or [""]) for column in range(3)]
    assert sum(longest) + 4 > WIDTH or max(map(len, text.splitlines())) <= WIDTH
    shown = sorted(text.split())
    assert shown == sorted(" ".join([*header, *(cell for row in rows for cell in row)]).split())


def test_plain_tables_keep_a_cell_in_its_column():
    rows = [["a", "some words " * 6, "other words " * 6], ["b", "x", "y"]]
    lines = Table(["n", "left", "right"], rows).plain().splitlines()
    starts = [lines[0].index(title) for title in ("n", "left", "right")]
    last = next(index for index, line in enumerate(lines) if line.startswith("b"))
    assert cells_of(lines[1:last], starts) == [" ".join(cell.split()) for cell in rows[0]]
    assert cells_of(lines[last:], starts) == rows[1]
    assert len(lines) > 3


def test_plain_tables_break_nothing_where_a_path_is_too_long():
    path = "/a/folder/" + "x" * 90 + "/file.onnx"
    lines = Table(["what is measured", path], [["inference p50", "1.5"]]).plain().splitlines()
    assert lines == [f"what is measured  {path}", f"inference p50     {' ' * (len(path) - 3)}1.5"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_gets_a_table_of_its_own_width(shown, columns):
    lines = [CODES.sub("", line) for line in shown("models", columns=columns)]
    assert max(map(len, lines)) <= columns
    assert any(set(line) == {"\u2500"} for line in lines)  # the rule below the header
    assert any(line.startswith("resnet50") for line in lines)


def test_a_terminal_without_colours_gets_none(shown):
    assert not any("\x1b[3" in line or "\x1b[9" in line for line in shown("models", columns=80, NO_COLOR="1"))


def test_labels_are_no_markup(capsys):
    table = Table(["name"], [["[red]a[/red]"]])
    assert "[red]a[/red]" in table.rich(sys.stdout, 80)
    assert capsys.readouterr().out == ""


def test_both_kinds_hold_the_same_words():
    table = Table(["name", "what"], [["one", "some words"], ["two", "2"]])
    rich = [line for line in table.rich(sys.stdout, 80).splitlines() if "\u2500" not in line]
    for ours, theirs in zip_longest(table.plain().splitlines(), rich):
        assert CODES.sub("", theirs).split() == ours.split()
