import os

import pytest
from PIL import Image

from edgecnn.data.folders import read_folders
from edgecnn.errors import DatasetError


def test_read_folders_labels_by_sorted_names(tmp_path, write_classes):
    dataset = read_folders(write_classes(tmp_path, owl=5, cat=5))
    assert dataset.labels == ("cat", "owl")
    assert [path.parent.name for path, class_id in dataset.train if class_id == 1] == ["owl"] * 4


def test_read_folders_splits_a_fifth_of_each_class_off(tmp_path, write_classes):
    dataset = read_folders(write_classes(tmp_path, cat=10, dog=5))
    assert [(len(part), part.class_ids.sum()) for part in (dataset.train, dataset.test)] == [(12, 4), (3, 1)]


def test_read_folders_reads_train_and_test(tmp_path, write_classes):
    write_classes(tmp_path / "train", cat=3, dog=2)
    write_classes(tmp_path / "test", cat=1, dog=2)
    dataset = read_folders(tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (5, 3)


def test_read_folders_splits_train_when_there_is_no_test(tmp_path, write_classes):
    write_classes(tmp_path / "train", cat=5, dog=5)
    assert len(read_folders(tmp_path).test) == 2


def test_read_folders_takes_a_class_called_train(tmp_path, write_classes):
    assert read_folders(write_classes(tmp_path, train=5, car=5)).labels == ("car", "train")


def test_read_folders_ignores_hidden_files_and_files_beside_the_classes(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    (tmp_path / "LICENSE").write_text("MIT")
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / ".git").mkdir()
    assert read_folders(tmp_path).labels == ("cat", "dog")


def test_read_folders_takes_names_with_spaces_and_emoji(tmp_path, write_classes):
    assert read_folders(write_classes(tmp_path, **{"a b": 5, "🦉": 5})).labels == ("a b", "🦉")


def test_read_folders_follows_links_to_classes(tmp_path, write_classes):
    write_classes(tmp_path / "real", cat=5)
    write_classes(tmp_path / "set", dog=5)
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "real" / "cat")
    assert read_folders(tmp_path / "set").labels == ("cat", "dog")


def test_read_folders_names_a_class_without_images(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=0)
    with pytest.raises(DatasetError, match=r"dog: expected images of this class \(.*\.png.*\), received none"):
        read_folders(tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", "scan.pdf", "more.png"])
def test_read_folders_names_what_is_no_image(tmp_path, write_classes, name):
    write_classes(tmp_path, cat=5, dog=5)
    if name == "more.png":
        (tmp_path / "cat" / name).mkdir()
    else:
        (tmp_path / "cat" / name).write_text("x")
    with pytest.raises(DatasetError, match=rf"cat/{name}: expected nothing but images"):
        read_folders(tmp_path)


def test_read_folders_does_not_block_on_a_pipe(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    with pytest.raises(DatasetError, match=r"pipe\.png: expected nothing but images"):
        read_folders(tmp_path)


def test_read_folders_names_a_link_that_leads_nowhere(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    (tmp_path / "cat" / "loop.png").symlink_to("loop.png")
    with pytest.raises(DatasetError, match=r"loop\.png: expected nothing but images"):
        read_folders(tmp_path)


def test_read_folders_refuses_a_single_class(tmp_path, write_classes):
    with pytest.raises(DatasetError, match=r"at least 2 folders, one a class, received \['cat'\]"):
        read_folders(write_classes(tmp_path, cat=5))


def test_read_folders_refuses_a_test_class_that_train_has_not(tmp_path, write_classes):
    write_classes(tmp_path / "train", cat=3, dog=2)
    write_classes(tmp_path / "test", cat=1, emu=2)
    with pytest.raises(DatasetError, match=r"test/emu: expected the classes of train/, which are \['cat', 'dog'\]"):
        read_folders(tmp_path)


def test_read_folders_maps_test_classes_by_name(tmp_path, write_classes):
    write_classes(tmp_path / "train", cat=3, dog=2, owl=2)
    write_classes(tmp_path / "test", dog=1, owl=1)
    assert read_folders(tmp_path).test.class_ids.tolist() == [1, 2]


def test_read_folders_refuses_another_part_beside_train(tmp_path, write_classes):
    for part in ("train", "val"):
        write_classes(tmp_path / part, cat=3, dog=2)
    with pytest.raises(DatasetError, match=r"expected the folders train/ and test/ and no other.*'val'"):
        read_folders(tmp_path)


def test_read_folders_refuses_a_label_that_cannot_be_printed(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    (tmp_path / "dog").rename(tmp_path / "do\ng")
    with pytest.raises(DatasetError, match="printable characters") as caught:
        read_folders(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_read_folders_refuses_what_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"expected a folder of classes, received (a file|nothing)"):
        read_folders(tmp_path / name)


def test_read_folders_takes_every_image_suffix(tmp_path, write_classes):
    write_classes(tmp_path, cat=2, dog=2)
    for suffix in ("jpg", "JPEG", "webp", "bmp"):
        Image.new("RGB", (4, 4)).save(tmp_path / "cat" / f"x.{suffix}")
    dataset = read_folders(tmp_path)
    assert len(dataset.train) + len(dataset.test) == 8
