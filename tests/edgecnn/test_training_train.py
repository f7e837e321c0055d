import csv
import logging
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

from edgecnn.data import load_dataset
from edgecnn.errors import (
    DatasetError,
    PretrainedWeightsError,
    RunFolderError,
    TrainingError,
    UnknownModelError,
    UsageError,
)
from edgecnn.training import RunFolder, TrainConfig, train
from edgecnn_runtime import Preprocessor


@pytest.fixture
def config(npz):
    return TrainConfig(
        *("simple_cnn", str(npz)), epochs=3, batch_size=9, image_size=(10, 10), width=0.05, validation=0.25, seed=5
    )


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "runs" / "a"


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    """A function that trains a config for one epoch, the first time it is called, and gives copies after that."""
    made = tmp_path_factory.mktemp("finished") / "run"

    def copy(config, run_dir):
        if not made.exists():
            train(config, made)
        shutil.copytree(made, run_dir)
        return contents(run_dir)

    return copy


class Recorder:
    """Keeps what it is told, and interrupts training where a test wants it."""

    def __init__(self, interrupt_in=None):
        self.stages, self.batches, self.epochs, self.interrupt_in = [], [], [], interrupt_in
        self.begun = []

    def on_stage(self, stage, /):
        self.stages.append(stage)
        self._interrupt(stage)

    def on_epoch_begin(self, epoch, epochs, /):
        self.begun.append((epoch, epochs))

    def on_batch(self, done, total, metrics, /):
        self.batches.append((done, total))
        self._interrupt(("batch", len(self.epochs) + 1, done) if metrics else "image")

    def on_epoch(self, metrics, epochs, /):
        self.epochs.append((metrics.epoch, epochs))

    def _interrupt(self, where):
        if where == self.interrupt_in:
            raise KeyboardInterrupt


def weights_of(run_dir, name="model.keras"):
    model = keras.saving.load_model(run_dir / name)
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_train_leaves_a_run_folder(config, run_dir):
    result = train(config, run_dir)
    assert sorted(entry.name for entry in run_dir.iterdir()) == [
        *("best.keras", "config.json", "confusion.png", "curves.png", "history.csv", "manifest.json", "model.keras"),
        "worst.png",
    ]
    folder = RunFolder.open(run_dir)
    assert (folder.record.config, folder.history, folder.manifest.labels) == (
        config,
        result.history,
        ("cat", "dog", "owl"),
    )
    assert (result.epochs_trained, result.stopped_early) == (3, False)
    assert result.best_epoch == folder.best_epoch == best_of(result.history)


def best_of(history):
    """The epoch of the highest accuracy on the held-out part, of equal ones that of the lowest loss."""
    return max(history, key=lambda row: (row.val_metrics["accuracy"], -row.val_loss)).epoch


def test_train_learns(config, run_dir):
    easy = replace(config, epochs=15, learning_rate=0.01, validation=None)
    assert train(easy, run_dir).history[-1].metrics["accuracy"] > 0.9


def test_train_tells_how_it_goes(config, run_dir, caplog):
    recorder = Recorder()
    with caplog.at_level(logging.INFO, logger="edgecnn"):
        train(config, run_dir, progress=recorder)
    assert recorder.stages == ["data", "cache", "model", "fit", "finish"]
    assert recorder.batches == [(24, 24), *[(9, 18), (18, 18)] * 3, (6, 6)]
    assert recorder.begun == [(1, 3), (2, 3), (3, 3)]
    assert recorder.epochs == [(1, 3), (2, 3), (3, 3)]
    assert [message.split()[0] for message in caplog.messages] == [
        *("data", "cache:", "validating", "model", "epoch", "epoch", "epoch", "evaluated", "finished:")
    ]


def test_train_prints_nothing(config, run_dir, capfd):
    train(config, run_dir)
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_train_never_sees_the_test_part(config, run_dir, write_npz, arrays):
    other = write_npz(
        "other.npz", **{**arrays, "x_test": 255 - arrays["x_test"]}, labels=np.array(["cat", "dog", "owl"])
    )
    train(config, run_dir)
    train(replace(config, data=str(other)), run_dir.with_name("b"))
    assert (weights_of(run_dir) == weights_of(run_dir.with_name("b"))).all()


