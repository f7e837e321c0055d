import contextlib
from dataclasses import replace

import keras
import numpy as np
import pytest

from edgecnn.errors import RunFolderError, TrainingError
from edgecnn.models import build_manifest, get_spec
from edgecnn.tasks.table import TASKS
from edgecnn.training.config import TrainConfig
from edgecnn.training.feeding import LabelledPixels, TrainingData, new_augmentation
from edgecnn.training.fitting import run_epoch
from edgecnn.training.network import new_trainee, save_model, saved_trainee
from edgecnn.training.trainee import averaged

CONFIG = TrainConfig("fashion_cnn", "unused", batch_size=10, image_size=(8, 8), width=0.05, seed=3)


@pytest.fixture
def training_data(arrays):
    class_ids = arrays["y_train"]
    train = LabelledPixels(arrays["x_train"][..., np.newaxis], {"class_ids": class_ids})
    return TrainingData(train, class_ids, np.arange(18), np.arange(18, 24))


def manifest_of(config):
    return build_manifest(get_spec(config.model), None, image_size=config.image_size, num_classes=3, width=config.width)


def trainee_of(config=CONFIG):
    return new_trainee(config, manifest_of(config))


def epoch_of(trainee, data, config=CONFIG, epoch=1, on_batch=lambda *_: None):
    return run_epoch(trainee, data, config, epoch, outputs=("logits",), on_batch=on_batch)


def weights_of(model):
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


@pytest.mark.parametrize(("name", "optimizer"), [("sgd", "SGD"), ("rmsprop", "RMSprop"), ("adam", "Adam")])
def test_new_trainee_has_the_optimizer_and_its_rate(name, optimizer):
    config = TrainConfig("mnist_convnet", "unused", optimizer=name, learning_rate=0.125, width=0.05)
    model = trainee_of(config).model
    assert type(model.optimizer).__name__ == optimizer
    assert float(model.optimizer.learning_rate) == 0.125
    assert model.output_shape == (None, 3)


def test_new_trainee_runs_sgd_with_momentum():
    assert (
        trainee_of(TrainConfig("mnist_convnet", "unused", optimizer="sgd", width=0.05)).model.optimizer.momentum == 0.9
    )


def test_run_epoch_shows_every_learned_image_once(training_data):
    seen = []

    class Spy:
        shape = training_data.train.pixels.shape

        def __getitem__(self, chosen):
            seen.extend(chosen.tolist())
            return training_data.train.pixels[chosen]

    spied = LabelledPixels(Spy(), training_data.train.arrays)
    epoch_of(trainee_of(), replace(training_data, train=spied, held_out=np.arange(0)))
    assert sorted(seen) == list(range(18))
    assert seen != list(range(18))


def test_run_epoch_depends_on_seed_and_epoch_alone(training_data):
    trainee = trainee_of()
    model = trainee.model
    model.optimizer.build(model.trainable_variables)
    fresh = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]

    def trained(epoch, seed):
        for variable, value in zip((*model.variables, *model.optimizer.variables), fresh, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(seed)  # what happened before must not matter
        epoch_of(trainee, training_data, epoch=epoch)
        return weights_of(model)

    first = trained(1, seed=3)
    assert (trained(1, seed=9) == first).all()
    assert (trained(2, seed=3) != first).any()


STILL = replace(CONFIG, model="simple_cnn", image_size=(10, 10), width=0.1, optimizer="sgd", learning_rate=1e-30)
STILL = replace(STILL, augment=("shift", "contrast"))


@pytest.fixture
def augmented_data(training_data):
    pixels = np.pad(training_data.train.pixels, [(0, 0), (1, 1), (1, 1), (0, 0)])
    augmentation = new_augmentation(STILL, TASKS["classification"], pixels, np.arange(18))
    return replace(training_data, train=replace(training_data.train, pixels=pixels), augmentation=augmentation)


def test_run_epoch_learns_from_augmented_images_and_validates_with_the_images_themselves(augmented_data):
    trainee = trainee_of(STILL)  # whose weights stay what they are
    plain = epoch_of(trainee, replace(augmented_data, augmentation=None), STILL)
    augmented = epoch_of(trainee, augmented_data, STILL)
    assert augmented.loss != pytest.approx(plain.loss, rel=1e-6)
    assert augmented.val_loss == pytest.approx(plain.val_loss, rel=1e-6)


def test_run_epoch_augments_each_epoch_anew(augmented_data):
    trainee = trainee_of(STILL)
    first, again, second = (epoch_of(trainee, augmented_data, STILL, epoch=epoch).loss for epoch in (1, 1, 2))
    assert first == again
    assert first != pytest.approx(second, rel=1e-6)


def test_run_epoch_scores_the_held_out_part_without_dropout(training_data):
    trainee = trainee_of()
    metrics = epoch_of(trainee, training_data)
    logits = trainee.model(training_data.train.pixels[18:], training=False)
    right = np.argmax(logits, axis=1) == training_data.classes[18:]
    assert metrics.val_metrics == {"accuracy": pytest.approx(right.mean())}


def test_run_epoch_tells_every_batch(training_data):
    told = []
    epoch_of(trainee_of(), training_data, on_batch=lambda *news: told.append(news))
    assert [(done, total) for done, total, _ in told] == [(10, 18), (18, 18)]
    assert told[0][2].keys() == {"loss", "accuracy"}


def test_run_epoch_puts_what_is_judged_before_the_metrics_of_the_held_out_part(training_data):
    trainee = trainee_of()

    def judge():  # by the weights that the epoch came to
        return {"ap50": float(weights_of(trainee.model).sum())}

    metrics = run_epoch(trainee, training_data, CONFIG, 1, outputs=("logits",), on_batch=lambda *_: None, judge=judge)
    assert list(metrics.val_metrics) == ["ap50", "accuracy"]
    assert metrics.val_metrics["ap50"] == float(weights_of(trainee.model).sum())
    assert list(metrics.metrics) == ["accuracy"]


def test_run_epoch_stops_when_training_diverges(training_data):
    trainee = trainee_of()
    trainee.model.set_weights([np.full_like(weight, np.nan) for weight in trainee.model.get_weights()])
    with pytest.raises(TrainingError, match=r"diverged in epoch 1: expected a finite loss.*rate, which is 0\.001"):
        epoch_of(trainee, training_data)


@pytest.mark.slow
def test_saved_trainee_goes_on_with_the_optimizers_state(training_data, tmp_path):
    trainee = trainee_of()
    epoch_of(trainee, training_data)
    save_model(trainee.model, tmp_path / "model.keras", manifest_of(CONFIG))
    again = saved_trainee(tmp_path / "model.keras", CONFIG, manifest_of(CONFIG))
    for candidate in (trainee, again):
        epoch_of(candidate, training_data, epoch=2)
    assert (weights_of(trainee.model) == weights_of(again.model)).all()


def test_saved_trainee_refuses_a_damaged_file(tmp_path):
    path = tmp_path / "model.keras"
    trainee_of().model.save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RunFolderError, match=r"the checkpoint is damaged: .*model\.keras"):
        saved_trainee(path, CONFIG, manifest_of(CONFIG))


