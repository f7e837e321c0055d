import os
import re
import shutil

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
    assert [(len(part), part.targets.ids.sum()) for part in (dataset.train, dataset.test)] == [(12, 4), (3, 1)]


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
    with pytest.raises(DatasetError, match=r"test/emu: expected the classes of train, which are \['cat', 'dog'\]"):
        read_folders(tmp_path)


def test_read_folders_maps_test_classes_by_name(tmp_path, write_classes):
    write_classes(tmp_path / "train", cat=3, dog=2, owl=2)
    write_classes(tmp_path / "test", dog=1, owl=1)
    assert read_folders(tmp_path).test.targets.ids.tolist() == [1, 2]


def test_read_folders_refuses_another_folder_beside_the_parts(tmp_path, write_classes):
    for part in ("train", "unlabelled"):
        write_classes(tmp_path / part, cat=3, dog=2)
    with pytest.raises(DatasetError, match=r"unlabelled: expected nothing but the folders train, val and test .* Move"):
        read_folders(tmp_path)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("train", "val"), ["train", "val"]),
        (("Train", "VALID", "Test"), ["train", "val", "test"]),
        (("training", "validation", "testing"), ["train", "val", "test"]),
        (("test",), ["test"]),
    ],
    ids=str,
)
def test_read_folders_knows_the_names_of_parts(tmp_path, write_classes, names, parts):
    for count, name in enumerate(names, start=2):
        write_classes(tmp_path / name, cat=count, dog=2)
    dataset = read_folders(tmp_path)
    assert [(part.part, len(part)) for part in dataset.parts] == [
        (part, 2 + n) for n, part in enumerate(parts, start=2)
    ]
    assert dataset.is_split is False


def test_read_folders_refuses_two_folders_of_one_part(tmp_path, write_classes):
    for part in ("train", "val", "valid"):
        write_classes(tmp_path / part, cat=3, dog=2)
    with pytest.raises(DatasetError, match="expected one val part, received val and valid"):
        read_folders(tmp_path)


def test_read_folders_ignores_what_systems_leave(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    before = read_folders(tmp_path)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png"):
        (tmp_path / "cat" / name).write_bytes(b"\0")
    for folder in ("cat/@eaDir", "@eaDir", "__MACOSX", "__MACOSX/cat"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.png").write_bytes(b"thumbnail")
    after = read_folders(tmp_path)
    assert (after.labels, after.fingerprint) == (("cat", "dog"), before.fingerprint)


def test_read_folders_names_classes_in_classes(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=0)
    write_classes(tmp_path / "dog", poodle=2, pug=2)
    with pytest.raises(
        DatasetError, match=r"dog/poodle \(and 1 more\): expected .* Move the images up .* or the folders"
    ):
        read_folders(tmp_path)


def test_read_folders_warns_of_a_class_that_a_part_lacks(tmp_path, write_classes, caplog):
    write_classes(tmp_path / "train", cat=3, dog=2, owl=2)
    write_classes(tmp_path / "val", dog=1, owl=1)
    read_folders(tmp_path)
    assert "the val part has no picture of 1 of the 3 classes (cat)" in caplog.text


def test_read_folders_warns_once_of_the_same_picture_in_two_classes_and_in_two_parts(tmp_path, write_classes, caplog):
    for part in ("train", "test"):
        write_classes(tmp_path / part, cat=3, dog=3)
        for path in (tmp_path / part).rglob("*.png"):
            path.write_bytes(path.read_bytes() + part.encode())  # a picture, and other bytes than in the other part
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "train/cat/same.png")  # which does no harm
    read_folders(tmp_path)
    assert caplog.text == ""
    shutil.copy(tmp_path / "train/cat/1.png", tmp_path / "train/dog/cat.png")
    shutil.copy(tmp_path / "train/cat/2.png", tmp_path / "test/cat/learned.png")
    read_folders(tmp_path)
    (message,) = caplog.messages
    assert re.search(r"1 in two classes \(\S*train/cat/1.png = \S*train/dog/cat.png\) and", message)
    assert re.search(r"1 in two parts \(\S*train/cat/2.png = \S*test/cat/learned.png\)", message)


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