@pytest.mark.parametrize(
    "interrupt_in",
    [
        ("batch", 3, 18),
        *(
            pytest.param(where, marks=pytest.mark.slow)
            for where in ("data", "cache", "image", "model", ("batch", 1, 9), "finish")
        ),
    ],
)
def test_train_resumes_to_the_same_weights_when_interrupted(config, run_dir, interrupt_in, uninterrupted):
    with pytest.raises(KeyboardInterrupt):
        train(config, run_dir, progress=Recorder(interrupt_in))
    run_dir.mkdir(parents=True, exist_ok=True)  # interrupted in "data", there is none yet
    recorder = Recorder()
    result = train(config, run_dir, resume=True, progress=recorder)
    weights, best_weights, history = uninterrupted(config)
    assert (weights_of(run_dir) == weights).all()
    assert (weights_of(run_dir, "best.keras") == best_weights).all()
    assert [epoch for epoch, _ in recorder.begun] == list(range(4 - result.epochs_trained, 4))
    assert result.history == history
    assert not (run_dir / "unfinished").exists()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Trains a config once without a break."""
    results = {}

    def trained(config):
        if "all" not in results:
            run_dir = tmp_path_factory.mktemp("whole") / "run"
            history = train(config, run_dir).history
            results["all"] = weights_of(run_dir), weights_of(run_dir, "best.keras"), history
        return results["all"]

    return trained


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"augment": ("shift", "flip", "rotation", "contrast", "brightness", "alexnet")},
        {"balance": True},
        {"strategy": "mirrored"},
        {"schedule": "exponential"},
        {"schedule": "cosine"},
        {"schedule": "plateau", "learning_rate": 1e-30, "epochs": 6},  # no epoch is better than the first
    ],
    ids=str,
)
def test_train_resumes_to_the_same_weights_with(config, run_dir, options):
    config = replace(config, **options)
    history = train(config, run_dir).history
    again = run_dir.with_name("b")
    with pytest.raises(KeyboardInterrupt):
        train(config, again, progress=Recorder(("batch", config.epochs, 9)))
    assert train(config, again, resume=True).history == history
    assert (weights_of(again) == weights_of(run_dir)).all()


@pytest.mark.slow
def test_train_keeps_what_only_training_has_when_epochs_are_raised(config, run_dir):
    config = replace(config, model="googlenet", image_size=(32, 32), epochs=2)
    history = train(config, run_dir).history
    again = run_dir.with_name("b")
    train(replace(config, epochs=1), again)
    assert (again / "training.keras").is_file()
    assert keras.saving.load_model(again / "model.keras").output_names == ["logits"]
    assert train(config, again, resume=True).history == history
    assert (weights_of(again) == weights_of(run_dir)).all()
    train(replace(config, model="simple_cnn", epochs=1), again, overwrite=True)
    assert not (again / "training.keras").exists()


@pytest.mark.slow
def test_train_transfers_a_backbone_in_two_runs(config, run_dir):
    first = replace(config, model="alexnet", image_size=(67, 67), epochs=1)
    train(first, run_dir)
    head, tuned = run_dir.with_name("head"), run_dir.with_name("tuned")
    train(replace(first, weights=str(run_dir / "model.keras"), freeze="backbone"), head)
    second = replace(first, weights=str(head / "model.keras"), unfreeze_from=8)
    train(second, tuned)
    assert RunFolder.open(tuned).record.config == second
    whole, kept, changed = (keras.saving.load_model(folder / "model.keras") for folder in (run_dir, head, tuned))
    for name, same in (("conv1", True), ("conv3", True), ("conv5", False)):
        weights = [model.get_layer(name).get_weights()[0] for model in (whole, kept, changed)]
        assert (weights[0] == weights[1]).all()
        assert (weights[1] == weights[2]).all() == same


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"num_classes": 4},
            UsageError,
            r"classes: expected 3, those of \S*set\.npz, received 4\. Leave --classes out",
        ),
        (
            {"weights": "w.keras", "freeze": "backbone"},
            UsageError,
            "simple_cnn has no backbone: expected one of alexnet, ",
        ),
        ({"weights": "w.onnx"}, UsageError, "expected weights from imagenet, none, or a"),
        ({"weights": "w.weights.h5"}, PretrainedWeightsError, "w.weights.h5: expected .* received nothing"),
        ({"weights": "imagenet"}, UsageError, "simple_cnn has no ImageNet weights"),
    ],
)
def test_train_leaves_nothing_when_what_it_begins_with_is_wrong(config, run_dir, options, error, message):
    with pytest.raises(error, match=message):
        train(replace(config, **options), run_dir)
    assert not run_dir.exists()


def test_train_keeps_the_old_run_when_the_weights_are_of_another_architecture(config, run_dir, finished_once):
    before = finished_once(replace(config, epochs=1), run_dir)
    weights = shutil.copy(run_dir / "model.keras", run_dir.with_name("weights.keras"))
    other = replace(config, weights=str(weights), width=0.1)
    with pytest.raises(PretrainedWeightsError, match="not the weights of this simple_cnn"):
        train(other, run_dir, overwrite=True)
    assert contents(run_dir) == before


def test_train_goes_on_when_epochs_are_raised(config, run_dir, uninterrupted, finished_once):
    finished_once(replace(config, epochs=1), run_dir)
    result = train(config, run_dir, resume=True)
    assert result.epochs_trained == 2
    assert (weights_of(run_dir) == uninterrupted(config)[0]).all()
    assert (weights_of(run_dir, "best.keras") == uninterrupted(config)[1]).all()


def test_train_does_nothing_when_the_run_is_finished(config, run_dir, caplog, finished_once):
    before = finished_once(replace(config, epochs=1), run_dir)
    with caplog.at_level(logging.INFO, logger="edgecnn.training"):
        result = train(replace(config, epochs=1), run_dir, resume=True)
    assert (result.epochs_trained, len(result.history)) == (0, 1)
    assert contents(run_dir) == before
    assert caplog.messages == [f"{run_dir} is finished already: 1 epochs"]


def test_train_stops_early_and_keeps_the_last_weights(config, run_dir):
    stuck = replace(config, epochs=9, learning_rate=1e-30, early_stopping=2)
    result = train(stuck, run_dir)
    assert (len(result.history), result.stopped_early) == (3, True)
    assert train(replace(stuck, epochs=20), run_dir, resume=True).epochs_trained == 0


def test_train_stops_early_at_the_same_epoch_when_resumed(config, run_dir):
    stuck = replace(config, epochs=9, learning_rate=1e-30, early_stopping=2)
    with pytest.raises(KeyboardInterrupt):
        train(stuck, run_dir, progress=Recorder(("batch", 3, 9)))
    assert len(train(stuck, run_dir, resume=True).history) == 3


def test_train_refuses_a_folder_that_is_not_empty(config, run_dir):
    run_dir.mkdir(parents=True)
    (run_dir / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"received one with 1 entries\. Continue .*--resume, or .*--overwrite"):
        train(config, run_dir)


def test_train_overwrites_a_run_and_nothing_else(config, run_dir, finished_once):
    finished_once(replace(config, epochs=1), run_dir)
    (run_dir / "thesis.tex").write_text("x")
    result = train(replace(config, seed=6, epochs=1), run_dir, overwrite=True)
    assert (result.epochs_trained, RunFolder.open(run_dir).record.config.seed) == (1, 6)
    assert (run_dir / "thesis.tex").read_text() == "x"


def test_train_refuses_resume_and_overwrite_together(config, run_dir):
    with pytest.raises(UsageError, match="received both"):
        train(config, run_dir, resume=True, overwrite=True)


def test_train_refuses_to_resume_what_never_was(config, run_dir):
    with pytest.raises(UsageError, match="received no such folder"):
        train(config, run_dir, resume=True)


def test_train_refuses_to_resume_a_folder_of_other_things(config, run_dir):
    run_dir.mkdir(parents=True)
    (run_dir / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match=r"without config\.json"):
        train(config, run_dir, resume=True)


def test_train_refuses_a_file_for_a_folder(config, npz):
    with pytest.raises(UsageError, match="expected a folder for the run, received a file"):
        train(config, npz)


def test_train_refuses_to_resume_with_other_options(config, run_dir, finished_once):
    before = finished_once(replace(config, epochs=1), run_dir)
    with pytest.raises(UsageError, match="expected batch_size 9, received 8"):
        train(replace(config, batch_size=8), run_dir, resume=True)
    assert contents(run_dir) == before


def test_train_refuses_to_resume_with_other_data(config, run_dir, arrays, write_npz, finished_once):
    finished_once(replace(config, epochs=1), run_dir)
    other = write_npz("other.npz", **{**arrays, "x_train": 255 - arrays["x_train"]})
    with pytest.raises(UsageError, match=r"expected data \S*/set\.npz .*, received \S*/other\.npz"):
        train(replace(config, data=str(other)), run_dir, resume=True)


def test_train_refuses_to_resume_another_manifest(config, run_dir, finished_once):
    finished_once(replace(config, epochs=1), run_dir)
    path = run_dir / "manifest.json"
    path.write_text(
        path.read_text().replace('"stretch"', '"center_crop"').replace('"crop_fraction":null', '"crop_fraction":1.0')
    )
    with pytest.raises(RunFolderError, match=r"manifest\.json: expected the manifest that this version"):
        train(config, run_dir, resume=True)


def test_train_keeps_a_run_whose_epochs_were_scored_otherwise(config, run_dir, finished_once):
    finished_once(replace(config, epochs=1), run_dir)
    path = run_dir / "history.csv"
    path.write_text(path.read_text().replace("accuracy", "precision"))
    with pytest.raises(RunFolderError, match=r"scored by precision, as .*, received accuracy\. Train again"):
        train(config, run_dir, resume=True)
    checkpoint = run_dir / "unfinished" / "epoch-0001"
    assert (checkpoint / "history.csv").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "simple_cn"}, UnknownModelError),
        ({"data": "digit"}, DatasetError),
        ({"image_size": (7, 8)}, UsageError),
    ],
)
def test_train_leaves_nothing_when_an_option_is_wrong(config, run_dir, options, error):
    with pytest.raises(error):
        train(replace(config, **options), run_dir)
    assert not run_dir.exists()


def test_train_leaves_nothing_when_an_image_is_broken(config, run_dir, tmp_path, write_classes):
    write_classes(tmp_path / "set", cat=5, dog=5)
    for path in (tmp_path / "set" / "dog").iterdir():
        path.write_bytes(b"GIF89a")
    with pytest.raises(DatasetError, match=r"/dog/\d\.png: "):
        train(replace(config, data=str(tmp_path / "set")), run_dir)
    assert not run_dir.exists()


def test_train_keeps_the_old_run_when_an_image_is_broken(config, run_dir, tmp_path, write_classes, finished_once):
    before = finished_once(replace(config, epochs=1), run_dir)
    write_classes(tmp_path / "set", cat=5, dog=5)
    for path in (tmp_path / "set" / "dog").iterdir():
        path.write_bytes(b"GIF89a")
    with pytest.raises(DatasetError):
        train(replace(config, data=str(tmp_path / "set")), run_dir, overwrite=True)
    assert contents(run_dir) == before


def test_train_refuses_validation_when_a_class_has_one_image(config, run_dir, write_npz, arrays):
    few = {**arrays, "x_train": arrays["x_train"][:4], "y_train": np.array([0, 1, 2, 0])}
    with pytest.raises(UsageError, match=r"validation 0\.25: expected at least 2 .* received 1 of '1'"):
        train(replace(config, data=str(write_npz("few.npz", **few))), run_dir)


def test_train_keeps_the_last_good_epoch_when_it_diverges(config, run_dir):
    wild = replace(config, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(TrainingError, match="diverged"):
        train(wild, run_dir)
    with pytest.raises(RunFolderError, match="interrupted"):
        RunFolder.open(run_dir)


class Keeper(Recorder):
    """Keeps each epoch's weights."""

    def __init__(self, run_dir):
        super().__init__()
        self.run_dir, self.weights = run_dir, []

    def on_epoch(self, metrics, epochs, /):
        super().on_epoch(metrics, epochs)
        model = keras.saving.load_model(self.run_dir / "unfinished" / f"epoch-{metrics.epoch:04d}" / "model.keras")
        self.weights.append(model.get_weights())


