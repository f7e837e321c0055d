"""Names in matplotlib's pictures: letters, mathematics that is none, controls, and lengths."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from PIL import Image

from edgecnn.errors import WriteError
from edgecnn.evaluation.feature_maps import FeatureMaps
from edgecnn.evaluation.map_grid import draw_feature_maps
from edgecnn.exporting.tries_picture import draw_tries
from edgecnn.figures import LONGEST_NAME, make_figure, plain, save_figure
from edgecnn.reads_and_writes import is_tries_of, tries_paths
from edgecnn.tasks.classification.metric import score_answers
from edgecnn.tasks.classification.pictures import draw_confusion_matrix
from edgecnn_exporters import Try


def matrix(path, *labels):
    true, answered = np.random.default_rng(0).integers(0, len(labels), (2, 50))
    draw_confusion_matrix(score_answers(true, answered, num_classes=len(labels), labels=labels), path)
    return path.read_bytes()


def maps(path, name, _other=None):
    draw_feature_maps(FeatureMaps(name, np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 2), np.float32)), path)
    return path.read_bytes()


def text(path, name):
    figure = make_figure((1, 1))
    figure.text(0.1, 0.1, plain(name))
    save_figure(figure, path)
    return path.read_bytes()


@pytest.mark.parametrize("letters", ["éß", "ЖЯ", "Ωλ", "של", "$%"])
def test_letters_are_drawn_as_themselves_and_nothing_is_said(letters, tmp_path, caplog):
    pictures = {text(tmp_path / "a.png", letter) for letter in (*letters, "e")}
    assert caplog.records == []
    assert len({*pictures, text(tmp_path / "a.png", "ひ")}) == 4  # the box is none of them


@pytest.mark.parametrize("draw", [matrix, maps])
def test_letters_that_are_missing_are_named_in_one_warning(draw, tmp_path, caplog):
    draw(tmp_path / "a.png", "ひまひ", "ひ")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "a.png: expected fonts with every letter of the names, received none for ひ, ま, " in record.getMessage()


def test_a_font_that_is_named_in_a_matplotlibrc_is_taken(tmp_path, caplog):
    with rc_context({"font.family": ["cmss10", "DejaVu Sans"]}):
        text(tmp_path / "a.png", "Ж")
    assert caplog.records == []
    with rc_context({"font.family": ["cmss10"]}):
        text(tmp_path / "a.png", "Ж")
    assert "received none for Ж" in caplog.text


@pytest.mark.parametrize("name", ["$x$", "$x", "a$b$c$", r"\$1", r"$\frac{}$", "$$", r"\alpha"])
def test_dollars_are_no_mathematics(name, tmp_path):
    """Drawn as the same text is by Matplotlib itself when it knows no mathematics."""
    figure = make_figure((3, 3))
    figure.text(0.1, 0.1, name, parse_math=False)
    figure.savefig(tmp_path / "theirs.png")
    ours = make_figure((3, 3))
    ours.text(0.1, 0.1, plain(name))
    save_figure(ours, tmp_path / "ours.png")
    with Image.open(tmp_path / "theirs.png") as theirs, Image.open(tmp_path / "ours.png") as drawn:
        assert theirs.tobytes() == drawn.tobytes()


@pytest.mark.parametrize("draw", [matrix, maps])
def test_controls_are_drawn_as_their_escapes_and_line_ends_as_spaces(draw, tmp_path):
    hostile, written = "\x1b[1m\x00\u202e\nb\u2028c\r\nd", r"\x1b[1m\x00\u202e b c d"
    assert draw(tmp_path / "a.png", hostile, "e") == draw(tmp_path / "a.png", written, "e")


@pytest.mark.parametrize("classes", [2, 12])
def test_long_names_keep_the_layout(classes, tmp_path):
    """Matplotlib warns where the names leave no room for the matrix, and warnings are errors here."""
    matrix(tmp_path / "a.png", *(f"{'W' * 10_000}{number}" for number in range(classes)))
    assert len(plain("W" * 10_000)) == LONGEST_NAME
    assert plain(f"{'x' * 99}7").endswith("7")


def test_other_warnings_are_not_swallowed(tmp_path, monkeypatch):
    figure = make_figure((3, 3))
    monkeypatch.setattr(figure, "savefig", lambda path, **_: (path.touch(), warnings.warn("another", stacklevel=1)))
    with pytest.warns(UserWarning, match="another"):
        save_figure(figure, tmp_path / "a.png")


def test_save_figure_names_the_file_that_cannot_be_written(tmp_path):
    with pytest.raises(WriteError, match=r"cannot write \S*/missing/a\.png"):
        save_figure(make_figure((3, 3)), tmp_path / "missing" / "a.png")


@pytest.mark.parametrize("name", [b"\xff.onnx", b"a\n# b.onnx", b"\x1b[31m.onnx", "ひ é.onnx".encode()], ids=repr)
def test_tries_of_a_file_of_any_name_are_known_again(name, tmp_path):
    path = tmp_path / Path(os.fsdecode(name))
    draw_tries(
        [Try("float16", None, 4, (), None, None, None, 1e-3, None, True, 1.0, None, 1000, True, None)],
        path,
    )
    table, picture = tries_paths(path)
    assert is_tries_of(table, path)
    assert is_tries_of(picture, path)
    assert not is_tries_of(table, tmp_path / "other.onnx")
    assert table.read_text(encoding="utf-8").splitlines()[1] == ""  # the heading is one line
