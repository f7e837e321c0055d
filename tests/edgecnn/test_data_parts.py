import hashlib
import logging

import numpy as np
import pytest

from edgecnn.data.folders import read_folders
from edgecnn.data.load import load_dataset
from edgecnn.data.npz import read_npz
from edgecnn.data.parts import announce, count_learned
from edgecnn.errors import DatasetError, UnknownDatasetError, UsageError


@pytest.fixture
def flat(tmp_path, write_classes):
    """A folder of classes without parts: eleven pictures."""
    return read_folders(write_classes(tmp_path / "flat", cat=6, dog=5))


def names_of(samples):
    return sorted(path.parent.name + path.name for path in samples.sources)


def test_select_takes_all_of_a_folder_without_parts(flat, tmp_path):
    everything = flat.select(None)
    assert everything.part == "all"
    assert names_of(everything) == sorted(path.parent.name + path.name for path in tmp_path.rglob("*.png"))
    for source, class_id in everything:
        assert source.parent.name == everything.labels[class_id]


def test_select_takes_the_seeded_parts_by_name(flat):
    train, test = flat.select("train"), flat.select("test")
    assert (len(train), len(test)) == (9, 2)
    assert not set(names_of(train)) & set(names_of(test))


@pytest.mark.parametrize(
    ("parts", "taken"), [(("train", "val", "test"), "test"), (("train", "val"), "val"), (("train",), "all")], ids=str
)
def test_select_takes_what_training_does_not_see(tmp_path, write_classes, parts, taken):
    for count, part in enumerate(parts, start=2):
        write_classes(tmp_path / part, cat=count, dog=count)
    assert read_folders(tmp_path).select(None).part == taken


def test_select_says_which_parts_there_are(flat):
    with pytest.raises(UsageError, match=r"--split val: expected train or test or all, what flat has, received val"):
        flat.select("val")


def test_select_all_joins_arrays(write_npz, arrays):
    dataset = read_npz(write_npz(**arrays, x_val=arrays["x_test"] // 2, y_val=arrays["y_test"]))
    everything = dataset.select("all")
    assert (everything.sources[24:33] == arrays["x_test"] // 2).all()
    assert (everything.targets.ids == np.concatenate([arrays[key] for key in ("y_train", "y_test", "y_test")])).all()


def test_one_picture_a_class_can_be_scored_and_not_learned(tmp_path, write_classes):
    dataset = read_folders(write_classes(tmp_path, cat=1, dog=1))
    assert len(dataset.select(None)) == 2
    with pytest.raises(DatasetError, match=r"expected a train part: class 'cat': expected at least 2 images"):
        _ = dataset.train


def test_test_is_the_val_part_where_there_is_no_test(tmp_path, write_classes):
    for part in ("train", "val"):
        write_classes(tmp_path / part, cat=2, dog=2)
    assert read_folders(tmp_path).test.part == "val"


def test_a_test_part_alone_cannot_be_learned(tmp_path, write_classes):
    write_classes(tmp_path / "test", cat=2, dog=2)
    with pytest.raises(DatasetError, match="expected a train part: received test alone"):
        _ = read_folders(tmp_path).train


def test_fingerprint_of_train_and_test_is_what_it_was_before_there_was_val(npz, arrays):
    digest = hashlib.sha256()
    for part in ("train", "test"):
        digest.update(f'[["cat", "dog", "owl"], [{len(arrays["x_" + part])}, 8, 8]]'.encode())
        digest.update(arrays[f"y_{part}"].astype("<i8").tobytes() + arrays[f"x_{part}"].tobytes())
    assert read_npz(npz).fingerprint == digest.hexdigest()
    digits = "61d7ed0c33ad0f6adf22d0add9f88980f46bf8518eeb125eb93992ec15392179"  # by the version before
    assert load_dataset("digits").fingerprint == digits


@pytest.mark.parametrize(("split", "learned"), [(None, 9), ("all", 9), ("train", 9), ("test", 0)])
def test_count_learned_counts_the_train_part_of_the_same_data(flat, split, learned):
    assert count_learned(flat, flat.select(split), flat.fingerprint) == learned
    assert count_learned(flat, flat.select(split), "0" * 64) == count_learned(flat, flat.select(split), None) == 0


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (None, "scoring all of flat: 11 images"),
        ("test", "scoring the test part, a fifth of each class by seed, of flat: 2 images"),
    ],
)
def test_announce_says_which_part_and_where_it_is_from(flat, caplog, split, said):
    with caplog.at_level(logging.INFO, "edgecnn.data.parts"):
        announce("scoring", flat, flat.select(split))
    assert caplog.messages[-1] == said


@pytest.mark.parametrize("inside", ["flowers", "a/flowers"])
@pytest.mark.parametrize("parts", [True, False])
def test_load_dataset_names_the_folder_that_would_do(tmp_path, write_classes, inside, parts):
    write_classes(tmp_path / "archive" / inside / ("train" if parts else ""), cat=5, dog=5)
    with pytest.raises(UnknownDatasetError, match=rf"received folders that hold such folders\. Give \S*/{inside}, or"):
        load_dataset(str(tmp_path / "archive"))
