import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.path_lists import LONGEST_PATH, read_paths

LINES = ["a.png", "ひまわり.png", " d/x y.png", "\U0001f600.png"]


def paths(content):
    return [path for _, path in read_paths(io.BytesIO(content))]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_list_may_be_in_any_encoding_that_it_names(encoding, end):
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    assert paths((mark + end.join(LINES) + end).encode(encoding)) == LINES
    assert paths((mark + end.join(LINES)).encode(encoding)) == LINES


@given(names=st.lists(st.binary(min_size=1).filter(lambda name: not set(name) & set(b"\0\n\r") and name.strip())))
def test_a_list_without_a_mark_may_hold_any_name_of_a_file(names):
    content = b"".join(name + b"\n" for name in names)
    if not content.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        expected = [os.fsdecode(name) for name in names]
        assert paths(content) == [name for name in expected if name.strip()]


def test_lines_are_counted_with_the_blank_ones():
    assert list(read_paths(io.BytesIO(b"\na\r\n\r\n \nb"))) == [(2, "a"), (5, "b")]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff\xfe\0\0"])
def test_a_list_of_nothing_gives_nothing(content):
    assert paths(content) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\n" + "b\n".encode("utf-16-le"), ["line 2", "a NUL", "UTF-16 with its byte order mark"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["line 3", "a NUL", "without the @"]),
        (b"a\n" + b"x" * (LONGEST_PATH + 1) + b"\n", ["line 2", "32,767"]),
        ("\ufeffa\n".encode("utf-16-le") + b"\0\xd8\n\0", ["line 2", "UTF-16-LE"]),
        ("\ufeffa".encode("utf-16-be") + b"b", ["UTF-16-BE", "truncated"]),
    ],
)
def test_what_is_no_list_says_the_line_and_the_cure(content, words):
    with pytest.raises(ValueError, match=r"A list is text") as raised:
        paths(content)
    assert [word for word in words if word not in str(raised.value)] == []


class Endless(io.RawIOBase):
    """Gives the same bytes for ever, and counts them."""

    def __init__(self, content):
        self.content, self.given = content, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        whole = self.content * (len(buffer) // len(self.content))
        buffer[: len(whole)] = whole
        self.given += len(whole)
        return len(whole)


@pytest.mark.parametrize("content", [b"\0", b"x", b"\xff"])
def test_an_endless_line_is_refused_soon(content):
    raw = Endless(content)
    with pytest.raises(ValueError, match="line 1"):
        list(read_paths(io.BufferedReader(raw)))
    assert raw.given < 1_000_000


def test_paths_come_before_the_list_ends():
    found = read_paths(io.BufferedReader(Endless(b"a.png\n")))
    assert [next(found) for _ in range(3)] == [(1, "a.png"), (2, "a.png"), (3, "a.png")]