def test_train_keeps_the_weights_of_the_epoch_that_is_right_most_often_on_the_val_part(config, run_dir, folders):
    keeper = Keeper(run_dir)
    own = replace(config, data=str(folders), validation=None, epochs=5, learning_rate=0.05, batch_size=6)
    result = train(own, run_dir, progress=keeper)
    model = keras.saving.load_model(run_dir / "best.keras")
    best = model.get_weights()
    samples, preprocessor = load_dataset(str(folders)).val, Preprocessor(RunFolder.open(run_dir).manifest.image_input)
    pixels = np.concatenate([preprocessor(source)[0] for source, _ in samples])
    scores = []
    for weights in keeper.weights:
        model.set_weights(weights)
        logits = model.predict(pixels, verbose=0)
        loss = keras.losses.sparse_categorical_crossentropy(samples.targets.ids, logits, from_logits=True)
        scores.append((np.mean(logits.argmax(axis=1) == samples.targets.ids), -float(np.mean(loss))))
    chosen = scores.index(max(scores))
    assert result.best_epoch == chosen + 1
    assert all((one == other).all() for one, other in zip(best, keeper.weights[chosen], strict=True))
    assert [row.val_metrics["accuracy"] for row in result.history] == pytest.approx([right for right, _ in scores])


@pytest.fixture
def folders(tmp_path, write_classes):
    """A folder of 24 pictures to learn from and 9 to validate with."""
    write_classes(tmp_path / "set" / "train", cat=8, dog=8, owl=8)
    write_classes(tmp_path / "set" / "val", cat=3, dog=3, owl=3)
    return tmp_path / "set"


