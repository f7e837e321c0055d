import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import keras
import numpy as np
import pytest

from edgecnn.errors import RunFolderError
from edgecnn.training import RunFolder, TrainConfig, train

pytestmark = pytest.mark.slow

# Trains. Ends itself by a signal at the given epoch and image, or when a file of that name is about to be written; a
# number lets no file grow beyond so many bytes, as on a full disk.
SCRIPT = """
import json, os, resource, signal, sys
from edgecnn.training import TrainConfig, train

options, run_dir, where, sent = json.loads(sys.argv[1])

class Killer:
    epochs = 0
    def on_stage(self, stage, /): pass
    def on_epoch_begin(self, epoch, epochs, /): pass
    def on_epoch(self, metrics, epochs, /): self.epochs += 1
    def on_batch(self, done, total, metrics, /):
        if where == [self.epochs + 1, done]:
            os.kill(os.getpid(), sent)

def hook(event, arguments):
    if event == "open" and isinstance(where, str) and where in str(arguments[0]) and arguments[2] & os.O_WRONLY:
        os.kill(os.getpid(), sent)

sys.addaudithook(hook)
if isinstance(where, int):
    resource.setrlimit(resource.RLIMIT_FSIZE, (where, where))
train(TrainConfig(**{**options, "image_size": (8, 8)}), run_dir, progress=Killer())
"""


@pytest.fixture
def config(npz):
    return TrainConfig(
        *("fashion_cnn", str(npz)), epochs=3, batch_size=9, image_size=(8, 8), width=0.05, validation=0.25, seed=5
    )


def train_apart(config, run_dir, where, sent=signal.SIGKILL):
    """Trains in a process of its own, which does not come to its end; gives what it left."""
    arguments = json.dumps([asdict(config), str(run_dir), where, int(sent)])
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, arguments], capture_output=True, text=True, env=environment, check=False
    )


def weights_of(run_dir, name="model.keras"):
    model = keras.saving.load_model(run_dir / name)
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


@pytest.mark.parametrize("where", [[1, 18], [3, 9], "model.keras"], ids=str)
def test_train_resumes_to_the_same_weights_when_killed(config, tmp_path, where):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    ended = train_apart(config, killed, where)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with pytest.raises(RunFolderError, match="--resume"):
        RunFolder.open(killed)
    assert train(config, killed, resume=True).history == train(config, whole).history
    for name in ("model.keras", "best.keras"):
        np.testing.assert_allclose(weights_of(killed, name), weights_of(whole, name), rtol=0, atol=1e-6)
    assert {entry.name for entry in killed.iterdir()} == {entry.name for entry in whole.iterdir()}


def test_train_leaves_a_resumable_folder_when_interrupted_by_a_signal(config, tmp_path):
    ended = train_apart(config, tmp_path / "run", [2, 9], signal.SIGINT)
    assert "KeyboardInterrupt" in ended.stderr
    assert sorted(path.name for path in (tmp_path / "run" / "unfinished").iterdir()) == ["cache", "epoch-0001"]
    assert train(config, tmp_path / "run", resume=True).epochs_trained == 2


def test_train_names_the_file_when_the_disk_is_full(config, tmp_path):
    ended = train_apart(config, tmp_path / "run", 8000)
    last = ended.stderr.splitlines()[-1]
    assert "WriteError: cannot write" in last
    assert last.endswith("unfinished/epoch-0001/model.keras: File too large")
    assert [path.name for path in (tmp_path / "run" / "unfinished").iterdir()] == ["cache"]
    assert train(config, tmp_path / "run", resume=True).epochs_trained == 3
