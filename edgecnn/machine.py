"""What this machine and this installation are: for the doctor and for every report of a measurement."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from edgecnn_runtime.machine import cpu_family, cpu_name

_PACKAGES = (
    *("edgecnn", "edgecnn-runtime", "edgecnn-exporters", "numpy", "pillow", "onnxruntime", "onnxruntime-gpu"),
    *("tensorflow", "keras", "tf2onnx", "onnx", "mlcommons-loadgen"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, and what is installed on it.

    Attributes:
        system: operating system and architecture, for example "Linux-6.8-x86_64".
        cpu: the processor's name.
        cpu_family: as evidence names it, for example "x86-64-avx512-vnni".
        cpus: logical processors of the machine.
        usable_cpus: those that this process may use.
        python: its version.
        versions: installed version of each package that matters, None where it is not installed.
    """

    system: str
    cpu: str
    cpu_family: str
    cpus: int
    usable_cpus: int
    python: str
    versions: Mapping[str, str | None]


def describe_machine() -> Machine:
    """Returns what this machine and this installation are; imports none of the packages that it names."""
    cpus = os.cpu_count() or 1
    return Machine(
        system=f"{platform.system()}-{platform.release()}-{platform.machine()}",
        cpu=cpu_name(),
        cpu_family=cpu_family(),
        cpus=cpus,
        usable_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cpus,
        python=platform.python_version(),
        versions={package: _version(package) for package in _PACKAGES},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