def spoil(*paths):
    for path in paths:
        path.write_bytes(b"\x89PNG\r\n\x1a\nhalf")


def test_train_validates_with_the_val_part_of_the_data(config, run_dir, folders, caplog):
    own = replace(config, data=str(folders), validation=None, epochs=1)
    with caplog.at_level(logging.INFO, "edgecnn.data.parts"):
        history = train(own, run_dir).history
    assert "validating with the val part of set: 9 images" in caplog.messages
    model = keras.saving.load_model(run_dir / "model.keras")
    dataset = load_dataset(str(folders))
    preprocessor = Preprocessor(RunFolder.open(run_dir).manifest.image_input)
    pixels = np.concatenate([preprocessor(source)[0] for source, _ in dataset.val])
    logits = model.predict(pixels, verbose=0)
    expected = keras.losses.sparse_categorical_crossentropy(dataset.val.targets.ids, logits, from_logits=True)
    assert history[0].val_loss == pytest.approx(float(np.mean(expected)), rel=1e-4)


def test_train_refuses_to_hold_out_beside_a_val_part(config, run_dir, folders):
    with pytest.raises(UsageError, match="the data have a val part of 9 images"):
        train(replace(config, data=str(folders)), run_dir)
    assert not run_dir.exists()


def test_train_names_all_bad_pictures_before_the_first_epoch(config, run_dir, folders):
    spoil(folders / "train/cat/1.png", folders / "train/owl/7.png", folders / "val/dog/2.png")
    recorder = Recorder()
    with pytest.raises(DatasetError, match=r"^3 of 33 .*cat/1\.png: .*owl/7\.png: .*dog/2\.png: .*--skip-bad"):
        train(replace(config, data=str(folders), validation=None), run_dir, progress=recorder)
    assert recorder.stages == ["data", "cache"]
    assert not run_dir.exists()


