"""How long work shows itself on stderr: a bar on a terminal, one line a stage elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from edgecnn.cli.streams import say


def make_bars(*columns: ProgressColumn) -> Progress:
    """Returns bars for stderr that vanish when they are done; rich honours NO_COLOR.

    Args:
        columns: of a bar; none for a text, the bar, what is done of how much, and the time left.
    """
    usual = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*(columns or usual), console=Console(stderr=True), transient=True)


@contextmanager
def counted(stage: str) -> Iterator[Callable[[int, int], None]]:
    """Gives what takes (done, total) while a stage runs; without a terminal, says the stage once and no more.

    Args:
        stage: for people, for example "evaluating".
    """
    if not sys.stderr.isatty():
        say(f"edgecnn: {stage}")
        yield _ignore
        return
    with make_bars() as bars:
        task = bars.add_task(stage, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _ignore(done: int, total: int) -> None:
    del done, total
