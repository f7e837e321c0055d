"""Every reader of bytes that are not ours ends well on damaged ones; see CONTRIBUTING.md for longer runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
GROUPS = ("models", "pictures", "records", "keras_files")


def fuzzed(tmp_path, *arguments, timeout=None):
    """Runs the script and returns what it printed, once no case broke a rule; a signal is told with its case."""
    note = tmp_path / "note"
    command = [sys.executable, RUN, *arguments, "--note", note]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    at_work = note.read_bytes().strip().decode() if note.exists() else "the seeds"
    assert done.returncode == 0, f"exit {done.returncode}; the last case: {at_work}\n{done.stdout}{done.stderr[-3000:]}"
    return done.stdout


def test_readers_without_tensorflow_end_well_on_damaged_bytes(tmp_path):
    printed = fuzzed(tmp_path, "models", "pictures", "records", "--cases", "1200")
    assert len(re.findall(r"^\S+: \d+ cases, .* 0 failed$", printed, re.MULTILINE)) >= 23


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_readers_end_well_on_many_damaged_bytes(tmp_path, group):
    printed = fuzzed(tmp_path, group)
    assert sum(map(int, re.findall(r": (\d+) cases", printed))) >= 10_000
