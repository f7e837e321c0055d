"""CSV as RFC 4180 has it, so that a name comes back whole whatever it holds: what every table of ours is written with.

Rows end in CRLF, and a cell with a comma, a quote, CR or LF stands in quotes, on every version of Python: `csv.writer`
quotes a CR or LF that its own line end lacks from Python 3.13 on only. Nothing is changed for a spreadsheet's sake: a
name that begins with `=` stays that name.
"""

import csv
import io
import re
from collections.abc import Iterable

NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how Python holds the bytes of a file name that are not UTF-8


def to_csv(rows: Iterable[Iterable[object]]) -> str:
    r"""Returns the rows as text; None is an empty cell, and bytes of a name that are not UTF-8 stand as the text \xHH.

    Example:
        >>> to_csv([("name", "score"), ("cat, a", 0.5), ("two\rlines", None)])
        'name,score\r\n"cat, a",0.5\r\n"two\rlines",\r\n'
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    escaped = escape_bytes(text.getvalue())
    return escaped.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair, which no file can hold


def from_csv(text: str) -> list[list[str]]:
    r"""Returns the rows of what `to_csv` wrote, or of any other CSV.

    Args:
        text: read with `newline=""`, so that the CR of a name is still in it.

    Raises:
        ValueError: no CSV, or a cell that is too long for one.

    Example:
        >>> from_csv('name,score\r\n"two\rlines",0.5\r\n')
        [['name', 'score'], ['two\rlines', '0.5']]
    """
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(f"no CSV: {error}") from error


def escape_bytes(text: str) -> str:
    r"""Returns the text with the bytes of a name that are not UTF-8 as \xHH, as every output of ours shows them."""
    return NOT_UTF8.sub(lambda found: rf"\x{ord(found[0]) - 0xDC00:02x}", text)
