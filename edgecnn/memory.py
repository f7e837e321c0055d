"""How much memory this process has held."""

import sys
from pathlib import Path

if sys.platform != "win32":
    import resource  # only there on Unix

_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int | None:
    """Returns the most memory that this process has held so far; None where the system does not tell.

    Linux counts it for the program itself; elsewhere it is never below that of the process that started this one.
    """
    if sys.platform == "win32":
        return None
    try:
        high_water = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(high_water.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
