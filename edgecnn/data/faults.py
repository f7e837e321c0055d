"""What is wrong with labels: the first fault ends the reading, or all of them are kept and what is faulty left out."""

import logging
from collections import Counter
from dataclasses import dataclass

from edgecnn.errors import DatasetError

_SHOWN = 3
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: a few words that faults of a kind share, in the plural.
        message: for people; begins with the file, and the line where there is one.
    """

    kind: str
    message: str


class Faults:
    """What a reader finds, in its order.

    Args:
        keep: whether the reading goes on behind an error, without what is faulty.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self.errors: list[Fault] = []
        self.notes: list[Fault] = []

    def error(self, kind: str, message: str) -> None:
        """Notes what makes an image, an object or a file useless; the caller leaves it out and goes on.

        Raises:
            DatasetError: errors are not kept.
        """
        if not self._keep:
            raise DatasetError(message)
        self.errors.append(Fault(kind, message))

    def note(self, kind: str, message: str) -> None:
        """Notes what is legal and may yet surprise."""
        self.notes.append(Fault(kind, message))

    def log(self, name: str) -> None:
        """Says a line a kind in the log: a warning of what was left out, an information of the rest."""
        for level, faults, what in ((logging.WARNING, self.errors, "left out"), (logging.INFO, self.notes, "noted")):
            for kind, count in Counter(fault.kind for fault in faults).items():
                shown = [fault.message for fault in faults if fault.kind == kind][:_SHOWN]
                more = ", …" if count > len(shown) else ""
                logger.log(level, "%s: %s %d %s: %s%s", name, what, count, kind, "; ".join(shown), more)
