"""What a fork does to ONNX Runtime: its threads stay in the parent.

A session of several threads hands work to them and waits, for ever; at the end of the process its destructor joins
them, which hangs or crashes. So a child gives such sessions up: they are told that they are lost, and never destroyed.
A session of one thread on the CPU computes in the thread that calls it, and goes on. CUDA works in the process that
began it alone.
"""

import ctypes
import os
import threading
import weakref
from typing import Any, Protocol


class Forkable(Protocol):
    """What is told of a fork.

    Attributes:
        lost: set in a child whose parent loaded it.
    """

    lost: bool

    @property
    def held(self) -> Any:
        """What must not be destroyed in a child."""
        ...


_FORKABLE: weakref.WeakSet[Any] = weakref.WeakSet()
_loading = threading.Lock()


def mark_lost_in_children(session: Forkable) -> None:
    """Has a session marked as lost in every child that this process forks from now on."""
    _FORKABLE.add(session)


def loading_again() -> threading.Lock:
    """Returns the lock of this process under which one thread loads again what is lost, while the others wait."""
    return _loading


def _give_up() -> None:
    global _loading
    _loading = threading.Lock()  # the parent's may be held by a thread that is not here
    for session in list(_FORKABLE):
        if not session.lost:
            session.lost = True
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session.held))  # a reference that nothing ever drops


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up)
