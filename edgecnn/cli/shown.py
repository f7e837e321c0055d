"""What people read, as it goes to a terminal, a log or a pipe: no name can move a cursor, colour a line or break it."""

import logging
from collections.abc import Iterable
from dataclasses import replace

from edgecnn.cli.streams import Results, printable
from edgecnn.cli.tables import Table


def show(results: Results, blocks: Iterable[str | Table]) -> None:
    """Writes lines and tables: the one way of every command's text to stdout.

    What `printable` escapes in a label, a name or a path stands as its escape: controls, line ends, turned directions.

    Args:
        results: where they go.
        blocks: a text is one line.
    """
    results.report(_printable_table(block) if isinstance(block, Table) else printable(block) for block in blocks)


class LogLines(logging.Formatter):
    """Log messages as the lines of errors are: prefixed, and each on one line."""

    def __init__(self) -> None:
        super().__init__("edgecnn: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """Returns the line without a traceback, which keeps its lines."""
        return printable(super().formatMessage(record))


def _printable_table(table: Table) -> Table:
    header, *rows = ([printable(cell) for cell in line] for line in (table.header, *table.rows))
    return replace(table, header=header, rows=rows)
