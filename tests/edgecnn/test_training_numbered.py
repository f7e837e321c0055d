import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgecnn.cli import main
from edgecnn.errors import RunFolderError, UnknownModelError, UsageError, WriteError
from edgecnn.training import RunFolder, numbered
from edgecnn.training.numbered import last_unfinished, next_folder, run_place

MODEL = "simple_cnn"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The folder `runs` of the working directory, which is not there yet."""
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def test_next_folder_counts_on_from_the_highest_number_of_its_model(runs):
    for name in ("simple_cnn-2", "simple_cnn-10", "simple_cnn-x", "simple_cnn_se-77", "xsimple_cnn-99"):
        (runs / name).mkdir(parents=True)
    (runs / "simple_cnn-11").write_text("a file has the name too")
    with next_folder(MODEL) as folder:
        assert (folder, list(folder.iterdir())) == (runs / "simple_cnn-12", [])
    with next_folder("lenet5") as folder:
        assert folder == runs / "lenet5-1"


def test_next_folder_goes_where_nothing_was_put_into_it(runs):
    with next_folder(MODEL):
        pass
    assert not runs.exists()
    with next_folder(MODEL) as folder:
        (folder / "config.json").write_text("x")
    with pytest.raises(UsageError), next_folder(MODEL):
        raise UsageError("wrong options")
    assert list(runs.iterdir()) == [runs / "simple_cnn-1"]


@pytest.mark.usefixtures("runs")
def test_next_folder_is_nobody_elses():
    """All at once, and all kept to the end: no two get one."""
    with ExitStack() as kept, ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: kept.enter_context(next_folder(MODEL)), range(64)))
        assert sorted(int(folder.name.rpartition("-")[2]) for folder in folders) == list(range(1, 65))


def test_next_folder_goes_on_when_another_was_faster_or_removed_what_is_above(runs, monkeypatch):
    made, mkdir = [], Path.mkdir

    def slow(self, *arguments, **options):
        made.append(self.name)
        if made.count("simple_cnn-1") == 1 and self.name == "simple_cnn-1":
            runs.rmdir()
        if made.count("simple_cnn-1") == 2 and self.name == "simple_cnn-1":
            mkdir(self)
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", slow)
    with next_folder(MODEL) as folder:
        assert folder == runs / "simple_cnn-2"


def test_next_folder_says_what_cannot_be_made(runs):
    runs.write_text("a file")
    with pytest.raises(WriteError, match=r"cannot write runs: File exists"), next_folder(MODEL):
        pass


def test_run_place_is_the_named_folder_whatever_is_there(runs):
    for options in ({"resume": True}, {"overwrite": True}, {}):
        with run_place(MODEL, Path("mine"), **{"resume": False, "overwrite": False, **options}) as folder:
            assert folder == Path("mine")
    assert not runs.exists()


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (MODEL, {"overwrite": True}, UsageError, "--overwrite: expected the run folder to replace, .* with -o"),
        (MODEL, {"resume": True}, UsageError, "--resume: expected a run of simple_cnn in runs/ that is not finished"),
        ("../simple_cnn", {}, UnknownModelError, "unknown model"),
    ],
)
def test_run_place_refuses_what_needs_a_name(runs, model, options, error, message):
    with (
        pytest.raises(error, match=message),
        run_place(model, None, **{"resume": False, "overwrite": False, **options}),
    ):
        pass
    assert not runs.exists()


@pytest.fixture
def train(npz):
    """Trains for one epoch by the command line: `train("--seed", "3")`."""

    def run(*options, code=0):
        narrow = ["--image-size", "10,10", "--width", "0.05", "--epochs", "1"]
        assert main(["train", MODEL, "--data", str(npz), *narrow, *options]) == code

    return run


def test_train_takes_numbered_folders_says_which_and_resumes_the_last_one(train, runs, capfd):
    train()
    captured = capfd.readouterr()
    assert captured.err.splitlines()[0] == "edgecnn: run folder runs/simple_cnn-1"
    assert captured.out.startswith("runs/simple_cnn-1: epoch 1 of 1: ")
    train("--seed", "3")
    train("--seed", "4")
    assert sorted(runs.iterdir()) == [runs / f"simple_cnn-{number}" for number in (1, 2, 3)]
    train("--resume", code=2)
    assert "in runs/ that is not finished, received none" in capfd.readouterr().err
    for number in (1, 2):  # as after a kill behind the last epoch
        path = runs / f"simple_cnn-{number}" / "config.json"
        tree = json.loads(path.read_text())
        assert tree["config"]["seed"] == (0 if number == 1 else 3)
        path.write_text(json.dumps({**tree, "finished": False}))
    with pytest.raises(RunFolderError, match="interrupted"):
        RunFolder.open(runs / "simple_cnn-2")
    train("--resume", "--seed", "3")
    captured = capfd.readouterr()
    assert captured.out.startswith("runs/simple_cnn-2: ")
    assert RunFolder.open(runs / "simple_cnn-2").record.config.seed == 3
    assert last_unfinished(MODEL) == runs / "simple_cnn-1"


@pytest.mark.parametrize("options", [("--validation", "2"), ("--classes", "4"), ("--overwrite",)])
def test_train_leaves_no_numbered_folder_when_an_option_is_wrong(train, runs, options):
    train(*options, code=2)
    assert not runs.exists()


def test_last_unfinished_is_one_in_which_a_training_began(runs):
    for number, inside in ((1, "unfinished"), (2, "thesis"), (3, None)):
        folder = runs / f"simple_cnn-{number}"
        folder.mkdir(parents=True)
        if inside is not None:
            (folder / inside).mkdir()
    assert last_unfinished(MODEL) == runs / "simple_cnn-1"


def test_last_unfinished_names_a_damaged_run(runs):
    (runs / "simple_cnn-1").mkdir(parents=True)
    (runs / "simple_cnn-1" / "config.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"runs/simple_cnn-1/config\.json is damaged"):
        last_unfinished(MODEL)


@pytest.mark.slow
@pytest.mark.usefixtures("runs")
def test_two_trainings_at_once_get_two_folders(npz):
    command = [sys.executable, "-m", "edgecnn", "train", MODEL, "--data", str(npz), "--image-size", "10,10"]
    command += ["--width", "0.05", "--epochs", "1"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert {re.match(r"(\S+): epoch 1 of 1", line)[1] for line in told} == {"runs/simple_cnn-1", "runs/simple_cnn-2"}
    for number in (1, 2):
        RunFolder.open(numbered.RUNS / f"simple_cnn-{number}")
