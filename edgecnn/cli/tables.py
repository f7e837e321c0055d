"""Tables of the text format: rich's where a person reads at a terminal, plain ones of 80 columns elsewhere."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

WIDTH = 80  # columns of a plain table
_GAP = 2  # spaces between two columns


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; columns of numbers stand to the right.

    Attributes:
        header: one text a column.
        rows: as many cells each.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def plain(self) -> str:
        """Returns lines of at most 80 columns, for files, pipes and logs.

        Cells too long for that go on in the next line, broken at spaces alone, so that a name or a path stays whole;
        where the words are too long even then, nothing is broken.

        >>> print(Table(["name", "ms"], [["a.onnx", "1.5"], ["b.onnx", "12.25"]]).plain())
        name       ms
        a.onnx    1.5
        b.onnx  12.25
        """
        lines, right = [self.header, *self.rows], self._right()
        widths = _narrowed([[line[column] for line in lines] for column in range(len(self.header))])
        return "\n".join(text for line in lines for text in _wrapped(line, widths, right))

    def rich(self, stream: TextIO, width: int) -> str:
        """Returns the table as a terminal of that width shows it; colours as rich finds them to be wanted there.

        Args:
            stream: the terminal; nothing is written to it.
            width: of the terminal, in columns.
        """
        from rich import box  # takes longer to import than a plain table takes to print
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for title, right in zip(self.header, self._right(), strict=True):
            table.add_column(Text(title), justify="right" if right else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        console = Console(file=stream, width=width, highlight=False)
        with console.capture() as capture:
            console.print(table)
        return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))

    def _right(self) -> list[bool]:
        """Says of each column whether it holds numbers."""
        rows = self.rows
        return [bool(rows) and all(_is_number(row[column]) for row in rows) for column in range(len(self.header))]


def format_bytes(size_bytes: float) -> str:
    """Returns a size in the unit that reads best.

    >>> format_bytes(932), format_bytes(381_528), format_bytes(4 * 10**9)
    ('932 B', '381.5 kB', '4.0 GB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def _narrowed(columns: Sequence[Sequence[str]]) -> list[int]:
    """Returns widths that fit, the widest column narrowed first, none below what cannot be broken; else the cells'."""
    widths = [max(map(len, cells)) for cells in columns]
    least = [max((len(part) for cell in cells for part in _lines(cell, 1)), default=0) for cells in columns]
    room = WIDTH - _GAP * (len(columns) - 1)
    if sum(least) > room:
        return widths
    while sum(widths) > room:
        wide = [column for column, width in enumerate(widths) if width > least[column]]
        widths[max(wide, key=lambda column: widths[column])] -= 1
    return widths


def _lines(cell: str, width: int) -> list[str]:
    """Returns the lines that a cell takes, broken at spaces and, but in paths, behind hyphens between letters.

    >>> _lines("Squeeze-and-Excitation", 1), _lines("runs/of-today", 1)
    (['Squeeze-', 'and-', 'Excitation'], ['runs/of-today'])
    """
    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens="/" not in cell)


def _wrapped(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """Returns the lines that one row takes."""
    cells = [[cell] if len(cell) <= width else _lines(cell, width) for cell, width in zip(line, widths, strict=True)]
    count = max(map(len, cells), default=0)
    return [_format_line([cell[i] if i < len(cell) else "" for cell in cells], widths, right) for i in range(count)]


def _format_line(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = [
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(line, widths, right, strict=True)
    ]
    return (" " * _GAP).join(cells).rstrip()


def _is_number(cell: str) -> bool:
    first = cell.split(" ", maxsplit=1)[0].replace(",", "")
    return first in ("", "-") or first.removeprefix("-").replace(".", "", 1).isdigit()
