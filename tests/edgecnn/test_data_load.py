import os
from pathlib import Path

import numpy as np
import pytest

from edgecnn.data import load_dataset
from edgecnn.errors import DatasetError, UnknownDatasetError


def test_load_dataset_scales_digits_to_bytes():
    pixels = load_dataset("digits").train.sources
    assert (pixels.dtype, pixels.shape[1:], pixels.min(), pixels.max()) == (np.uint8, (8, 8), 0, 255)
    assert set(np.unique(pixels)) == {round(level * 255 / 16) for level in range(17)}


def test_load_dataset_splits_digits_alike_each_time():
    first, second = load_dataset("digits"), load_dataset("digits")
    assert first.fingerprint == second.fingerprint
    assert np.bincount(first.test.targets.ids).min() >= 34


def test_load_dataset_recognises_an_npz(npz):
    assert load_dataset(str(npz)).labels == ("cat", "dog", "owl")


def test_load_dataset_recognises_an_npz_of_another_name(npz):
    assert load_dataset(str(npz.rename(npz.with_name("set")))).labels == ("cat", "dog", "owl")


def test_load_dataset_recognises_a_folder_a_class(tmp_path, write_classes):
    assert load_dataset(str(write_classes(tmp_path, cat=5, dog=5))).labels == ("cat", "dog")


def test_load_dataset_recognises_train_and_test(tmp_path, write_classes):
    for part in ("train", "test"):
        write_classes(tmp_path / part, cat=2, dog=2)
    assert len(load_dataset(str(tmp_path)).test) == 4


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_load_dataset_forces_a_kind(kind, tmp_path):
    (tmp_path / "x").mkdir()
    expected = "expected an .npz file, received a folder" if kind == "npz" else "expected at least 2 folders"
    with pytest.raises(DatasetError, match=expected):
        load_dataset(f"{kind}:{tmp_path / 'x'}")


def test_load_dataset_gives_a_location_that_reads_it_again(npz, monkeypatch):
    monkeypatch.chdir(npz.parent)
    dataset = load_dataset(npz.name)
    monkeypatch.chdir("/")
    assert load_dataset(dataset.location).fingerprint == dataset.fingerprint


def test_load_dataset_lists_what_it_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        UnknownDatasetError,
        match=r"Looked for: questions\.json .*; an \.npz file .*; a folder a class; train/, val/ and test/",
    ):
        load_dataset(str(tmp_path))


def test_load_dataset_lists_what_it_looked_for_when_the_file_is_another(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UnknownDatasetError, match=r"notes\.txt: holds no data that is known.*npz:"):
        load_dataset(str(tmp_path / "notes.txt"))


@pytest.mark.parametrize("name", ["minst", "Digits", "x" * 5000, "a\0b", "", "npz:"])
def test_load_dataset_refuses_an_unknown_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownDatasetError):
        load_dataset(name)


def test_load_dataset_names_the_near_one():
    with pytest.raises(UnknownDatasetError, match="Did you mean mnist"):
        load_dataset("mnit")


def test_load_dataset_does_not_block_on_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UnknownDatasetError, match=r"pipe\.npz: holds no data"):
        load_dataset(str(tmp_path / "pipe.npz"))


def test_load_dataset_reads_a_path_called_like_a_data_set(tmp_path, write_classes, monkeypatch):
    write_classes(tmp_path / "digits", cat=5, dog=5)
    monkeypatch.chdir(tmp_path)
    assert load_dataset(str(Path("digits").absolute())).labels == ("cat", "dog")
    assert load_dataset("./digits").labels == ("cat", "dog")


@pytest.mark.parametrize("forced", ["", "npz:", "folder:"])
def test_load_dataset_refuses_a_name_that_is_too_long(tmp_path, forced):
    with pytest.raises(DatasetError, match=r"File name too long|expected an \.npz|expected a folder") as caught:
        load_dataset(f"{forced}{tmp_path / ('x' * 300)}")
    assert "\n" not in str(caught.value)
