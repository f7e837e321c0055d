"""SIGINT and SIGTERM as exits that unwind, so that results are kept and temporary files removed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """Ends the process with 128 + the signal's number, but never in the middle of what must stay whole.

    Attributes:
        exit_code: of the signal that has come, since libraries turn its exit into errors of theirs; None before.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._holding = False
        self._waiting: int | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Turns both signals into SystemExit meanwhile; SIGINT stays ignored where the caller ignores it."""
        self.exit_code = None
        signals = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signals.append(signal.SIGINT)
        earlier: dict[int, Any] = {signum: signal.signal(signum, self._end) for signum in signals}
        try:
            yield
        finally:
            for signum, handler in earlier.items():
                signal.signal(signum, handler)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Lets the first signal wait until the block has ended; a second one does not wait."""
        self._holding, self._waiting = True, None
        try:
            yield
        finally:
            self._holding = False
            if self._waiting is not None:
                raise SystemExit(128 + self._waiting)

    def _end(self, signum: int, _frame: FrameType | None) -> None:
        self.exit_code = 128 + signum
        if self._holding and self._waiting is None:
            self._waiting = signum
            return
        raise SystemExit(128 + signum)


INTERRUPTS = Interrupts()  # signals belong to the process, and so does this
