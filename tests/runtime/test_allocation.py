import ctypes
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgecnn_runtime import allocation
from edgecnn_runtime.allocation import release_free_memory, tight_arena
from edgecnn_runtime.providers import onnxruntime
from edgecnn_runtime.session import Session

PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 8, 6, 1)


def test_tight_arena_lets_a_session_take_it():
    options = onnxruntime.SessionOptions()
    with tight_arena(options):
        pass
    assert options.get_session_config_entry("session.use_env_allocators") == "1"


def test_tight_arena_leaves_an_empty_one_behind_when_the_session_is_refused(monkeypatch):
    registered = []
    monkeypatch.setattr(allocation, "_register_arena", lambda: registered.append(None))
    with pytest.raises(ZeroDivisionError), tight_arena(onnxruntime.SessionOptions()):
        raise ZeroDivisionError
    assert len(registered) == 2


def test_a_session_takes_its_memory_with_it(make_graph, tmp_path, run_python):
    (tmp_path / "payload").write_bytes(make_graph(batch="batch", size=("height", "width")))
    code = """
        import sys
        from pathlib import Path
        import numpy as np
        from edgecnn_runtime import Session

        def resident():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024

        pixels = np.zeros((1, 4000, 4000, 1), np.uint8)
        session = Session(Path(sys.argv[1]).read_bytes(), device="cpu", threads=1)
        before = resident()
        session.run({"image": pixels})
        during = resident()
        del session
        print(during - before, resident() - before)
    """
    done = run_python(code, str(tmp_path / "payload"))
    assert done.returncode == 0, done.stderr
    during, after = map(int, done.stdout.split())
    assert during > 60e6  # 4000 x 4000 float32
    assert after < 10e6


def test_sessions_that_are_made_and_dropped_at_once_answer_alike(make_graph):
    expected = Session(make_graph(), device="cpu", threads=1).run({"image": PIXELS})["logits"]

    def answer(_):
        return Session(make_graph(), device="cpu", threads=1).run({"image": PIXELS})["logits"]

    with ThreadPoolExecutor(8) as pool:
        for logits in pool.map(answer, range(64)):
            np.testing.assert_array_equal(logits, expected)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_release_free_memory_gives_it_back(run_python):
    code = """
        from pathlib import Path
        from edgecnn_runtime.allocation import release_free_memory

        def resident():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024

        blocks = [bytes(100_000) for _ in range(500)]
        last = bytes(100_000)
        del blocks
        before = resident()
        release_free_memory()
        print(before - resident())
    """
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 25e6  # of 50e6; some was free before


def test_release_free_memory_does_nothing_where_the_library_cannot(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: types.SimpleNamespace())
    release_free_memory()
