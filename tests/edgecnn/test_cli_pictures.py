import os
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from edgecnn.cli import main
from edgecnn.cli.pictures import PictureFolder
from edgecnn.errors import UsageError
from edgecnn_runtime import Classification

DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture
def result():
    def make(source):
        return Classification(
            np.array([0.25, 0.75], np.float32), labels=("cat", "dog"), shape=(4, 6), source=str(source)
        )

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


@pytest.fixture
def run(write_model, picture, tmp_path, capfd):
    """Runs a model of such labels over one picture, or several; returns the exit code and the lines of stderr."""

    def run(labels, *options, pictures=1):
        model = write_model(labels=labels)
        others = [picture.with_name(f"{number}.png") for number in range(1, pictures)]
        for other in others:
            other.write_bytes(picture.read_bytes())
        command = ["run", model, str(picture), *map(str, others), "--device", "cpu", "--top-k", "2"]
        code = main([*command, "--save", str(tmp_path / "out"), *map(str, options)])
        return code, capfd.readouterr().err.splitlines()

    return run


def test_font_draws_the_letters_that_it_has_and_nothing_is_said(run, tmp_path):
    drawn = set()
    for labels in (("Ж", "a"), ("Ω", "a"), ("é", "a"), ("e", "a"), ("ש", "a")):
        assert run(labels, "--font", DEJAVU) == (0, [])
        drawn.add((tmp_path / "out" / "a.png").read_bytes())
    assert len(drawn) == 5


def test_letters_that_no_font_has_are_named_in_one_warning_a_run(run):
    code, (line,) = run(("ひまわり", "ひЖ"), "--font", DEJAVU, pictures=3)
    assert code == 0
    assert line.startswith("edgecnn: pictures: expected a font with every letter of the labels, received none for ")
    assert all(letter in line for letter in "ひまわり")
    assert "Ж" not in line
    assert "--font" in line


def test_pictures_are_the_same_on_every_machine_where_labels_are_ascii(run, tmp_path, monkeypatch):
    drawn = []
    for places in ([], [str(DEJAVU)]):
        monkeypatch.setattr("edgecnn_runtime.fonts.fonts_here", places.copy)
        assert run(("cat", "dog")) == (0, [])
        drawn.append((tmp_path / "out" / "a.png").read_bytes())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "No such file"),
        (os.mkfifo, "not a regular file"),
        (Path.mkdir, "it is a directory"),
        (lambda path: path.write_text("no font"), "FreeType refuses"),
    ],
    ids=["missing", "fifo", "folder", "text"],
)
def test_a_font_that_cannot_be_read_is_refused_before_anything_runs(tmp_path, picture, capfd, make, words):
    font, out = tmp_path / "font.ttf", tmp_path / "out"
    make(font)
    assert main(["run", "no-such-model.onnx", str(picture), "--save", str(out), "--font", str(font)]) == 2
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"edgecnn: --font: {font}: expected a font")
    assert words in line
    assert not out.exists()


def test_font_without_save_is_refused(picture, capfd):
    assert main(["run", "no-such-model.onnx", str(picture), "--font", str(DEJAVU)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "--font" in line
    assert "needs --save" in line


def test_a_picture_never_replaces_the_font(run, tmp_path):
    font = tmp_path / "out" / "a.png"
    font.parent.mkdir()
    font.write_bytes(DEJAVU.read_bytes())
    code, (line,) = run(("Ж", "a"), "--font", font)
    assert code == 2
    assert "--font and is never overwritten" in line
    assert font.read_bytes() == DEJAVU.read_bytes()
