import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import kills
import pytest

from edgecnn.errors import RunFolderError, WriteError
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.training import run_folder
from edgecnn.training.config import TrainConfig
from edgecnn.training.history import EpochMetrics, history_to_csv
from edgecnn.training.record import DataRecord, RunRecord

RECORD = RunRecord(TrainConfig("mnist_convnet", "digits", epochs=3), DataRecord("digits", "f" * 64, 9, 3), {})
MANIFEST = build_manifest(get_spec("mnist_convnet"), ("a", "b"))
HELD_OUT = {1: 0.5, 2: 0.75, 3: 0.25}  # the second epoch is the best
HISTORY = tuple(EpochMetrics(n, 1 / n, {"accuracy": 0.5}, 1.0, {"accuracy": HELD_OUT[n]}) for n in (1, 2, 3))


def saves(text):
    """What `model.save` does, with a text for a model."""
    return lambda path: path.write_text(text) and None


@pytest.fixture
def begun(tmp_path):
    """A run at its beginning."""
    (tmp_path / "unfinished").mkdir()
    run_folder.begin(tmp_path, RECORD, MANIFEST)
    return tmp_path


@pytest.fixture
def finished(begun):
    for epoch in (1, 2, 3):
        run_folder.save_checkpoint(begun, HISTORY[:epoch], saves(f"weights {epoch}"))
    run_folder.finish(begun, RECORD)
    return begun


def test_open_reads_a_finished_run(finished):
    folder = run_folder.RunFolder.open(finished)
    assert (folder.manifest, folder.history, folder.record) == (MANIFEST, HISTORY, replace(RECORD, finished=True))
    assert folder.model_path.read_text() == "weights 3"
    assert (folder.best_epoch, folder.best_path.read_text()) == (2, "weights 2")


def test_finish_leaves_nothing_but_the_results(finished):
    assert sorted(entry.name for entry in finished.iterdir()) == [
        "best.keras",
        "config.json",
        "history.csv",
        "manifest.json",
        "model.keras",
    ]


def test_open_says_that_resuming_would_finish_it(begun):
    run_folder.save_checkpoint(begun, HISTORY[:2], saves("weights 2"))
    with pytest.raises(RunFolderError, match=r"interrupted after epoch 2 of 3\. Finish it with .* --resume"):
        run_folder.RunFolder.open(begun)


def test_open_says_that_resuming_would_begin_it(begun):
    with pytest.raises(RunFolderError, match=r"interrupted before its first epoch was done.* --resume"):
        run_folder.RunFolder.open(begun)


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "model.keras", "history.csv"])
def test_open_names_a_missing_file(finished, name):
    (finished / name).unlink()
    with pytest.raises(RunFolderError, match=name.replace(".", r"\.") + " is missing"):
        run_folder.RunFolder.open(finished)


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "history.csv"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "half", "bytes", "deep"])
def test_open_names_a_damaged_file(finished, name, content):
    (finished / name).write_bytes(content)
    with pytest.raises(RunFolderError, match=name.replace(".", r"\.")) as caught:
        run_folder.RunFolder.open(finished)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "file", "empty"])
def test_open_refuses_what_is_no_run_folder(tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match=name):
        run_folder.RunFolder.open(tmp_path / name)


def test_save_checkpoint_keeps_the_last_one_alone(begun):
    for epoch in (1, 2):
        run_folder.save_checkpoint(begun, HISTORY[:epoch], saves(f"weights {epoch}"))
    assert [entry.name for entry in (begun / "unfinished").iterdir()] == ["epoch-0002"]
    checkpoint = run_folder.latest_checkpoint(begun)
    assert (checkpoint.epoch, checkpoint.model_path.read_text()) == (2, "weights 2")
    assert run_folder.read_history(checkpoint.history_path) == HISTORY[:2]


@pytest.mark.parametrize(("better", "best"), [("higher", [1, 2, 2]), ("lower", [1, 1, 3])])
def test_save_checkpoint_keeps_the_best_model_beside_the_last(begun, better, best):
    kept = []
    for epoch in (1, 2, 3):
        run_folder.save_checkpoint(begun, HISTORY[:epoch], saves(f"weights {epoch}"), better=better)
        kept.append((run_folder.latest_checkpoint(begun).path / "best.keras").read_text())
    assert kept == [f"weights {epoch}" for epoch in best]


def test_save_checkpoint_keeps_no_best_model_when_nothing_is_held_out(begun):
    history = tuple(EpochMetrics(epoch, 1.0, {"accuracy": 0.5}) for epoch in (1, 2))
    for epoch in (1, 2):
        run_folder.save_checkpoint(begun, history[:epoch], saves(f"weights {epoch}"))
    assert not (run_folder.latest_checkpoint(begun).path / "best.keras").exists()
    run_folder.finish(begun, RECORD)
    assert run_folder.RunFolder.open(begun).best_epoch is None


def test_save_checkpoint_takes_no_other_epoch_for_the_best_when_that_one_is_gone(begun):
    for epoch in (1, 2):
        run_folder.save_checkpoint(begun, HISTORY[:epoch], saves(f"weights {epoch}"))
    (begun / "unfinished" / "epoch-0002" / "best.keras").unlink()  # as in a run of an earlier version
    run_folder.save_checkpoint(begun, HISTORY, saves("weights 3"))
    assert not (begun / "unfinished" / "epoch-0003" / "best.keras").exists()
    better = (*HISTORY, EpochMetrics(4, 0.1, {"accuracy": 0.5}, 1.0, {"accuracy": 0.875}))
    run_folder.save_checkpoint(begun, better, saves("weights 4"))
    assert (begun / "unfinished" / "epoch-0004" / "best.keras").read_text() == "weights 4"


