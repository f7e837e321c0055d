import pytest

from edgecnn.errors import UsageError
from edgecnn.training.config import TrainConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: expected at least 1, received 0"),
        ({"batch_size": 0}, "batch_size: expected at least 1, received 0"),
        ({"optimizer": "lion"}, r"optimizer: expected one of \('sgd', 'rmsprop', 'adam'\), received lion"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0, received 0.0"),
        ({"learning_rate": -0.1}, "received -0.1"),
        ({"learning_rate": float("nan")}, "received nan"),
        ({"learning_rate": float("inf")}, "received inf"),
        ({"width": 0.0}, "width: expected a number above 0, received 0.0"),
        ({"validation": 0.0}, "validation: expected between 0 and 1, received 0.0"),
        ({"validation": 1.0}, "received 1.0"),
        ({"early_stopping": 0, "validation": 0.1}, "early_stopping: expected at least 1, received 0"),
        (
            {"early_stopping": 3},
            "early_stopping: expected a validation part to watch, received none. Give --validation",
        ),
        ({"seed": -1}, "seed: expected 0 to 4294967295, received -1"),
        ({"seed": 2**32}, "received 4294967296"),
    ],
)
def test_train_config_refuses_what_is_out_of_range(options, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig("mnist_convnet", "digits", **options)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.01), ("rmsprop", 0.001), ("adam", 0.001)])
def test_rate_is_the_optimizers_default(optimizer, rate):
    assert TrainConfig("mnist_convnet", "digits", optimizer=optimizer).rate == rate


def test_rate_is_the_given_one():
    assert TrainConfig("mnist_convnet", "digits", learning_rate=0.5).rate == 0.5
