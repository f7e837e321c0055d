"""What `bench` is asked to measure."""

from dataclasses import dataclass

from edgecnn_runtime.plain import Layout
from edgecnn_runtime.providers import Device


@dataclass(frozen=True, slots=True)
class PlainHints:
    """What the graphs of plain files may leave open; None for what was not told.

    Attributes:
        layout: where channels stand.
        image_size: (height, width) in pixels.
    """

    layout: Layout | None = None
    image_size: tuple[int, int] | None = None


NOTHING_TOLD = PlainHints()


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """What is measured.

    Attributes:
        device: where to run.
        threads: of the CPU; None is one for each CPU that the process may use.
        warmup: answers of each file before the measured ones.
        runs: measured answers of each file; None measures for `duration_s`.
        duration_s: seconds of measured answers, over all files; None measures `runs`.
        starts: fresh processes of each file, measured from their start to their first answer; 0 measures none.
    """

    device: Device = "auto"
    threads: int | None = None
    warmup: int = 10
    runs: int | None = 100
    duration_s: float | None = None
    starts: int = 5

    def __post_init__(self) -> None:
        if (self.runs is None) == (self.duration_s is None):
            raise ValueError(f"expected runs or duration_s, received {self.runs} and {self.duration_s}")
        if self.starts < 0:
            raise ValueError(f"starts: expected 0 or more, received {self.starts}")

    @property
    def spinning(self) -> bool:
        """Whether waiting threads burn CPU time: on threads that were given, the fastest setting back to back."""
        return self.threads is not None
