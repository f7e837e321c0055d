import subprocess
import sys

from edgecnn.memory import peak_memory_bytes

CHILD = "from edgecnn.memory import peak_memory_bytes; print(peak_memory_bytes())"


def test_peak_memory_bytes_grows_with_what_is_held():
    before = peak_memory_bytes()
    held = bytearray(before + 50_000_000)
    assert peak_memory_bytes() >= len(held)


def test_peak_memory_bytes_of_a_child_leaves_out_its_parent():
    held = bytearray(200_000_000)
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(held) <= peak_memory_bytes()


def test_peak_memory_bytes_is_told_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr("edgecnn.memory._STATUS", tmp_path / "nothing")
    assert peak_memory_bytes() > 1_000_000
