import fcntl
import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("edgecnn", derandomize=True, deadline=None)  # fixed seeds, no time assertions
settings.load_profile("edgecnn")


def pytest_configure() -> None:
    """Sets what the tests' processes inherit.

    They keep compiled modules, as an installation does, also where that is turned off: without them each process spends
    most of its time on compiling TensorFlow anew. They listen to SIGINT, also where a shell started pytest in the
    background, which has all children ignore it.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    share_processors()


def share_processors() -> None:
    """Keeps each process of the test run on processors of its own.

    TensorFlow and ONNX Runtime start a thread for each processor that they may use; those of several processes wait for
    each other, and spin meanwhile.
    """
    worker, count = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if worker is not None and hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        own = usable[int(worker.removeprefix("gw")) % len(usable) :: count]
        os.sched_setaffinity(0, own)


def pytest_collection_finish() -> None:
    """Takes what is imported by now out of the garbage collector's rounds.

    That is half a million objects, most of them TensorFlow's, which no round can free; each conversion ends with a full
    round, and took a third of its time for that. What tests make is collected as ever.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives a folder of that name, which one process of the test run fills and the others find; all only read it.

    The module of what fills it is part of the folder's name, so that two test files cannot take each other's.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        name = f"{make.__module__}.{name}"
        folder, made = shared / name, shared / f"{name}.made"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the process that makes it, and is free when that one dies
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return make_once
