import errno
import os

import pytest

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.files import check_replaceable, working_folder, writing


def test_working_folder_vanishes_with_what_is_in_it(tmp_path):
    with working_folder(tmp_path / "model.onnx") as folder:
        (folder / "candidate").write_bytes(b"1")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ExportError, KeyboardInterrupt, SystemExit, MemoryError])
def test_working_folder_vanishes_whatever_happens(tmp_path, error):
    def work():
        with working_folder(tmp_path / "model.onnx") as folder:
            (folder / "candidate").write_bytes(b"1")
            raise error

    with pytest.raises(error):
        work()
    assert list(tmp_path.iterdir()) == []


def test_working_folder_refuses_a_missing_folder(tmp_path):
    with pytest.raises(ExportError, match="expected an existing folder"), working_folder(tmp_path / "no" / "m.onnx"):
        pass


def test_working_folder_leaves_errors_of_the_work_alone(tmp_path):
    with pytest.raises(FileNotFoundError), working_folder(tmp_path / "model.onnx"):
        raise FileNotFoundError(errno.ENOENT, "an image")


def test_writing_names_the_file_and_the_reason(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    message = r"model\.onnx: cannot be written: No space left on device"
    with pytest.raises(ExportError, match=message), writing(tmp_path / "model.onnx"):
        raise full


def test_check_replaceable_lets_a_file_and_nothing_through(tmp_path):
    check_replaceable(tmp_path / "new.onnx")
    (tmp_path / "old.onnx").write_bytes(b"1")
    check_replaceable(tmp_path / "old.onnx")


def test_check_replaceable_refuses_a_directory(tmp_path):
    with pytest.raises(ExportError, match="expected the name of a file, received a directory"):
        check_replaceable(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_check_replaceable_refuses_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ExportError, match="a device or pipe"):
        check_replaceable(tmp_path / "pipe")


def test_check_replaceable_refuses_a_name_that_is_too_long(tmp_path):
    with pytest.raises(ExportError, match="cannot be written: File name too long"):
        check_replaceable(tmp_path / ("n" * 300))
