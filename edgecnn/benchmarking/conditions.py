"""What else went on in the machine during a measurement: other processes, stolen time, frequency, heat, throttling."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

# From here on a measurement is called disturbed.
_OTHER_CPUS = 0.1  # of a CPU, kept busy by other processes
_STEAL = 0.01  # of the machine's time
_FREQUENCY_DROP = 0.05


@dataclass(frozen=True, slots=True)
class Conditions:
    """How quiet the machine was between two moments; None where the system does not tell.

    Attributes:
        seconds: between the two.
        load_before: processes that ran or waited, mean of the minute before.
        load_after: the same at the end.
        other_cpus: CPUs that other processes kept busy, in the mean.
        steal: share of the machine's time that its host gave to others, 0 to 1.
        frequency_before_mhz: of the CPUs, in the mean.
        frequency_after_mhz: the same at the end.
        temperature_before_c: of the hottest sensor.
        temperature_after_c: the same at the end.
        throttle_events: how often the processor slowed itself down because of heat.
        signs: what of this says that the machine was not quiet, in words.
    """

    seconds: float
    load_before: float | None
    load_after: float | None
    other_cpus: float | None
    steal: float | None
    frequency_before_mhz: float | None
    frequency_after_mhz: float | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    throttle_events: int | None
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The machine's counters at one moment; None where the system does not tell.

    Attributes:
        seconds: on the clock `perf_counter`.
        own_cpu_s: CPU seconds of this process and of its children that have ended.
        load: processes that ran or waited, mean of the last minute.
        busy_s: CPU seconds of all processes since the system's start.
        steal_s: CPU seconds that the host of this virtual machine gave to others.
        all_s: CPU seconds, idle ones included.
        frequency_mhz: of the CPUs, in the mean.
        temperature_c: of the hottest sensor.
        throttles: how often the processor slowed down since the system's start.
    """

    seconds: float
    own_cpu_s: float
    load: float | None
    busy_s: float | None
    steal_s: float | None
    all_s: float | None
    frequency_mhz: float | None
    temperature_c: float | None
    throttles: int | None

    @classmethod
    def take(cls, root: Path = Path("/")) -> "Snapshot":
        """Reads the counters.

        Args:
            root: of the system's files.
        """
        cpus = root / "sys/devices/system/cpu"
        busy_s, steal_s, all_s = _cpu_seconds(root / "proc/stat")
        frequencies = _numbers(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))  # kHz
        temperatures = _numbers((root / "sys/class/thermal").glob("thermal_zone*/temp"))  # thousandths of a degree
        return cls(
            seconds=perf_counter(),
            own_cpu_s=sum(os.times()[:4]),
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            busy_s=busy_s,
            steal_s=steal_s,
            all_s=all_s,
            frequency_mhz=sum(frequencies) / len(frequencies) / 1000 if frequencies else None,
            temperature_c=max(temperatures) / 1000 if temperatures else None,
            throttles=_throttles(cpus),
        )

    def until(self, later: "Snapshot") -> Conditions:
        """Returns what went on between this moment and a later one."""
        seconds = later.seconds - self.seconds
        busy, own = _difference(later.busy_s, self.busy_s), later.own_cpu_s - self.own_cpu_s
        stolen, whole = _difference(later.steal_s, self.steal_s), _difference(later.all_s, self.all_s)
        other_cpus = None if busy is None or seconds <= 0 else max(busy - own, 0.0) / seconds
        steal = stolen / whole if stolen is not None and whole else None
        throttles = _difference(later.throttles, self.throttles)
        return Conditions(
            seconds=seconds,
            load_before=self.load,
            load_after=later.load,
            other_cpus=other_cpus,
            steal=steal,
            frequency_before_mhz=self.frequency_mhz,
            frequency_after_mhz=later.frequency_mhz,
            temperature_before_c=self.temperature_c,
            temperature_after_c=later.temperature_c,
            throttle_events=None if throttles is None else int(throttles),
            signs=tuple(_signs(other_cpus, steal, throttles, (self.frequency_mhz, later.frequency_mhz))),
        )


def _signs(
    other_cpus: float | None, steal: float | None, throttles: float | None, frequency: tuple[float | None, float | None]
) -> Iterable[str]:
    if other_cpus is not None and other_cpus >= _OTHER_CPUS:
        yield f"other processes kept {other_cpus:.1f} CPUs busy"
    if steal is not None and steal >= _STEAL:
        yield f"the host took {steal:.1%} of the time"
    if throttles:
        yield f"the processor throttled {throttles:.0f} times"
    before, after = frequency
    if before and after and after < before * (1 - _FREQUENCY_DROP):
        yield f"the CPU frequency fell from {before:.0f} to {after:.0f} MHz"


def _difference(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else later - earlier


def _cpu_seconds(stat: Path) -> tuple[float | None, float | None, float | None]:
    """Returns (busy, stolen, all) out of /proc/stat."""
    try:
        ticks = [int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, idle, waiting, irq, softirq, steal = ticks
    except (OSError, ValueError):
        return None, None, None
    second = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + irq + softirq
    return busy / second, steal / second, (busy + idle + waiting + steal) / second


def _throttles(cpus: Path) -> int | None:
    """Returns each core's count and the package's, which every CPU of it repeats; sibling threads repeat their core's.

    Only its growth is used, and any growth is a sign.
    """
    cores = _numbers(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    packages = _numbers(cpus.glob("cpu[0-9]*/thermal_throttle/package_throttle_count"))
    return sum(cores) + max(packages, default=0) if cores or packages else None


def _numbers(paths: Iterable[Path]) -> list[int]:
    """Returns the number in each file; a sensor that cannot be read is left out."""
    numbers = []
    for path in paths:
        try:
            numbers.append(int(path.read_text()))
        except (OSError, ValueError):
            continue
    return numbers
