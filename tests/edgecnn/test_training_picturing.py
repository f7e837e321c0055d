import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecnn.cli import main
from edgecnn.data import load_dataset
from edgecnn.tasks.table import TASKS, WORST
from edgecnn.trained import open_trained
from edgecnn.training import RunFolder, TrainConfig, train
from edgecnn.training.holding_out import hold_out
from edgecnn.training.run_folder import PICTURES

NARROW = {"image_size": (10, 10), "width": 0.05, "batch_size": 9, "learning_rate": 0.05}


@pytest.fixture
def config(npz):
    return TrainConfig("simple_cnn", str(npz), epochs=4, **NARROW, validation=0.4, seed=5)


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_run_holds_the_pictures_of_its_best_weights_on_the_held_out_part(config, tmp_path, write_npz, arrays):
    """What `evaluate --save` draws of those very images, in a data set of their own, is the judge."""
    config = replace(config, learning_rate=0.3, seed=2)
    result = train(config, tmp_path / "run")
    assert result.best_epoch < len(result.history)
    assert result.pictures == ("confusion.png", "worst.png")
    train_part = load_dataset(config.data).train
    found = hold_out(train_part, np.arange(len(train_part)), config, has_val=False).held_out
    few = {"x_test": arrays["x_train"][found], "y_test": arrays["y_train"][found]}
    alone = write_npz("alone.npz", **{**arrays, **few}, labels=train_part.labels)
    drawn = {}
    for checkpoint in ("best", "last"):
        words = ["--split", "test", "--checkpoint", checkpoint, "--save", str(tmp_path / checkpoint)]
        assert main(["evaluate", str(tmp_path / "run"), "--data", str(alone), *words]) == 0
        drawn[checkpoint] = [pixels_of(tmp_path / checkpoint / name) for name in result.pictures]
    for name, best in zip(result.pictures, drawn["best"], strict=True):
        np.testing.assert_array_equal(pixels_of(tmp_path / "run" / name), best)
    assert any(best.shape != last.shape or (best != last).any() for best, last in zip(*drawn.values(), strict=True))


def test_a_run_holds_the_pictures_of_the_val_part_without_what_cannot_be_decoded(tmp_path, write_classes):
    write_classes(tmp_path / "set" / "train", cat=8, dog=8)
    write_classes(tmp_path / "set" / "val", cat=3, dog=3)
    (tmp_path / "set/val/cat/1.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    own = TrainConfig("simple_cnn", str(tmp_path / "set"), epochs=1, **NARROW)
    result = train(own, tmp_path / "run", skip_bad=True)
    words = ["--split", "val", "--skip-bad", "--save", str(tmp_path / "drawn")]
    assert main(["evaluate", str(tmp_path / "run"), "--data", own.data, *words]) == 0
    for name in result.pictures:
        np.testing.assert_array_equal(pixels_of(tmp_path / "run" / name), pixels_of(tmp_path / "drawn" / name))


def test_a_run_without_a_held_out_part_has_no_such_pictures_and_none_of_an_earlier_run(config, tmp_path):
    for name in (*PICTURES, "mine.png"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("of an earlier run")
    plain = replace(config, epochs=1, validation=0)
    assert train(plain, tmp_path / "run", overwrite=True).pictures == ()
    assert {path.name for path in (tmp_path / "run").glob("*.png")} == {"curves.png", "mine.png"}


@pytest.mark.slow
def test_a_run_that_goes_on_gets_new_pictures(config, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(config, whole)
    train(replace(config, epochs=1), halves)
    before = [pixels_of(halves / name) for name in ("confusion.png", "worst.png")]
    result = train(config, halves, resume=True)
    assert result.epochs_trained == 3
    after = [pixels_of(halves / name) for name in result.pictures]
    for old, new, name in zip(before, after, result.pictures, strict=True):
        np.testing.assert_array_equal(new, pixels_of(whole / name))
        assert old.shape != new.shape or (old != new).any()
    assert train(config, halves, resume=True).pictures == result.pictures  # nothing left to do


@pytest.mark.parametrize("error", [OSError("no room"), MemoryError(), ValueError("of a library")])
def test_a_run_is_not_lost_where_its_pictures_cannot_be_drawn(config, tmp_path, monkeypatch, caplog, error):
    def draw(*_):
        raise error

    monkeypatch.setattr(sys.modules["edgecnn.evaluation.pictures"].EvaluationPictures, "draw", draw)
    result = train(config, tmp_path / "run")
    assert (result.pictures, len(result.history)) == ((), 4)
    assert RunFolder.open(tmp_path / "run").best_epoch == result.best_epoch
    open_trained(tmp_path / "run").load()
    assert not {path.name for path in (tmp_path / "run").iterdir()} & {*PICTURES, "unfinished"}
    (message,) = [text for text in caplog.messages if "the pictures of the held-out part" in text]
    assert type(error).__name__ in message or isinstance(error, OSError)
    assert str(error) in message
    assert "--save DIR" in message


def test_train_says_which_pictures_there_are(config, tmp_path, capfd):
    words = ["--image-size", "10,10", "--width", "0.05", "--epochs", "1", "-o", str(tmp_path / "run")]
    assert main(["train", "simple_cnn", "--data", config.data, *words]) == 0
    assert capfd.readouterr().out.endswith("; its mistakes: confusion.png, worst.png\n")


def test_every_name_of_a_tasks_pictures_is_removed_with_an_earlier_run():
    assert {name for row in TASKS.values() for name in row.picture_names} | {WORST} == set(PICTURES)
