import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import kills
import pytest

from edgecnn_exporters import report as report_module
from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.report import Outcome
from edgecnn_runtime.report_file import hash_file, read_report, report_path
from edgecnn_runtime.whole_files import publish

MAKERS = Path(kills.__file__).parent
# Gives a file and its report their names, killed at its n-th file operation, for every n.
KILLS = """
import hashlib, json, os, pickle, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from kills import apart
from edgecnn_exporters.files import working_folder
from edgecnn_exporters.report import Outcome

parity, evidence = pickle.loads(Path(sys.argv[2]).read_bytes())

def export(target, content):
    with working_folder(target) as folder:
        (folder / "candidate.onnx").write_bytes(content)
        Outcome(target, folder, {}, parity).publish(evidence, folder / "candidate.onnx")

def pair(target):
    report = target.with_name("m.report.json")
    told = json.loads(report.read_text())["file_sha256"] if report.exists() else None
    return target.read_bytes(), told

def named(content):
    return content, hashlib.sha256(content).hexdigest()

states = set()
for n in range(1, 1000):
    target = Path(sys.argv[1], str(n), "m.onnx")
    target.parent.mkdir()
    assert apart(lambda: export(target, b"old")) == 0
    if apart(lambda: export(target, b"new"), killed_at=n) == 0:
        break
    found = pair(target)
    assert found in (named(b"old"), named(b"new"), (b"old", None), (b"new", None)), (n, found)
    states.add((found[0], found[1] is not None))
    assert apart(lambda: export(target, b"newer")) == 0
    assert pair(target) == named(b"newer")
    assert sorted(os.listdir(target.parent)) == ["m.onnx", "m.report.json"], (n, os.listdir(target.parent))
print(n, len(states))
"""


@pytest.fixture
def target(tmp_path):
    """An earlier file with its report."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    report = {"file": "m.onnx", "file_sha256": hash_file(path), "passed": True, "parity": {}, "evidence": None}
    report_path(path).write_text(json.dumps(report))
    return path


@pytest.fixture
def made(exported, target):
    """A new file, and how it came out."""
    folder = target.parent / "temporary"
    folder.mkdir()
    (folder / "candidate.onnx").write_bytes(b"new")
    return Outcome(target, folder, {"parity": 0.5}, exported.parity)


def fail_at(monkeypatch, number, error):
    """Lets the n-th renaming into place fail."""
    calls = []

    def renaming(temporary, target):
        calls.append(target)
        if len(calls) == number:
            raise error
        publish(temporary, target)

    monkeypatch.setattr(report_module, "publish", renaming)


def test_publish_binds_the_report_to_the_file(made, exported, target):
    digest = made.publish(exported.evidence, made.folder / "candidate.onnx")
    assert digest == hash_file(target)
    assert target.read_bytes() == b"new"
    assert read_report(target)["seconds"] == {"parity": 0.5}


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), SystemExit(143)], ids=str)
def test_publish_keeps_the_earlier_pair_when_the_file_cannot_have_its_name(made, exported, target, monkeypatch, error):
    fail_at(monkeypatch, 1, error)
    with pytest.raises(type(error)):
        made.publish(exported.evidence, made.folder / "candidate.onnx")
    assert target.read_bytes() == b"old"
    assert read_report(target)["parity"] == {}


def test_publish_says_that_the_file_is_there_when_its_report_cannot_be(made, exported, target, monkeypatch):
    fail_at(monkeypatch, 2, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(ExportError, match=r"m\.report\.json: cannot be written: No space .*m\.onnx is whole"):
        made.publish(exported.evidence, made.folder / "candidate.onnx")
    assert target.read_bytes() == b"new"
    assert not report_path(target).exists()


def test_publish_failure_says_that_no_file_belongs_to_the_report(made, target):
    made.publish_failure()
    assert target.read_bytes() == b"old"
    assert read_report(target)["file_sha256"] is None


@pytest.mark.slow
def test_a_kill_at_any_moment_never_leaves_a_file_with_the_report_of_another(exported, tmp_path):
    told = tmp_path / "told"
    told.write_bytes(pickle.dumps((exported.parity, exported.evidence)))
    (tmp_path / "places").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLS, tmp_path / "places", told, MAKERS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    moments, states = map(int, done.stdout.split())
    assert moments >= 20
    assert states >= 3  # the earlier pair, something in between, the new pair
