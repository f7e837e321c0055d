"""One training at a time in a run folder."""

import importlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from edgecnn.errors import DatasetError, RunFolderError, UsageError
from edgecnn.training import RunFolder, TrainConfig, run_folder, train

HOLD = """
import sys
from pathlib import Path
from edgecnn.training import run_folder
with run_folder.locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
DIE = """
import os, signal, sys
from pathlib import Path
from edgecnn.training import run_folder

def save(model):
    model.write_text("half of the weights")
    os.kill(os.getpid(), signal.SIGKILL)

with run_folder.locked(Path(sys.argv[1])):
    run_folder.save_checkpoint(Path(sys.argv[1]), (), save)
"""
# Two of these are let go at one moment, when both have loaded everything.
TRAIN = """
import sys
import keras
from edgecnn.errors import EdgeCNNError
from edgecnn.training import TrainConfig, train
npz, run_dir, seed = sys.argv[1:]
config = TrainConfig("fashion_cnn", npz, epochs=2, image_size=(8, 8), width=0.05, seed=int(seed))
print("ready", flush=True)
sys.stdin.readline()
try:
    train(config, run_dir, overwrite=True)
except EdgeCNNError as error:
    print(f"{type(error).__name__}: {error}", flush=True)
else:
    print("trained", flush=True)
sys.stdin.read()
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def training_elsewhere(run_dir):
    """A living process that trains in the folder."""
    process = start(HOLD, run_dir)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_train_refuses_a_folder_that_another_process_trains_in(npz, run_dir, training_elsewhere, how):
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    with pytest.raises(RunFolderError, match=rf"in the hands of process {training_elsewhere.pid} on .*, since .*-o"):
        train(TrainConfig("fashion_cnn", str(npz)), run_dir, **how)
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before


@pytest.fixture
def damaged(tmp_path):
    """Data that are recognised before the folder is locked, and cannot be read after."""
    path = tmp_path / "damaged.npz"
    path.write_bytes(b"PK\x03\x04 and nothing else")
    return path


def test_the_lock_of_a_killed_training_is_free_and_its_file_does_not_count(run_dir, training_elsewhere, damaged):
    os.kill(training_elsewhere.pid, signal.SIGKILL)
    training_elsewhere.wait()
    assert [path.name for path in run_dir.iterdir()] == [".edgecnn-lock"]
    with pytest.raises(DatasetError):  # and not that the folder is not empty, or in use
        train(TrainConfig("fashion_cnn", str(damaged)), run_dir)
    assert list(run_dir.iterdir()) == []


def test_train_removes_what_it_made_when_the_data_are_wrong(tmp_path, damaged):
    with pytest.raises(DatasetError):
        train(TrainConfig("fashion_cnn", str(damaged)), tmp_path / "deep" / "run")
    assert list(tmp_path.iterdir()) == [damaged]


def test_locked_removes_what_killed_trainings_left(run_dir):
    killed = start(DIE, run_dir)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert len(list((run_dir / "unfinished").iterdir())) == 1
    with run_folder.locked(run_dir):
        assert list((run_dir / "unfinished").iterdir()) == []


def test_train_refuses_a_second_start_when_the_first_has_finished_meanwhile(npz, run_dir, monkeypatch):
    """The folder was empty when the second one looked, and is not when it has the lock."""

    def finished_meanwhile(path, **_):
        path.mkdir()
        (path / "config.json").write_text("{}")

    module = importlib.import_module("edgecnn.training.train")  # which the function of that name hides
    monkeypatch.setattr(module, "_check_place", finished_meanwhile)
    with pytest.raises(UsageError, match="expected an empty folder"):
        train(TrainConfig("fashion_cnn", str(npz)), run_dir)


@pytest.mark.slow
def test_of_two_trainings_that_start_together_one_trains(npz, run_dir):
    for _ in range(2):
        both = [start(TRAIN, npz, run_dir, seed) for seed in (3, 4)]
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline().strip() for process in both]
        for process in both:
            process.communicate()
        winner = said.index("trained")
        assert said[1 - winner].startswith("RunFolderError: ")
        assert f"process {both[winner].pid} on" in said[1 - winner]
        run = RunFolder.open(run_dir)
        assert (run.record.config.seed, len(run.history)) == (3 + winner, 2)
        assert np.isfinite([epoch.loss for epoch in run.history]).all()
        assert ".edgecnn-lock" not in {path.name for path in run_dir.iterdir()}
