"""What kind of processor this is: results may differ between families, so evidence names the one it was gathered on."""

import platform
from collections.abc import Collection
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_X86 = frozenset({"x86_64", "amd64"})
_ARM = frozenset({"aarch64", "arm64"})
# From the strongest feature down: what Linux calls it, and what the family is called. Integer dot products (VNNI,
# dotprod, i8mm) come first, because they decide how int8 is computed.
_X86_FEATURES = (
    ("avx512_vnni", "x86-64-avx512-vnni"),
    ("avx_vnni", "x86-64-avx2-vnni"),
    ("avx512f", "x86-64-avx512"),
    ("avx2", "x86-64-avx2"),
)
_ARM_FEATURES = (("i8mm", "aarch64-i8mm"), ("asimddp", "aarch64-dotprod"))


def cpu_family() -> str:
    """Returns the processor's family, for example "x86-64-avx512-vnni" or "aarch64-dotprod".

    Where the system does not list the processor's features, only the architecture is named.
    """
    return family_of(platform.machine(), _cpuinfo("flags", "Features").split())


def has_amx() -> bool | None:
    """Returns whether the processor multiplies 8-bit matrices in AMX tiles; None where the system does not say."""
    flags = _cpuinfo("flags").split()
    return "amx_int8" in flags if flags else None


def family_of(machine: str, features: Collection[str]) -> str:
    """Returns the family of a processor.

    Args:
        machine: the architecture, as `platform.machine()` names it.
        features: as Linux names them in /proc/cpuinfo.

    Example:
        >>> family_of("x86_64", {"sse2", "avx2", "avx512f", "avx512_vnni"}), family_of("arm64", {})
        ('x86-64-avx512-vnni', 'aarch64')
    """
    architecture = machine.lower()
    if architecture in _X86:
        return next((family for feature, family in _X86_FEATURES if feature in features), "x86-64")
    if architecture in _ARM:
        return next((family for feature, family in _ARM_FEATURES if feature in features), "aarch64")
    return architecture or "unknown"


def cpu_name() -> str:
    """Returns the processor's name as its maker gives it, or else the architecture."""
    return _cpuinfo("model name", "Model", "Hardware") or platform.processor() or platform.machine()


def _cpuinfo(*keys: str) -> str:
    """Returns the first value of one of the keys in /proc/cpuinfo, "" where there is none."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    values = (value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() in keys)
    return next(values, "")
