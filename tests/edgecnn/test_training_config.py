from dataclasses import replace

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
        ({"validation": -0.1}, "validation: expected 0, or between 0 and 1, received -0.1"),
        ({"validation": 1.0}, "received 1.0"),
        ({"early_stopping": 0, "validation": 0.1}, "early_stopping: expected at least 1, received 0"),
        ({"schedule": "linear"}, r"schedule: expected one of \('constant', .*'plateau'\), received linear"),
        (
            {"augment": ("mirror",)},
            "augment: expected names of shift, .*alexnet; where there are boxes or masks flip, .*, received 'mirror'",
        ),
        ({"augment": ("",)}, "augment: expected names of .* received ''"),
        ({"augment": ("flip", "flip")}, "augment: expected each name once, received flip,flip"),
        ({"strategy": "tpu"}, r"strategy: expected one of \('none', 'mirrored'\), received tpu"),
        ({"num_classes": 0}, "classes: expected at least 1, received 0"),
        ({"weights": "imagenet", "freeze": "head"}, "freeze: expected backbone, received head"),
        ({"weights": "imagenet", "unfreeze_from": -1}, "unfreeze_from: expected 0 or more, received -1"),
        ({"freeze": "backbone"}, "freeze: expected weights to keep, received none. Give --weights imagenet or a file"),
        ({"unfreeze_from": 3}, "unfreeze_from: expected weights to keep, received none"),
        (
            {"weights": "imagenet", "freeze": "backbone", "unfreeze_from": 3},
            "expected --freeze or --unfreeze-from, received both",
        ),
        ({"class_weight": 1.1}, "class_weight: expected 0 to 1, received 1.1"),
        ({"class_weight": float("nan")}, "class_weight: expected 0 to 1, received nan"),
        ({"warm_up": -1}, "warm_up: expected 0 batches or more, received -1"),
        ({"ema": 1.0}, "ema: expected between 0 and 1, received 1.0"),
        ({"ema": 0.0}, "received 0.0"),
        ({"multi_scale": (64, 32)}, r"multi_scale: expected two sides, the smaller one first, received \(64, 32\)"),
        ({"multi_scale": (0, 32)}, r"received \(0, 32\)"),
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


def test_rate_is_a_tenth_of_the_default_when_a_backbone_is_unfrozen():
    config = TrainConfig("resnet34", "digits", optimizer="sgd", weights="imagenet", unfreeze_from=9)
    assert config.rate == 0.001
    assert replace(config, learning_rate=0.5).rate == 0.5
    assert replace(config, unfreeze_from=None, freeze="backbone").rate == 0.01


@pytest.mark.parametrize(
    ("options", "val_images", "message"),
    [
        (
            {"early_stopping": 3, "validation": 0},
            0,
            "early_stopping: expected a validation part to watch, received none, since nothing is held out. Give --val",
        ),
        ({"schedule": "plateau", "validation": 0}, 0, "schedule plateau: expected a validation part to watch"),
        (
            {"validation": 0.1},
            7,
            "validation 0.1: expected no fraction .* a val part of 7 images.* Leave --validation out",
        ),
    ],
)
def test_check_validation_refuses_what_contradicts_the_data(options, val_images, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig("simple_cnn", "digits", **options).check_validation(val_images)


@pytest.mark.parametrize(
    ("options", "val_images"),
    [
        ({"early_stopping": 3, "schedule": "plateau"}, 7),
        ({"early_stopping": 3, "validation": 0}, 7),
        ({"early_stopping": 3, "schedule": "plateau"}, 0),
        ({"validation": 0.1}, 0),
        ({"validation": 0}, 7),
        ({}, 0),
    ],
)
def test_check_validation_takes_the_part_of_the_data_or_a_fraction(options, val_images):
    TrainConfig("simple_cnn", "digits", **options).check_validation(val_images)
