"""Fault 39: a clock in 1970, as on boards without a battery, and one that jumps."""

import json
import os

import pytest

pytestmark = pytest.mark.slow

# Read by every Python process of a test: shifts the clock to NOW, and by JUMP seconds at each look where that is given.
CLOCK = """
import datetime, os, time

real, real_ns, localtime, gmtime = time.time, time.time_ns, time.localtime, time.gmtime
shift, jump, looks = float(os.environ["NOW"]) - real(), float(os.environ.get("JUMP", 0)), 0

def now():
    global looks
    looks += 1
    return max(0.0, real() + shift + jump * looks) if jump else real() + shift

class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(now(), tz)

time.time = now
time.time_ns = lambda: int(now() * 1e9)
time.localtime = lambda seconds=None: localtime(now() if seconds is None else seconds)
time.gmtime = lambda seconds=None: gmtime(now() if seconds is None else seconds)
datetime.datetime = Shifted
"""
TRAIN = ("train", "mnist_convnet", "--data", "digits", "--width", "0.1", "--seed", "1", "--batch-size", "256")
CLOCKS = {
    "1969 in New York": {"NOW": "0", "TZ": "America/New_York"},
    "back an hour at each look": {"NOW": "316000000", "JUMP": "-3600", "TZ": "UTC"},  # from 1980 to before it
}


@pytest.fixture
def at(tmp_path, edgecnn):
    (tmp_path / "sitecustomize.py").write_text(CLOCK)

    def run(clock, *arguments):
        done = edgecnn(*arguments, env={"PYTHONPATH": str(tmp_path), **CLOCKS[clock]})
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.mark.parametrize("clock", CLOCKS)
def test_training_export_and_run_work_whatever_the_clock_says(at, tmp_path, digits, clock):
    run_dir, path = tmp_path / "run", tmp_path / "m.onnx"
    at(clock, *TRAIN, "--epochs", "2", "-o", run_dir)
    for index, file in enumerate([*run_dir.iterdir(), *digits.iterdir()]):  # of other ages still
        os.utime(file, ns=((0, 0), (2**32 * 10**9,) * 2)[index % 2])
    at(clock, *TRAIN, "--epochs", "3", "-o", run_dir, "--resume")
    at(clock, "export", run_dir, "-o", path, "--data", "digits")
    assert json.loads((tmp_path / "m.report.json").read_text())["passed"]
    answers = json.loads(at(clock, "run", path, digits, "--format", "json").stdout)
    assert len(answers) == 10
    assert json.loads(at(clock, "verify", path, "--format", "json").stdout)["passed"]
    at(clock, "bench", path, "--runs", "3", "--warmup", "1", "--starts", "1")
    assert sorted(entry.name for entry in run_dir.iterdir() if entry.name.startswith(".")) == []
