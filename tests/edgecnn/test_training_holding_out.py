import json
import logging
from dataclasses import replace

import keras
import numpy as np
import pytest

from edgecnn.cli import main
from edgecnn.data.samples import Samples
from edgecnn.data.targets import ClassIds
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.trained import open_trained
from edgecnn.training import RunFolder, TrainConfig, train
from edgecnn.training.holding_out import hold_out
from edgecnn.training.progress import Silent

CONFIG = TrainConfig("simple_cnn", "unused")


def samples_of(*counts):
    """Images of the classes "0", "1", ..., so many of each, one after the other."""
    ids = np.repeat(np.arange(len(counts)), counts)
    return Samples(tuple(map(str, ids)), ClassIds(ids), tuple(map(str, range(len(counts)))), "train")


def divided(samples, config, *, good=None, has_val=False):
    found = hold_out(samples, np.arange(len(samples)) if good is None else good, config, has_val=has_val)
    return found.fraction, found.learned.tolist(), found.held_out.tolist()


def test_hold_out_takes_a_tenth_of_each_class_by_default():
    samples = samples_of(30, 20)
    fraction, learned, held_out = divided(samples, CONFIG)
    assert fraction == 0.1
    assert samples.targets.ids[held_out].tolist() == [0, 0, 0, 1, 1]
    assert sorted(learned + held_out) == list(range(50))
    assert divided(samples, replace(CONFIG, validation=0.1)) == (fraction, learned, held_out)


@pytest.mark.parametrize("early_stopping", [None, 3])
def test_hold_out_leaves_the_train_part_whole_beside_a_val_part(caplog, early_stopping):
    config = replace(CONFIG, early_stopping=early_stopping)
    assert divided(samples_of(1, 20), config, has_val=True) == (0, list(range(21)), [])
    assert not caplog.messages


def test_hold_out_takes_nothing_when_that_was_asked_for(caplog):
    assert divided(samples_of(1, 20), replace(CONFIG, validation=0)) == (0, list(range(21)), [])
    assert not caplog.messages


@pytest.mark.parametrize(
    ("counts", "good", "reason"),
    [
        ((20, 1), None, "expected at least 2 training images of each class, received 1 of '1'"),
        ((5, 4), None, "expected at least 10 training images, received 9"),
        ((10, 10), [*range(10), 19], "expected at least 2 training images of each class, received 1 of '1'"),
    ],
)
def test_hold_out_says_why_the_default_takes_nothing(caplog, counts, good, reason):
    good = np.arange(sum(counts)) if good is None else np.array(good)
    assert divided(samples_of(*counts), CONFIG, good=good) == (0, good.tolist(), [])
    (message,) = caplog.messages
    assert f"nothing is held out, so that no epoch can be told to be the best: {reason}. Add images" in message
    assert caplog.records[0].levelno == logging.WARNING
    with pytest.raises(UsageError, match=f"^schedule plateau: .* cannot be held out: {reason}. Add images"):
        divided(samples_of(*counts), replace(CONFIG, schedule="plateau"), good=good)


def test_hold_out_takes_of_a_handful_what_is_asked_for():
    assert divided(samples_of(5, 4), replace(CONFIG, validation=0.1))[2] != []
    with pytest.raises(UsageError, match=r"^validation 0\.1: expected at least 2 .* received 1 of '1'\. Leave"):
        divided(samples_of(20, 1), replace(CONFIG, validation=0.1))


@pytest.fixture
def config(npz):
    return TrainConfig("simple_cnn", str(npz), epochs=2, batch_size=9, image_size=(10, 10), width=0.05, seed=5)


def weights_of(path):
    return np.concatenate([np.ravel(weight) for weight in keras.saving.load_model(path).get_weights()])


def test_train_keeps_the_best_epoch_by_default(config, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "edgecnn.training.holding_out"):
        result = train(config, tmp_path / "run")
    told = "validating with 0.1 of each class of the train part of set.npz, by seed: 3 images, and learning from 21"
    assert told in caplog.messages
    assert RunFolder.open(tmp_path / "run").record.config == replace(config, validation=0.1)
    assert result.best_epoch is not None
    assert open_trained(tmp_path / "run").model_path.name == "best.keras"
    assert train(replace(config, validation=0.1), tmp_path / "named").history == result.history


def test_train_stops_early_by_default(config, tmp_path):
    stuck = replace(config, epochs=9, learning_rate=1e-30, early_stopping=1)
    assert (len(train(stuck, tmp_path / "run").history), stuck.validation) == (2, None)


def test_train_goes_on_without_a_held_out_part_when_a_bad_picture_leaves_one_of_its_class(
    config, tmp_path, write_classes, caplog
):
    for part, cats in (("train", 2), ("test", 2)):
        write_classes(tmp_path / "set" / part, cat=cats, dog=12)
    (tmp_path / "set/train/cat/0.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    few = replace(config, data=str(tmp_path / "set"), epochs=1)
    result = train(few, tmp_path / "run", skip_bad=True)
    assert (result.history[0].val_loss, result.best_epoch) == (None, None)
    assert [message for message in caplog.messages if "nothing is held out" in message]
    assert RunFolder.open(tmp_path / "run").record.config.validation == 0
    caplog.clear()
    assert train(replace(few, epochs=2), tmp_path / "run", resume=True, skip_bad=True).epochs_trained == 1
    assert not [message for message in caplog.messages if "nothing is held out" in message]


def as_of_version_1(run_dir):
    """Makes the record what it was while nothing was held out by default."""
    path = run_dir / "config.json"
    tree = json.loads(path.read_text())
    assert tree["config"]["validation"] == 0
    tree["schema_version"], tree["config"]["validation"] = 1, None
    path.write_text(json.dumps(tree))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A function that trains a config once without a break, and gives its last weights."""
    made = {}

    def trained(config):
        if "weights" not in made:
            run_dir = tmp_path_factory.mktemp("whole") / "run"
            train(config, run_dir)
            made["weights"] = weights_of(run_dir / "model.keras")
        return made["weights"]

    return trained


class Interrupted(BaseException):
    pass


class Interrupting(Silent):
    """Interrupts the training in its second epoch."""

    def on_epoch_begin(self, epoch, epochs, /):
        del epochs
        if epoch == 2:
            raise Interrupted


@pytest.mark.parametrize("finished", [True, False])
def test_train_resumes_a_run_of_before_the_default_to_the_same_weights(config, tmp_path, whole, finished):
    run_dir, plain = tmp_path / "run", replace(config, validation=0)
    if finished:
        train(replace(plain, epochs=1), run_dir)
    else:
        with pytest.raises(Interrupted):
            train(plain, run_dir, progress=Interrupting())
    as_of_version_1(run_dir)
    if finished:
        assert RunFolder.open(run_dir).record.config == replace(plain, epochs=1)
        assert main(["evaluate", str(run_dir), "--data", config.data]) == 0
    else:
        with pytest.raises(RunFolderError, match=r"interrupted after epoch 1 of 2\. Finish it with .* --resume"):
            RunFolder.open(run_dir)
    with pytest.raises(UsageError, match=r"cannot resume .*: expected validation 0\.0, received 0\.1\. Give"):
        train(replace(config, validation=0.1), run_dir, resume=True)
    assert train(config, run_dir, resume=True).epochs_trained == 1
    assert (weights_of(run_dir / "model.keras") == whole(plain)).all()
    assert RunFolder.open(run_dir).record.config == plain
