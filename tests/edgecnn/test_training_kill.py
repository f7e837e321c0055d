import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from edgecnn.errors import RunFolderError
from edgecnn.training import RunFolder

pytestmark = pytest.mark.slow

# Trains; ends itself by a signal at the given epoch and batch, or when a file of that name is about to be written.
SCRIPT = """
import json, os, signal, sys
from edgecnn.training import TrainConfig, train

options, run_dir, resume, where, sent = json.loads(sys.argv[1])

class Killer:
    epochs = 0
    def on_stage(self, stage, /): pass
    def on_epoch(self, metrics, epochs, /): self.epochs += 1
    def on_batch(self, done, total, metrics, /):
        if where == [self.epochs + 1, done]:
            os.kill(os.getpid(), sent)

def hook(event, arguments):
    if event == "open" and isinstance(where, str) and where in str(arguments[0]) and arguments[2] & os.O_WRONLY:
        os.kill(os.getpid(), sent)

sys.addaudithook(hook)
options["image_size"] = tuple(options["image_size"])
train(TrainConfig(**options), run_dir, resume=resume, progress=Killer())
"""


@pytest.fixture
def run(npz):
    """Trains in a process of its own; gives its end."""
    options = {
        **{"model": "fashion_cnn", "data": str(npz), "epochs": 3, "batch_size": 9, "image_size": (8, 8)},
        **{"width": 0.05, "validation": 0.25, "seed": 5},
    }

    def start(run_dir, *, resume=False, where=None, sent=signal.SIGKILL):
        arguments = json.dumps([options, str(run_dir), resume, where, int(sent)])
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, arguments], capture_output=True, text=True, env=environment, check=False
        )

    return start


def weights_of(run_dir):
    model = keras.saving.load_model(run_dir / "model.keras")
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


@pytest.mark.parametrize("where", [[1, 2], [3, 1], "model.keras"], ids=str)
def test_train_resumes_to_the_same_weights_when_killed(run, tmp_path, where):
    killed = run(tmp_path / "killed", where=where)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with pytest.raises(RunFolderError, match="--resume"):
        RunFolder.open(tmp_path / "killed")
    resumed, whole = run(tmp_path / "killed", resume=True), run(tmp_path / "whole")
    assert (resumed.returncode, whole.returncode) == (0, 0), resumed.stderr + whole.stderr
    assert RunFolder.open(tmp_path / "killed").history == RunFolder.open(tmp_path / "whole").history
    np.testing.assert_allclose(weights_of(tmp_path / "killed"), weights_of(tmp_path / "whole"), rtol=0, atol=1e-6)
    assert sorted(entry.name for entry in (tmp_path / "killed").iterdir()) == sorted(
        entry.name for entry in (tmp_path / "whole").iterdir()
    )


def test_train_leaves_a_resumable_folder_when_interrupted_by_a_signal(run, tmp_path):
    stopped = run(tmp_path / "run", where=[2, 1], sent=signal.SIGINT)
    assert "KeyboardInterrupt" in stopped.stderr
    assert sorted(path.name for path in (tmp_path / "run" / "unfinished").iterdir()) == ["cache", "epoch-0001"]
    assert run(tmp_path / "run", resume=True).returncode == 0
    assert len(RunFolder.open(tmp_path / "run").history) == 3
