import json
import os
import signal
import subprocess
import sys

import pytest

from edgecnn_runtime import lock
from edgecnn_runtime.lock import Holder, Lock, LockedError

HOLD = """
import sys, time
from pathlib import Path
from edgecnn_runtime.lock import Lock
held = Lock.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
held.release()
"""
# Takes the lock at the moments that it is told, says each time whether it got it, and keeps it until the next line.
RACE = """
import sys
from pathlib import Path
from edgecnn_runtime.lock import Lock, LockedError
for line in sys.stdin:
    try:
        held = Lock.take(Path(line.strip()))
    except LockedError as error:
        held = None
        print(f"refused by {error.holder.pid}", flush=True)
    else:
        print("won", flush=True)
    sys.stdin.readline()
    if held is not None:
        held.release()
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


@pytest.fixture
def holder_elsewhere(path):
    """A living process that holds the lock."""
    process = start(HOLD, path)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def no_system_locks(monkeypatch):
    monkeypatch.setattr(lock, "flock", None)


def record(path, **changed):
    holder = Holder.here()
    tree = {"edgecnn": "lock", "pid": holder.pid, "host": holder.host, "started": "x", "namespace": holder.namespace}
    path.write_text(json.dumps({**tree, **changed}))


@pytest.fixture
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_take_names_the_living_process_that_holds_the_lock(path, holder_elsewhere):
    with pytest.raises(LockedError) as caught:
        Lock.take(path)
    assert caught.value.holder.pid == holder_elsewhere.pid
    assert str(caught.value.holder).startswith(f"process {holder_elsewhere.pid} on {caught.value.holder.host}, since ")


def test_take_succeeds_at_once_when_the_holder_was_killed(path, holder_elsewhere):
    os.kill(holder_elsewhere.pid, signal.SIGKILL)
    holder_elsewhere.wait()
    held = Lock.take(path)
    assert held.left_by.pid == holder_elsewhere.pid
    assert json.loads(path.read_text())["pid"] == os.getpid()
    held.release()


def test_release_removes_the_file_and_frees_the_lock(path):
    for _ in range(2):
        held = Lock.take(path)
        assert held.left_by is None
        held.release()
        assert not path.exists()


def test_take_is_won_by_one_of_two_that_start_together(tmp_path):
    racers = [start(RACE), start(RACE)]
    rounds = []
    for number in range(20):
        for racer in racers:
            racer.stdin.write(f"{tmp_path / f'lock-{number}'}\n")
        for racer in racers:
            racer.stdin.flush()
        rounds.append([racer.stdout.readline().strip() for racer in racers])
        for racer in racers:
            racer.stdin.write("go on\n")
    for racer in racers:
        racer.communicate()
    for said in rounds:
        winner = said.index("won")
        assert said[1 - winner] == f"refused by {racers[winner].pid}"
    assert list(tmp_path.iterdir()) == []


def test_take_refuses_a_link_and_leaves_what_it_leads_to(path, tmp_path):
    (tmp_path / "mine").write_text("mine")
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic link"):
        Lock.take(path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_take_from_dead_takes_what_a_killed_process_left(path, holder_elsewhere):
    assert Lock.take_from_dead(path) is None
    os.kill(holder_elsewhere.pid, signal.SIGKILL)
    holder_elsewhere.wait()
    Lock.take_from_dead(path).release()
    assert not path.exists()


@pytest.mark.parametrize("text", ["notes", "{}", '{"edgecnn": "lock"}', '{"pid": 1}', "[" * 3000])
def test_take_from_dead_leaves_a_file_that_is_not_ours(path, text):
    path.write_text(text)
    assert Lock.take_from_dead(path) is None
    assert path.read_text() == text


@pytest.mark.usefixtures("no_system_locks")
def test_without_system_locks_the_process_that_is_named_decides(path, dead_pid):
    record(path, pid=os.getppid())
    with pytest.raises(LockedError):
        Lock.take(path)
    assert Lock.take_from_dead(path) is None
    record(path, pid=dead_pid)
    Lock.take_from_dead(path).release()
    record(path, pid=dead_pid)
    Lock.take(path).release()
    assert not path.exists()


@pytest.mark.usefixtures("no_system_locks")
@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}], ids=str)
def test_without_system_locks_a_process_elsewhere_counts_as_alive(path, dead_pid, changed):
    record(path, pid=dead_pid, **changed)
    assert Lock.take_from_dead(path) is None
    with pytest.raises(LockedError, match=f"process {dead_pid} on"):
        Lock.take(path)
