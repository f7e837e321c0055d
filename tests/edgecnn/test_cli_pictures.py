import numpy as np
import pytest
from PIL import Image

from edgecnn.cli.pictures import PictureFolder
from edgecnn.errors import UsageError
from edgecnn_runtime import Classification


@pytest.fixture
def result():
    def make(source):
        return Classification(np.array([0.25, 0.75], np.float32), ("cat", "dog"), (4, 6), str(source))

    return make


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "in" / "a.jpeg"
    path.parent.mkdir()
    Image.new("RGB", (6, 4), "red").save(path)
    return path


def test_save_names_the_picture_after_its_source(tmp_path, picture, result):
    folder = PictureFolder(tmp_path / "out", [str(picture)], 1)
    assert folder.save(result(picture), str(picture)) == tmp_path / "out" / "a.png"


def test_save_names_the_picture_of_stdin(tmp_path, picture, result):
    folder = PictureFolder(tmp_path / "out", ["-"], 1)
    assert folder.save(result("-"), picture.read_bytes()) == tmp_path / "out" / "stdin.png"


def test_save_replaces_the_picture_of_an_earlier_run(tmp_path, picture, result):
    for _ in range(2):
        PictureFolder(tmp_path / "out", [str(picture)], 1).save(result(picture), str(picture))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize("source", ["in", "in/a.jpeg", "in/*.jpeg", "@list.txt"])
def test_folder_refuses_to_hold_an_input(tmp_path, picture, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text(f"{picture}\n")
    with pytest.raises(UsageError, match="another folder"):
        PictureFolder(picture.parent, [source], 1)


@pytest.mark.parametrize("source", ["in", "in/*", "@list.txt"])
def test_folder_refuses_to_lie_where_it_would_be_read(tmp_path, picture, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text(f"{picture}\n")
    with pytest.raises(UsageError, match="another folder"):
        PictureFolder(picture.parent / "out", [source], 1)
    assert not (picture.parent / "out").exists()


def test_folder_may_lie_below_files_that_were_named(tmp_path, picture):
    PictureFolder(tmp_path / "in" / "out", [str(picture)], 1)
    assert (tmp_path / "in" / "out").is_dir()


def test_folder_takes_sources_that_hold_nothing(tmp_path):
    PictureFolder(tmp_path / "out", [str(tmp_path / "nothing*.png"), str(tmp_path / "missing.png")], 1)
    assert (tmp_path / "out").is_dir()


def test_a_name_that_the_file_system_does_not_take_is_a_failure_of_that_image(tmp_path, picture, result):
    folder = PictureFolder(tmp_path / "out", [str(picture)], 1)
    answer = folder.saved(result(tmp_path / ("x" * 255)), str(picture))
    assert (answer.kind, answer.source) == ("write", str(tmp_path / ("x" * 255)))
    assert folder.saved(result(picture), str(picture)).class_id == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
