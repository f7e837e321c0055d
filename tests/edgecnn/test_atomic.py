import pytest

from edgecnn.atomic import make_folder, replacing, write_text
from edgecnn.errors import WriteError


def interrupted_write(path):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_write_text_replaces_the_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_text(path, "né")
    assert path.read_bytes() == "né".encode()


def test_replacing_keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_replacing_names_the_file_when_the_disk_is_full(tmp_path, disk_with_room_for):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with disk_with_room_for(4096), pytest.raises(WriteError, match=r"cannot write .*a\.txt: File too large"):
        write_text(path, "x" * 5000)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_replacing_refuses_a_path_that_is_a_folder(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(WriteError, match=r"a\.txt: Is a directory"):
        write_text(tmp_path / "a.txt", "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_replacing_refuses_a_folder_that_is_missing(tmp_path):
    with pytest.raises(WriteError, match="No such file"):
        write_text(tmp_path / "missing" / "a.txt", "x")


def test_make_folder_refuses_a_path_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="Not a directory"):
        make_folder(tmp_path / "file" / "folder")
