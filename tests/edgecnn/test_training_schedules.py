import pytest

from edgecnn.training.config import TrainConfig
from edgecnn.training.history import EpochMetrics
from edgecnn.training.schedules import learning_rate


def rates(schedule, val_losses, epochs=4):
    config = TrainConfig("mnist_convnet", "digits", epochs=epochs, learning_rate=0.8, schedule=schedule, validation=0.1)
    history = [EpochMetrics(index + 1, 1.0, {}, loss) for index, loss in enumerate(val_losses)]
    return [learning_rate(config, history[:done]) for done in range(len(history) + 1)]


def test_learning_rate_constant_stays():
    assert rates("constant", [1, 1, 1]) == [0.8, 0.8, 0.8, 0.8]


def test_learning_rate_exponential_loses_a_tenth_each_epoch():
    assert rates("exponential", [1, 1, 1]) == pytest.approx([0.8, 0.72, 0.648, 0.5832])


def test_learning_rate_cosine_falls_along_half_a_wave():
    assert rates("cosine", [1, 1, 1]) == pytest.approx([0.8, 0.6828427, 0.4, 0.1171573])


def test_learning_rate_plateau_halves_after_three_epochs_without_a_better_loss():
    assert rates("plateau", [0.5, 0.6, 0.5, 0.55, 0.4, 0.4, 0.4, 0.4, 0.4]) == pytest.approx(
        [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2]
    )
