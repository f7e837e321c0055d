from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.data.npz import read_npz
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.training.config import TrainConfig
from edgecnn.training.record import DataRecord, RunRecord, check_same_run, new_record

RECORD = RunRecord(
    TrainConfig("mnist_convnet", "digits", epochs=3), DataRecord("digits", "f" * 64, 1438, 359), {"keras": "3.15.1"}
)


@given(
    epochs=st.integers(1, 1000),
    rate=st.one_of(st.none(), st.floats(1e-6, 10)),
    image_size=st.one_of(st.none(), st.tuples(st.integers(1, 999), st.integers(1, 999))),
    validation=st.one_of(st.none(), st.just(0.0), st.floats(0.01, 0.99)),
    seed=st.integers(0, 2**32 - 1),
)
def test_record_round_trips_as_json(epochs, rate, image_size, validation, seed):
    config = TrainConfig(
        "mnist_convnet", "ü", epochs, learning_rate=rate, image_size=image_size, validation=validation, seed=seed
    )
    record = replace(RECORD, config=config)
    assert RunRecord.from_json(record.to_json()) == record


def test_new_record_holds_what_the_data_were(npz):
    dataset = read_npz(npz)
    record = new_record(RECORD.config, dataset)
    assert record.data == DataRecord(str(npz), dataset.fingerprint, 24, 9)
    assert {"edgecnn", "keras", "tensorflow"} <= record.versions.keys()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"epochs": 3', '"epochs": 0'),
        ('"epochs": 3', '"epochs": "3"'),
        ('"epochs": 3', '"epoch": 3'),
        ('"schema_version": 2', '"schema_version": 3'),
        ('"schema_version": 2', '"schema_version": true'),
        ('"image_size": null', '"image_size": [32]'),
        ('"multi_scale": null', '"multi_scale": []'),
        ("{", ""),
    ],
)
def test_from_json_refuses_what_is_damaged(old, new):
    with pytest.raises(RunFolderError, match=r"runs/a/config\.json"):
        RunRecord.from_json(RECORD.to_json().replace(old, new), what="runs/a/config.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 32}, "expected batch_size 64, received 32"),
        ({"seed": 1}, "expected seed 0, received 1"),
        ({"optimizer": "sgd"}, "expected optimizer adam, received sgd; learning_rate 0.001, received 0.01"),
        ({"validation": 0.1}, "expected validation None, received 0.1"),
        ({"schedule": "cosine"}, "expected schedule constant, received cosine"),
        ({"augment": ("flip",)}, r"expected augment \(\), received \('flip',\)"),
        ({"balance": True}, "expected balance False, received True"),
        ({"weights": "imagenet"}, "expected weights none, received imagenet"),
        (
            {"weights": "w.keras", "unfreeze_from": 9},
            r"expected learning_rate 0\.001, received 0\.0001; weights none, .*; unfreeze_from None, received 9",
        ),
        ({"strategy": "mirrored"}, "expected strategy none, received mirrored"),
        ({"epochs": 2}, "expected epochs 3 or more, received 2"),
    ],
)
def test_check_same_run_names_both_values(options, message):
    asked = replace(RECORD, config=replace(RECORD.config, **options))
    with pytest.raises(UsageError, match=f"cannot resume runs/a: {message}"):
        check_same_run(RECORD, asked, where="runs/a")


def test_check_same_run_refuses_more_epochs_where_a_cosine_ends():
    cosine = replace(RECORD, config=replace(RECORD.config, schedule="cosine"))
    asked = replace(cosine, config=replace(cosine.config, epochs=9))
    with pytest.raises(UsageError, match="expected epochs 3, where the cosine ends, received 9"):
        check_same_run(cosine, asked, where="runs/a")


def test_check_same_run_names_both_data():
    asked = replace(RECORD, data=DataRecord("mnist", "e" * 64, 1, 1))
    with pytest.raises(UsageError, match=r"expected data digits \(fingerprint f{12}\), received mnist \(e{12}\)"):
        check_same_run(RECORD, asked, where="runs/a")


@pytest.mark.parametrize("options", [{"epochs": 9}, {"learning_rate": 0.001}, {"data": "./digits.npz"}])
def test_check_same_run_allows_what_changes_no_weight(options):
    check_same_run(RECORD, replace(RECORD, config=replace(RECORD.config, **options)), where="runs/a")
