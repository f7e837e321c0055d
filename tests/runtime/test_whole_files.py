import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import kills
import pytest

from edgecnn_runtime.lock import Lock
from edgecnn_runtime.whole_files import LOCK_NAME, publish, sweep, workplace

MAKERS = Path(kills.__file__).parent
# Replaces a file, killed at its n-th file operation, for every n; then once more as another process would.
KILLS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from kills import apart
from edgecnn_runtime.whole_files import publish, workplace

def write(folder, text):
    with workplace(folder) as place:
        (place / "new").write_text(text)
        (place / "more").mkdir()
        (place / "more" / "left").write_text("left")
        publish(place / "new", folder / "target")

littered = 0
for n in range(1, 1000):
    folder = Path(sys.argv[1], str(n))
    folder.mkdir()
    (folder / "target").write_text("old")
    if apart(lambda: write(folder, "new"), killed_at=n) == 0:
        break
    littered += len(list(folder.iterdir())) > 1
    assert (folder / "target").read_text() in ("old", "new"), n
    assert apart(lambda: write(folder, "newer")) == 0
    assert [entry.name for entry in folder.iterdir()] == ["target"], (n, list(folder.rglob("*")))
    assert (folder / "target").read_text() == "newer"
print(n, littered)
"""
STAY = """
import sys
from pathlib import Path
from edgecnn_runtime.whole_files import workplace
with workplace(Path(sys.argv[1])) as place:
    (place / "half").write_text("half")
    print(place, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def working_elsewhere(tmp_path):
    """A living process in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAY, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.place = tmp_path / os.path.basename(process.stdout.readline().strip())  # noqa: PTH119
    yield process
    process.kill()
    process.communicate()


def replace(target, text):
    with workplace(target.parent) as place:
        (place / "new").write_text(text)
        publish(place / "new", target)


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_file_and_the_next_start_sweeps(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLS, tmp_path, MAKERS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moments, littered = map(int, done.stdout.split())
    assert moments >= 15
    assert littered > 10


def test_sweep_leaves_what_a_living_process_works_on(tmp_path, working_elsewhere):
    sweep(tmp_path)
    replace(tmp_path / "other", "x")
    assert (working_elsewhere.place / "half").read_text() == "half"
    os.kill(working_elsewhere.pid, signal.SIGKILL)
    working_elsewhere.wait()
    sweep(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]


def test_sweep_leaves_what_is_not_ours(tmp_path):
    names = {
        ".edgecnn-0123456789abcdef": "a file of that name",
        ".edgecnn-notes/notes": "another name",
        ".edgecnn-0123456789abcde0/notes": "no lock file",
        f".edgecnn-0123456789abcde1/{LOCK_NAME}": "a lock file with other content",
        ".edgecnn-0123456789abcde2/notes": "beside an empty lock file",
        f".edgecnn-0123456789abcde2/{LOCK_NAME}": "",
    }
    for name, text in names.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    sweep(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in names} == names


def test_sweep_does_not_follow_links(tmp_path, working_elsewhere):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    (working_elsewhere.place / "link").symlink_to(outside)
    os.kill(working_elsewhere.pid, signal.SIGKILL)
    working_elsewhere.wait()
    (tmp_path / ".edgecnn-0123456789abcdef").symlink_to(outside)
    sweep(tmp_path)
    assert (outside / "mine").read_text() == "mine"
    assert not working_elsewhere.place.exists()


def test_workplace_lets_nobody_else_in_and_its_name_is_another_each_time(tmp_path):
    seen = set()
    for _ in range(3):
        with workplace(tmp_path) as place:
            seen.add(place.name)
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert len(seen) == 3


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_publish_gives_the_file_the_mode_that_the_user_wants(tmp_path, mask):
    before = os.umask(mask)
    try:
        replace(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_publish_replaces_a_link_and_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    replace(tmp_path / "link", "new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "link").is_symlink()


def test_publish_gives_a_folder_its_name(tmp_path):
    with workplace(tmp_path) as place:
        (place / "folder").mkdir()
        (place / "folder" / "file").write_text("x")
        publish(place / "folder", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "x"


def test_workplace_takes_another_one_when_it_was_taken_for_litter(tmp_path, monkeypatch):
    take, taken = Lock.take, []

    def late(path):
        if not taken:
            taken.append(path)
            sweep(tmp_path)  # as another process may, between the making of the folder and of its lock
        return take(path)

    monkeypatch.setattr(Lock, "take", late)
    with workplace(tmp_path) as place:
        assert not taken[0].parent.exists()
        assert place != taken[0].parent


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, OSError, MemoryError])
def test_workplace_is_gone_however_the_block_ends(tmp_path, end):
    def work():
        with workplace(tmp_path) as place:
            (place / "half").write_text("half")
            raise end

    with pytest.raises(end):
        work()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["", "import edgecnn_runtime.whole_files"])
def test_the_runtime_loads_neither_for_an_answer(run_python, code):
    done = run_python(f"import sys, edgecnn_runtime\n{code}\nprint('edgecnn_runtime.lock' in sys.modules)")
    assert done.stdout == f"{bool(code)}\n"
