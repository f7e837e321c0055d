import shutil

import numpy as np
import pytest

from edgecnn.data.folders import read_folders
from edgecnn.data.npz import read_npz
from edgecnn.errors import DatasetError


def test_fingerprint_is_the_same_for_a_copy_elsewhere(npz, tmp_path):
    copy = shutil.copy(npz, tmp_path / "other.npz")
    assert read_npz(npz).fingerprint == read_npz(tmp_path / copy).fingerprint


def test_fingerprint_is_the_same_for_a_folder_elsewhere(tmp_path, write_classes):
    write_classes(tmp_path / "a", cat=5, dog=5)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert read_folders(tmp_path / "a").fingerprint == read_folders(tmp_path / "b").fingerprint


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_fingerprint_changes_with_one_value(write_npz, arrays, key):
    before = read_npz(write_npz(**arrays)).fingerprint
    changed = arrays[key].copy()
    changed[0] = (changed[0] + 1) % 3
    assert read_npz(write_npz(**{**arrays, key: changed})).fingerprint != before


def test_fingerprint_changes_with_a_label(write_npz, arrays, npz):
    renamed = write_npz("renamed.npz", **arrays, labels=np.array(["cat", "dog", "emu"]))
    assert read_npz(renamed).fingerprint != read_npz(npz).fingerprint


def test_fingerprint_does_not_change_with_the_dtype_of_class_ids(write_npz, arrays):
    small = {**arrays, "y_train": arrays["y_train"].astype(np.uint8)}
    assert read_npz(write_npz(**arrays)).fingerprint == read_npz(write_npz(**small)).fingerprint


def test_fingerprint_changes_with_one_byte_of_a_file(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    before = read_folders(tmp_path).fingerprint
    path = tmp_path / "cat" / "0.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert read_folders(tmp_path).fingerprint != before


def test_fingerprint_names_a_file_that_cannot_be_read(tmp_path, write_classes, monkeypatch):
    write_classes(tmp_path, cat=5, dog=5)

    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edgecnn.data.fingerprint.hashlib.file_digest", refuse)
    with pytest.raises(DatasetError, match=r"cat/\d\.png: cannot be read: Permission denied"):
        read_folders(tmp_path)
