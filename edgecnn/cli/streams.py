"""Results on stdout and nothing else there; everything for people on stderr."""

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TextIO

import typer

from edgecnn.cli.interrupts import INTERRUPTS
from edgecnn.cli.tables import WIDTH, Table
from edgecnn.csv_text import NOT_UTF8, escape_bytes

_LONGEST_LINE = 2000  # characters; what a message quotes may be a million


class Results:
    """The real stdout, flushed piece by piece, so that whatever ends the process loses no finished result.

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str) -> None:
        """Writes one line; raises as `write` does."""
        self.write(text + "\n")

    def report(self, blocks: Iterable[str | Table]) -> None:
        """Writes lines and tables, one after the other; a terminal gets rich's tables, of its own width.

        No label, name or path in them can move a cursor, colour a line or break it: what `printable` escapes stands as
        its escape.

        Args:
            blocks: a text is one line.
        """
        terminal = self._stream.isatty()
        width = _terminal_width(self._stream) if terminal else WIDTH
        for block in blocks:
            if isinstance(block, str):
                self.line(printable(block))
                continue
            table = _printable_table(block)
            self.line(table.rich(self._stream, width) if terminal else table.plain())

    def write(self, text: str) -> None:
        """Writes the whole text, whatever signal comes.

        Raises:
            typer.Exit: nobody reads any more (`| head`), which ends the command quietly with code 0.
            EdgeCNNError: the text cannot be written, for example to a full disk.
        """
        try:
            with INTERRUPTS.held_back():
                self._stream.write(escape_bytes(text))
                self._stream.flush()
        except BrokenPipeError:
            raise typer.Exit(0) from None
        except OSError as error:
            raise _no_stdout(error.strerror) from error

    def json(self, value: Any, *, indent: int | None = 2) -> None:
        """Writes one JSON value; what `to_json` says about names holds."""
        self.line(to_json(value, indent=indent))


class LogLines(logging.Formatter):
    """Log messages as the lines of errors are: prefixed, and each on one line."""

    def __init__(self) -> None:
        super().__init__("edgecnn: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """Returns the line without a traceback, which keeps its lines."""
        return printable(super().formatMessage(record))


def fill_standard_descriptors() -> None:
    """Opens the null device where the caller closed standard input, output or error.

    Else the next file that is opened gets that number: a model, or an output, into which libraries would print.
    `sys.stdin` and `sys.stdout` stay None, which says that they were closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, and those below are taken
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  (for as long as the process runs)


@contextmanager
def stdout_for_results() -> Iterator[Results]:
    """Gives the command the real stdout and points descriptor 1 and `sys.stdout` at stderr meanwhile.

    ONNX Runtime and TensorFlow print to stdout, from Python and from C++; enter this before they are imported.

    Raises:
        EdgeCNNError: stdout is closed.
    """
    if sys.stdout is None:
        raise _no_stdout("it is closed")
    sys.stdout.flush()
    real, python_stdout = os.dup(1), sys.stdout
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    stream = os.fdopen(os.dup(real), "w", encoding="utf-8", errors="backslashreplace", newline="\n")
    try:
        yield Results(stream)
    finally:
        with suppress(OSError):  # what could not be written was said when it was written
            stream.close()
        sys.stdout = python_stdout
        os.dup2(real, 1)
        os.close(real)


def to_json(value: Any, *, indent: int | None = None) -> str:
    r"""Returns JSON text that every parser takes: bytes of a name that are not UTF-8 stand as the text \xHH.

    >>> print(to_json({"source": "caf\u00e9 \udcff.png"}))
    {"source": "café \\xff.png"}
    """
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    return NOT_UTF8.sub(lambda found: rf"\\x{ord(found[0]) - 0xDC00:02x}", text)


def say(text: str) -> None:
    """Writes one line for people to stderr, shortened where it is very long; a lost stderr has nobody to tell."""
    line = printable(text)
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE // 2 - 3]} ... {line[2 - _LONGEST_LINE // 2 :]}"
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def printable(text: str) -> str:
    r"""Returns the text on one line, with control characters and bytes that are not UTF-8 as escapes.

    >>> printable("two\nlines \x1b[31m and caf\u00e9")
    'two\\nlines \\x1b[31m and café'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in escape_bytes(text))


def _printable_table(table: Table) -> Table:
    header, *rows = ([printable(cell) for cell in line] for line in (table.header, *table.rows))
    return replace(table, header=header, rows=rows)


def _terminal_width(stream: TextIO) -> int:
    """Returns how many columns a terminal has, as the user says (COLUMNS) or it says itself; else 80."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except OSError:
        return WIDTH


def _no_stdout(reason: str | None) -> Exception:
    from edgecnn_runtime.errors import EdgeCNNError  # loads the runtime, which --help must not

    return EdgeCNNError(f"standard output: cannot write the results: {reason}")
