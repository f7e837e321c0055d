"""Work in a process of its own that is killed at its n-th file operation, for tests that try every n."""

import os
import signal
import sys

EVENTS = ("open", "os.", "shutil.", "fcntl.")


def apart(work, *, killed_at=0):
    """Does the work in a forked process and returns how it ended: 0 where it was not killed.

    Args:
        work: takes nothing.
        killed_at: the number of the file operation, from 1; 0 for none.
    """
    child = os.fork()
    if child == 0:
        if killed_at:
            _kill_at(killed_at)
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _kill_at(number):
    seen = 0

    def hook(event, _):
        nonlocal seen
        if event.startswith(EVENTS) and event != "os.fork":
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