def test_saved_trainee_refuses_a_model_that_was_never_compiled(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "model.keras")
    with pytest.raises(RunFolderError, match="expected a model with its optimizer"):
        saved_trainee(tmp_path / "model.keras", CONFIG, manifest_of(CONFIG))


def test_saved_trainee_refuses_a_model_without_the_outputs_of_the_manifest(tmp_path):
    image = keras.Input((2,))
    other = keras.Model(image, keras.layers.Dense(1, name="others")(image))
    other.compile("sgd", "mse")
    other.save(tmp_path / "model.keras")
    with pytest.raises(RunFolderError, match=r"expected the outputs \['logits'\], received \['others'\]"):
        saved_trainee(tmp_path / "model.keras", CONFIG, manifest_of(CONFIG))


def test_the_rate_grows_over_the_first_batches_of_the_run_and_not_of_each_epoch(training_data):
    config = replace(CONFIG, warm_up=3, learning_rate=0.5)  # an epoch has two batches
    trainee, rates = trainee_of(config), []
    for epoch in (1, 2):
        trainee.model.optimizer.learning_rate = config.rate
        epoch_of(
            *(trainee, training_data, config, epoch),
            on_batch=lambda *_: rates.append(float(trainee.model.optimizer.learning_rate)),
        )
    assert rates == pytest.approx([0.5 / 3, 0.5 * 2 / 3, 0.5, 0.5])


@pytest.mark.slow
def test_the_average_is_that_of_the_weights_after_each_step_which_learn_on_as_without_it(training_data):
    config, averages = replace(CONFIG, ema=0.7), []
    plain, averaging = trainee_of(), trainee_of(config)
    for epoch in (1, 2):
        epoch_of(plain, training_data, epoch=epoch)

        def follow(*_):
            now = [variable.numpy() for variable in averaging.model.trainable_variables]
            last = averages[-1] if averages else now  # the first step has no average before it
            averages.append([0.7 * old + (1 - 0.7) * new for old, new in zip(last, now, strict=True)])

        epoch_of(averaging, training_data, config, epoch, on_batch=follow)
        own = weights_of(averaging.model)
        assert (own == weights_of(plain.model)).all()
        with averaged(averaging.model):
            given = [variable.numpy() for variable in averaging.model.trainable_variables]
        for value, expected in zip(given, averages[-1], strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
        assert (weights_of(averaging.model) == own).all()
    with averaged(plain.model):  # it keeps none
        assert (weights_of(plain.model) == weights_of(averaging.model)).all()


@pytest.mark.slow
def test_held_out_images_are_scored_with_the_averages(training_data):
    config = replace(CONFIG, ema=0.5, learning_rate=0.05)
    trainee = trainee_of(config)
    metrics = epoch_of(trainee, training_data, config)
    pixels, truth = training_data.train.pixels[18:24], training_data.train.arrays["class_ids"][18:24]
    losses = []
    for weights in (averaged(trainee.model), contextlib.nullcontext()):
        with weights:
            scores = keras.ops.log_softmax(trainee.model(pixels, training=False))
        losses.append(-float(np.mean(np.take_along_axis(np.asarray(scores), truth[:, np.newaxis], 1))))
    assert metrics.val_loss == pytest.approx(losses[0], rel=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-3


@pytest.mark.slow
def test_the_averages_are_what_is_saved_and_the_weights_are_what_goes_on(training_data, tmp_path):
    config = replace(CONFIG, ema=0.5)
    trainee, manifest = trainee_of(config), manifest_of(config)
    epoch_of(trainee, training_data, config)
    save_model(trainee.model, tmp_path / "model.keras", manifest)
    with averaged(trainee.model):
        expected = weights_of(trainee.model)
    assert (weights_of(keras.models.load_model(tmp_path / "model.keras")) == expected).all()
    resumed = saved_trainee(tmp_path / "model.keras", config, manifest)
    for one in (trainee, resumed):
        epoch_of(one, training_data, config, epoch=2)
    assert (weights_of(resumed.model) == weights_of(trainee.model)).all()
    with averaged(trainee.model), averaged(resumed.model):
        assert (weights_of(resumed.model) == weights_of(trainee.model)).all()
