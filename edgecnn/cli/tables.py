"""Plain tables for the text format."""

from collections.abc import Sequence


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligns columns: the first to the left, numbers to the right, two spaces between.

    >>> print(format_table(["name", "ms"], [["a.onnx", "1.5"], ["b.onnx", "12.25"]]))
    name       ms
    a.onnx    1.5
    b.onnx  12.25
    """
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    right = [bool(rows) and all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join(_format_line(line, widths, right) for line in lines)


def format_bytes(size_bytes: float) -> str:
    """Returns a size in the unit that reads best.

    >>> format_bytes(932), format_bytes(381_528), format_bytes(4 * 10**9)
    ('932 B', '381.5 kB', '4.0 GB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def _format_line(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = [
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(line, widths, right, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _is_number(cell: str) -> bool:
    first = cell.split(" ", maxsplit=1)[0].replace(",", "")
    return first in ("", "-") or first.removeprefix("-").replace(".", "", 1).isdigit()
