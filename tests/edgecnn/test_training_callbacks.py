from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgecnn.cli import main
from edgecnn.training import RunFolder, TrainConfig, train
from edgecnn.training.history import EpochMetrics
from edgecnn.training.schedules import learning_rate


@pytest.fixture
def config(npz):
    return TrainConfig(
        *("simple_cnn", str(npz)), epochs=3, batch_size=9, image_size=(10, 10), width=0.05, validation=0.25, seed=5
    )


class Interrupted(BaseException):
    pass


class Notes(keras.callbacks.Callback):
    """Writes down what it is told, by Keras or by us."""

    def __init__(self):
        super().__init__()
        self.told, self.logs, self.rates = [], [], []

    def on_train_begin(self, logs=None):
        del logs
        self.told.append(("train", self.params["epochs"], type(self.model).__name__))

    def on_train_end(self, logs=None):
        self.told.append(("trained", sorted(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        del logs
        self.told.append(("epoch", epoch))
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(("scored", epoch))
        self.logs.append(dict(logs))

    def on_train_batch_begin(self, batch, logs=None):
        del logs
        self.told.append(("batch", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.told.append(("learned", batch, sorted(logs)))

    def on_test_begin(self, logs=None):
        del logs
        self.told.append(("test",))

    def on_test_batch_begin(self, batch, logs=None):
        del logs
        self.told.append(("test batch", batch))

    def on_test_batch_end(self, batch, logs=None):
        self.told.append(("tested", batch, sorted(logs)))

    def on_test_end(self, logs=None):
        self.told.append(("test end", sorted(logs)))


class At(Notes):
    """Does something at the end of an epoch, or of a batch of it."""

    def __init__(self, epoch, do, *, batch=None):
        super().__init__()
        self.epoch, self.do, self.batch, self.now = epoch, do, batch, None

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.now = epoch

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if (epoch, None) == (self.epoch, self.batch):
            self.do(self.model)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if (self.now, batch) == (self.epoch, self.batch):
            self.do(self.model)


def stop(model):
    model.stop_training = True


def test_callbacks_are_told_what_fit_tells_them(config, tmp_path):
    """The judge is `fit` itself, over as many batches and epochs."""
    notes = Notes()
    history = train(config, tmp_path / "run", callbacks=[notes]).history
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    by_keras = Notes()
    batches = [tf.data.Dataset.from_tensor_slices((np.ones((n, 2)), np.zeros(n))).batch(9) for n in (18, 6)]
    model.fit(batches[0], validation_data=batches[1], epochs=3, shuffle=False, verbose=0, callbacks=[by_keras])
    named = [("train", 3, "Functional") if one[0] == "train" else one for one in by_keras.told]
    assert notes.told == named
    assert [logs.keys() for logs in notes.logs] == [logs.keys() for logs in by_keras.logs]
    assert notes.logs == [row.series() for row in history]


@pytest.mark.slow
def test_callbacks_change_nothing_by_being_told(config, tmp_path):
    assert train(config, tmp_path / "a", callbacks=[Notes()]).history == train(config, tmp_path / "b").history


@pytest.mark.slow
def test_callbacks_count_epochs_over_the_whole_run_when_it_goes_on(config, tmp_path):
    def interrupt(_):
        raise Interrupted

    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", callbacks=[At(1, interrupt, batch=0)])
    notes = Notes()
    result = train(config, tmp_path / "run", resume=True, callbacks=[notes])
    assert [what for what in notes.told if what[0] == "epoch"] == [("epoch", 1), ("epoch", 2)]
    assert [what[0] for what in notes.told].count("train") == [what[0] for what in notes.told].count("trained") == 1
    assert result.history == train(config, tmp_path / "whole").history
    assert train(config, tmp_path / "run", resume=True, callbacks=[late := Notes()]).epochs_trained == 0
    assert late.told == []


@pytest.mark.slow
@pytest.mark.parametrize("batch", [None, 0])
def test_a_callback_ends_the_run_after_the_epoch(config, tmp_path, batch):
    result = train(config, tmp_path / "run", callbacks=[stopping := At(1, stop, batch=batch)])
    assert (len(result.history), result.stopped_early, result.epochs_trained) == (2, True, 2)
    assert stopping.told[-1][0] == "trained"
    assert len(RunFolder.open(tmp_path / "run").history) == 2
    again = train(config, tmp_path / "run", resume=True)
    assert (again.epochs_trained, again.stopped_early) == (0, True)
    more = train(replace(config, epochs=4), tmp_path / "run", resume=True)
    assert (more.epochs_trained, len(more.history), more.stopped_early) == (2, 4, False)


def test_a_callback_ends_the_run_that_asks_for_it_as_the_epoch_begins(config, tmp_path):
    class Once(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            del epoch, logs
            stop(self.model)

    assert len(train(config, tmp_path / "run", callbacks=[Once()]).history) == 1


def test_keras_own_callbacks_work(config, tmp_path):
    stuck = replace(config, epochs=9, learning_rate=1e-30)
    early = keras.callbacks.EarlyStopping(patience=2)
    saved = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}-{val_accuracy:.2f}.keras")
    result = train(stuck, tmp_path / "run", callbacks=[early, saved])
    assert (len(result.history), result.stopped_early, early.stopped_epoch) == (3, True, 2)
    expected = {f"{row.epoch}-{row.val_metrics['accuracy']:.2f}.keras" for row in result.history}
    assert {path.name for path in tmp_path.glob("*.keras")} == expected


@pytest.mark.slow
def test_callbacks_have_a_say_in_the_learning_rate(config, tmp_path):
    falling = replace(config, schedule="exponential", learning_rate=0.5)
    rates = [learning_rate(falling, [EpochMetrics(1, 0.0, {})] * done) for done in range(3)]
    halve = At(0, lambda model: model.optimizer.learning_rate.assign(model.optimizer.learning_rate / 2))
    train(falling, tmp_path / "halved", callbacks=[halve])
    assert halve.rates == pytest.approx([rates[0], rates[1] / 2, rates[2] / 2])
    given = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch != 1 else 0.125)
    train(falling, tmp_path / "given", callbacks=[given, after := Notes()])
    assert after.rates == pytest.approx([rates[0], 0.125, rates[2]])


def events_of(run_dir):
    """Every scalar in the event files of each part, in their order, by tag: [(step, value), ...]."""
    found = {}
    for part in sorted((run_dir / "tensorboard").iterdir()):
        records = tf.data.TFRecordDataset([str(path) for path in part.iterdir()], buffer_size=262144)
        events = [tf.compat.v1.Event.FromString(record.numpy()) for record in records]
        assert events[0].file_version == "brain.Event:2"
        assert all(event.wall_time > 0 for event in events)
        for event in events:
            for value in event.summary.value:
                found.setdefault((part.name, value.tag), []).append((event.step, value.simple_value))
    return found


def expected_of(history, config):
    expected = {}
    for done, row in enumerate(history):
        train_values = {"loss": row.loss, **row.metrics, "learning_rate": learning_rate(config, history[:done])}
        for part, values in (("train", train_values), ("validation", {"loss": row.val_loss, **row.val_metrics})):
            for name, value in values.items():
                expected.setdefault((part, f"epoch_{name}"), []).append((row.epoch, float(np.float32(value))))
    return expected


def test_tensorboard_has_the_curves_of_both_parts(config, tmp_path):
    falling = replace(config, schedule="cosine")
    history = train(falling, tmp_path / "run", tensorboard=True).history
    assert events_of(tmp_path / "run") == expected_of(history, falling)
    assert not (train(config, tmp_path / "plain").run_dir / "tensorboard").exists()


@pytest.mark.slow
@pytest.mark.parametrize("asked_again", [True, False])
def test_tensorboard_has_each_epoch_once_when_the_run_goes_on(config, tmp_path, asked_again):
    def interrupt(_):
        raise Interrupted

    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", tensorboard=True, callbacks=[At(1, interrupt)])
    assert [step for step, _ in events_of(tmp_path / "run")["train", "epoch_loss"]] == [1]
    with (tmp_path / "run" / "tensorboard" / "train" / "events.out.tfevents.edgecnn").open("ab") as torn:
        torn.write(b"half an event, as a kill leaves it")
    history = train(config, tmp_path / "run", resume=True, tensorboard=asked_again).history
    assert events_of(tmp_path / "run") == expected_of(history, config)


@pytest.mark.slow
def test_tensorboard_is_written_of_a_finished_run_and_removed_with_an_earlier_one(config, tmp_path):
    one = replace(config, epochs=1, validation=0)
    history = train(one, tmp_path / "run").history
    assert train(one, tmp_path / "run", resume=True, tensorboard=True).epochs_trained == 0
    loss, accuracy, rate = (
        float(np.float32(value)) for value in (history[0].loss, history[0].metrics["accuracy"], 1e-3)
    )
    assert events_of(tmp_path / "run") == {
        ("train", "epoch_loss"): [(1, loss)],
        ("train", "epoch_accuracy"): [(1, accuracy)],
        ("train", "epoch_learning_rate"): [(1, rate)],
    }
    train(one, tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_train_writes_event_logs_by_the_command_line_and_records_nothing_of_it(config, tmp_path):
    words = ["--image-size", "10,10", "--width", "0.05", "--epochs", "1", "-o", str(tmp_path / "run")]
    assert main(["train", "simple_cnn", "--data", config.data, *words, "--tensorboard"]) == 0
    assert {part for part, _ in events_of(tmp_path / "run")} == {"train", "validation"}
    assert "tensorboard" not in (tmp_path / "run" / "config.json").read_text()
    assert main(["train", "simple_cnn", "--data", config.data, *words, "--resume"]) == 0