def test_save_checkpoint_keeps_the_earlier_one_when_the_disk_is_full(begun, disk_with_room_for):
    run_folder.save_checkpoint(begun, HISTORY[:1], saves("weights 1"))
    with (
        disk_with_room_for(1000),
        pytest.raises(WriteError, match=r"cannot write \S*/unfinished/epoch-0002/model\.keras: File too large"),
    ):
        run_folder.save_checkpoint(begun, HISTORY[:2], saves("weights 2" * 1000))
    assert [entry.name for entry in (begun / "unfinished").iterdir()] == ["epoch-0001"]


def test_begin_removes_what_an_earlier_run_left(finished):
    (finished / "unfinished" / "epoch-0007").mkdir(parents=True)
    run_folder.begin(finished, RECORD, MANIFEST)
    assert sorted(entry.name for entry in finished.iterdir()) == ["config.json", "manifest.json", "unfinished"]
    assert run_folder.latest_checkpoint(finished) is None


def test_reopen_goes_on_from_the_finished_model(finished):
    run_folder.reopen(finished, replace(RECORD, config=replace(RECORD.config, epochs=5)), HISTORY)
    checkpoint = run_folder.latest_checkpoint(finished)
    assert (checkpoint.epoch, checkpoint.model_path.read_text()) == (3, "weights 3")
    assert (checkpoint.path / "best.keras").read_text() == "weights 2"
    assert run_folder.read_record(finished).config.epochs == 5
    assert not run_folder.read_record(finished).finished


def test_a_run_that_goes_on_compares_with_the_best_epoch_so_far(finished):
    run_folder.reopen(finished, RECORD, HISTORY)
    for accuracy, best in ((0.625, 2), (0.8, 5)):
        folder = run_folder.latest_checkpoint(finished)
        history = run_folder.read_history(folder.history_path)
        history = (*history, EpochMetrics(len(history) + 1, 0.1, {"accuracy": 0.5}, 1.0, {"accuracy": accuracy}))
        run_folder.save_checkpoint(finished, history, saves(f"weights {len(history)}"))
        assert (run_folder.latest_checkpoint(finished).path / "best.keras").read_text() == f"weights {best}"
    run_folder.finish(finished, RECORD)
    folder = run_folder.RunFolder.open(finished)
    assert (folder.best_epoch, folder.best_path.read_text()) == (5, "weights 5")


def test_finish_refuses_a_run_without_a_checkpoint(begun):
    with pytest.raises(RunFolderError, match="expected a checkpoint"):
        run_folder.finish(begun, RECORD)


def test_history_is_readable_while_training_goes_on(begun):
    run_folder.save_checkpoint(begun, HISTORY[:2], saves("weights 2"))
    assert (begun / "history.csv").read_bytes().decode() == history_to_csv(HISTORY[:2])


# Kills a process at its n-th file operation, for every n, then resumes in the way `train` does.
KILLS = """
import sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from kills import apart
from dataclasses import replace
from edgecnn.errors import RunFolderError
from edgecnn.training import run_folder
from edgecnn.training.history import EpochMetrics
from test_training_run_folder import HISTORY, MANIFEST, RECORD, saves

def go(path):
    record = run_folder.read_record(path) if run_folder.is_run_folder(path) else None
    if record is not None and record.finished:
        run_folder.remove_unfinished(path)
        return
    checkpoint = run_folder.latest_checkpoint(path)
    history = run_folder.read_history(checkpoint.history_path) if checkpoint else ()
    if checkpoint:
        assert checkpoint.model_path.read_text() == f"weights {len(history)}", "checkpoint is not whole"
        assert history == HISTORY[: checkpoint.epoch], "history does not fit"
        best = (checkpoint.path / "best.keras").read_text()
        assert best == f"weights {min(len(history), 2)}", "best.keras does not fit"
    (path / "unfinished").mkdir(parents=True, exist_ok=True)
    if not history:
        run_folder.begin(path, RECORD, MANIFEST)
    for epoch in range(len(history) + 1, 4):
        run_folder.save_checkpoint(path, HISTORY[:epoch], saves(f"weights {epoch}"))
    run_folder.finish(path, RECORD)

warnings.simplefilter("ignore")
for n in range(1, 1000):
    path = Path(sys.argv[1], str(n))
    if apart(lambda: go(path), killed_at=n) == 0:
        break
    go(path)
    folder = run_folder.RunFolder.open(path)
    assert folder.model_path.read_text() == "weights 3" and folder.history == HISTORY and folder.manifest == MANIFEST
    assert folder.best_path.read_text() == "weights 2" and folder.best_epoch == 2
    assert not (path / "unfinished").exists()
print(n)
"""


@pytest.mark.slow
def test_run_folder_is_resumable_when_killed_at_any_file_operation(tmp_path, request):
    done = subprocess.run(
        [sys.executable, "-c", KILLS, tmp_path, Path(kills.__file__).parent],
        capture_output=True,
        text=True,
        cwd=request.path.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40
