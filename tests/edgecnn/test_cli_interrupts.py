import signal
import subprocess
import sys

import pytest

from edgecnn.cli.interrupts import Interrupts


@pytest.fixture
def interrupts():
    interrupts = Interrupts()
    with interrupts.caught():
        yield interrupts


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.usefixtures("interrupts")
def test_caught_turns_a_signal_into_an_exit_that_unwinds(signum, code):
    with pytest.raises(SystemExit) as raised:
        signal.raise_signal(signum)
    assert raised.value.code == code


def test_caught_puts_the_handlers_back():
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts().caught():
        pass
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


def test_caught_leaves_sigint_ignored_when_the_caller_ignores_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts().caught():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_held_back_ends_the_block_before_the_exit(interrupts):
    written = []

    def write():
        with interrupts.held_back():
            signal.raise_signal(signal.SIGTERM)
            written.append("whole")

    with pytest.raises(SystemExit) as raised:
        write()
    assert raised.value.code == 143
    assert written == ["whole"]


def test_held_back_lets_a_second_signal_through(interrupts):
    written = []

    def write():
        with interrupts.held_back():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            written.append("whole")

    with pytest.raises(SystemExit):
        write()
    assert written == []


CRASHES_WHEN_SHUT_DOWN = """
import atexit, os, signal, sys, time
import edgecnn.cli as cli

def interrupted(*arguments, **options):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(3600)
    finally:
        sys.stderr.write("unwound")

atexit.register(os.abort)  # as TensorFlow's threads do now and then
cli.app = interrupted
cli.script()
"""


def test_script_ends_at_once_after_a_signal():
    done = subprocess.run([sys.executable, "-c", CRASHES_WHEN_SHUT_DOWN], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "unwound")
