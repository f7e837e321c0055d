import json
import re

import keras
import numpy as np
import pytest

from edgecnn.cli import main
from edgecnn.data import load_dataset
from edgecnn.errors import UsageError
from edgecnn.models import build_model
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.trained import open_trained
from edgecnn.training import TrainConfig, run_folder
from edgecnn.training.history import EpochMetrics
from edgecnn.training.record import new_record
from edgecnn_exporters.graph.convert import hash_weights
from edgecnn_runtime import Predictor

ACCURACIES = (0.25, 0.75, 0.5)
BEST = "taking best.keras, epoch 2 of 3: val accuracy 0.7500; --checkpoint last takes the last"
LAST = "taking model.keras, epoch 3 of 3: val accuracy 0.5000; --checkpoint best takes epoch 2"


@pytest.fixture
def write_run(npz, tmp_path):
    """Writes a finished run of untrained weights, others after each epoch: `write_run(accuracies)`."""

    def write(accuracies=ACCURACIES):
        run_dir, dataset = tmp_path / "run", load_dataset(str(npz))
        config = TrainConfig("simple_cnn", str(npz), epochs=3, image_size=(10, 10), width=0.05)
        record = new_record(config, dataset)
        manifest = build_manifest(get_spec("simple_cnn"), dataset.labels, image_size=(10, 10), width=0.05)
        (run_dir / "unfinished").mkdir(parents=True)
        run_folder.begin(run_dir, record, manifest)
        history = ()
        for epoch, accuracy in enumerate(accuracies, start=1):
            held_out = () if accuracy is None else (1.0, {"accuracy": accuracy})
            model = build_model("simple_cnn", image_size=(10, 10), num_classes=3, width=0.05, seed=epoch)
            history = (*history, EpochMetrics(epoch, 1.0, {"accuracy": 0.5}, *held_out))
            run_folder.save_checkpoint(run_dir, history, model.save)
        run_folder.finish(run_dir, record)
        return run_dir

    return write


def weights_of(model):
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


def seeded(seed):
    return weights_of(build_model("simple_cnn", image_size=(10, 10), num_classes=3, width=0.05, seed=seed))


@pytest.mark.parametrize(
    ("accuracies", "checkpoint", "epoch", "choice"),
    [
        (ACCURACIES, None, 2, BEST),
        (ACCURACIES, "best", 2, BEST),
        (ACCURACIES, "last", 3, LAST),
        (
            (0.5, 0.25, 0.75),
            None,
            3,
            "taking best.keras, epoch 3 of 3, the last and the best: val accuracy 0.7500",
        ),
        ((None, None), None, 2, None),
        ((None, None), "last", 2, None),
    ],
)
def test_open_trained_takes_the_best_epoch_and_says_so(write_run, caplog, accuracies, checkpoint, epoch, choice):
    trained = open_trained(write_run(accuracies), checkpoint=checkpoint)
    with caplog.at_level("INFO", "edgecnn.trained"):
        model = trained.load()
    assert (weights_of(model) == seeded(epoch)).all()
    assert trained.choice == choice
    assert caplog.messages == ([] if choice is None else [choice])


def test_open_trained_takes_the_last_epoch_when_the_best_is_gone(write_run):
    run_dir = write_run()
    (run_dir / "best.keras").unlink()
    assert open_trained(run_dir).model_path == run_dir / "model.keras"
    with pytest.raises(UsageError, match=r"^--checkpoint best: .* best\.keras is missing: .* Leave it out\.$"):
        open_trained(run_dir, checkpoint="best")


def test_open_trained_refuses_a_choice_where_there_is_none(write_run):
    run_dir = write_run((None,))
    (run_dir / "best.keras").write_bytes(b"not ours: nothing was held out")
    assert open_trained(run_dir).model_path == run_dir / "model.keras"
    with pytest.raises(UsageError, match=r"^--checkpoint best: .*/run: nothing was held out to choose .*--validation"):
        open_trained(run_dir, checkpoint="best")
    with pytest.raises(UsageError, match=r"^--checkpoint: it cannot take effect on \S*/model\.keras"):
        open_trained(run_dir / "model.keras", checkpoint="last")


def test_evaluate_scores_the_checkpoint_that_was_chosen_and_says_which(write_run, npz, capfd, caplog):
    run_dir = write_run()
    scores = {}
    for options, line in (([], BEST), (["--checkpoint", "last"], LAST)):
        assert main(["evaluate", str(run_dir), "--data", str(npz), "--format", "json", *options]) == 0
        assert caplog.messages.count(line) == 1  # which stderr gets
        caplog.clear()
        scores[line] = json.loads(capfd.readouterr().out)
    for line, name in ((BEST, "best.keras"), (LAST, "model.keras")):
        assert main(["evaluate", str(run_dir / name), "--data", str(npz), "--format", "json"]) == 0
        alone = json.loads(capfd.readouterr().out)
        assert {**scores[line], "model": None} == {**alone, "model": None}
    assert scores[BEST] != scores[LAST]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "file.onnx", "--data", "digits", "--checkpoint", "best"], "--checkpoint: a file holds one"),
        (["evaluate", "RUN", "--data", "NPZ", "--checkpoint", "best"], "--checkpoint best: .* nothing was held out"),
        (["export", "RUN", "-o", "FILE", "--checkpoint", "best"], "--checkpoint best: .* nothing was held out"),
        (["export", "simple_cnn", "-o", "FILE", "--weights", "none", "--checkpoint", "last"], "cannot take effect on"),
        (["feature-maps", "RUN", "NPZ", "-o", "maps.png", "--checkpoint", "best"], "nothing was held out"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_refuse_a_checkpoint_that_there_is_not_on_one_line(write_run, npz, tmp_path, capfd, words, message):
    places = {"RUN": str(write_run((None,))), "NPZ": str(npz), "FILE": str(tmp_path / "file.onnx")}
    assert main([places.get(word, word) for word in words]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err.splitlines()[-1])
    assert not (tmp_path / "file.onnx").exists()


@pytest.mark.slow
def test_export_writes_the_checkpoint_that_was_chosen_and_says_which(write_run, tmp_path, caplog):
    run_dir, file = write_run(), tmp_path / "file.onnx"
    for options, line, name in (([], BEST, "best.keras"), (["--checkpoint", "last"], LAST, "model.keras")):
        assert main(["export", str(run_dir), "-o", str(file), *options]) == 0
        assert caplog.messages.count(line) == 1
        caplog.clear()
        exported = Predictor.load(file, device="cpu").evidence.provenance.weights_sha256
        assert exported == hash_weights(keras.saving.load_model(run_dir / name))