def test_train_skips_bad_pictures_lists_them_and_notices_others_when_resumed(config, run_dir, folders, caplog):
    bad = [folders / "train/cat/1.png", folders / "val/dog/2.png"]
    spoil(*bad)
    one = replace(config, data=str(folders), validation=None, epochs=1, batch_size=1)
    recorder = Recorder()
    train(one, run_dir, skip_bad=True, progress=recorder)
    assert recorder.batches[-2:] == [(23, 23), (8, 8)]  # of 24 and 9
    rows = list(csv.DictReader((run_dir / "skipped.csv").read_text().splitlines()))
    assert [(row["part"], row["class"], row["picture"]) for row in rows] == [
        ("train", "cat", str(bad[0])),
        ("val", "dog", str(bad[1])),
    ]
    assert "left out 2 pictures that cannot be decoded" in caplog.text
    with pytest.raises(DatasetError, match="2 of 33 pictures"):
        train(replace(one, epochs=2), run_dir, resume=True)
    listed = (run_dir / "skipped.csv").read_text()
    (run_dir / "skipped.csv").write_text("".join(listed.splitlines(keepends=True)[:2]))
    with pytest.raises(UsageError, match=r"expected the 1 pictures of skipped\.csv to be left out, received 2"):
        train(replace(one, epochs=2), run_dir, resume=True, skip_bad=True)
    (run_dir / "skipped.csv").write_text(listed)
    assert train(replace(one, epochs=2), run_dir, resume=True, skip_bad=True).epochs_trained == 1
    assert (run_dir / "skipped.csv").read_text() == listed


def test_train_learns_without_bad_pictures_what_it_learns_where_they_never_were(config, run_dir, folders):
    one = replace(config, data=str(folders), validation=None, epochs=1)
    last = folders / "train/owl/7.png"  # the last one, so that the others keep their positions
    spoil(last)
    train(one, run_dir, skip_bad=True)
    last.unlink()
    train(one, run_dir.with_name("b"))
    assert (weights_of(run_dir) == weights_of(run_dir.with_name("b"))).all()


def test_train_refuses_a_class_whose_pictures_are_all_bad(config, run_dir, folders):
    spoil(*(folders / "train/cat").iterdir())
    with pytest.raises(DatasetError, match="class 'cat': expected a picture in the train part that can be decoded"):
        train(replace(config, data=str(folders), validation=None), run_dir, skip_bad=True)
    assert not run_dir.exists()
