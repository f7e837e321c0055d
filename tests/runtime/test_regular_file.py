import os

import pytest

from edgecnn_runtime.regular_file import open_regular_file, reason


def test_open_regular_file_reads_a_file_through_a_link(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with open_regular_file(tmp_path / "link") as stream:
        assert stream.read() == b"content"


def test_open_regular_file_refuses_a_fifo_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        open_regular_file(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("path", "message"),
    [("missing", "No such file"), (".", "is a directory"), ("/dev/zero", "not a regular file"), ("a\0b", "null byte")],
)
def test_open_regular_file_says_why_a_path_cannot_be_read(tmp_path, path, message):
    with pytest.raises(OSError, match=message):
        open_regular_file(os.path.join(tmp_path, path))  # noqa: PTH118  (a NUL is no Path)


def test_open_regular_file_closes_what_it_refuses(tmp_path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        with pytest.raises(IsADirectoryError):
            open_regular_file(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_reason_names_no_path():
    assert reason(FileNotFoundError(2, "No such file or directory", "/secret")) == "No such file or directory"
