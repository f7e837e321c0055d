"""Comparing a measurement with an earlier one, where the two were taken under the same conditions."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgecnn.benchmarking.config import BenchConfig
from edgecnn.benchmarking.report import BenchReport, Change, Comparison, FileBench
from edgecnn.errors import RegressionError, ReportError
from edgecnn.machine import Machine
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.regular_file import open_regular_file, reason

_MAX_BYTES = 16_000_000  # of a report: some kilobytes a file


def read_report(path: str | os.PathLike[str]) -> BenchReport:
    """Reads what `edgecnn bench --report` wrote.

    Raises:
        ReportError: missing, unreadable, no report, or of another schema version.
    """
    name = os.fspath(path)
    try:
        with open_regular_file(path) as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise ReportError(f"{name}: cannot read the earlier report: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ReportError(f"{name}: expected the JSON of edgecnn bench --report, received other bytes") from error
    if len(content) > _MAX_BYTES:
        raise ReportError(f"{name}: expected a report of at most {_MAX_BYTES:,} bytes, received more")
    try:
        report = BenchReport.from_json(text)
    except (ManifestError, ValueError) as error:
        raise ReportError(f"{name}: expected what this version's edgecnn bench --report writes: {error}") from error
    if not all(file.inference_ms.p50 > 0 for file in report.files):
        raise ReportError(f"{name}: expected inference times above 0 ms, received one that is not")
    return report


def check_comparable(earlier: BenchReport, files: Sequence[str], config: BenchConfig, machine: Machine) -> None:
    """Checks, before anything is measured, that the result could be compared.

    The processor, the CPUs that may be used, threads, spinning and the files' names must be the same. The versions of
    packages and of the system may differ: what they change is what a comparison is for.

    Args:
        earlier: the report to compare with.
        files: that will be measured.
        config: how.
        machine: where.

    Raises:
        ReportError: they differ; the message holds both values.
    """
    here = {"CPU": machine.cpu, "CPU family": machine.cpu_family, "usable CPUs": machine.usable_cpus}
    there = earlier.machine
    then = {"CPU": there.cpu, "CPU family": there.cpu_family, "usable CPUs": there.usable_cpus}
    threads = config.threads or machine.usable_cpus
    here |= {"threads": threads, "spinning": "on" if config.spinning else "off"}
    then |= {
        "threads": next((file.threads for file in earlier.files if file.threads != threads), threads),
        "spinning": "on" if earlier.spinning else "off",
    }
    for what, value in here.items():
        if then[what] != value:
            raise _other_conditions(what, then[what], value)
    for names, whose in ((files, "this measurement"), ([file.file for file in earlier.files], "the earlier report")):
        twice = [name for name, count in Counter(Path(name).name for name in names).items() if count > 1]
        if twice:
            raise ReportError(f"cannot compare: files are matched by name, and {whose} has two named {twice[0]}")
    known = {Path(file.file).name for file in earlier.files}
    for name in (Path(file).name for file in files):
        if name not in known:
            raise ReportError(f"cannot compare {name}: the earlier report has only {', '.join(sorted(known))}")


def compare(earlier: BenchReport, report: BenchReport, *, path: str, max_regression: float | None) -> Comparison:
    """Compares the median inference time of each file with that of the same name in an earlier report.

    Args:
        earlier: passed `check_comparable`.
        report: the new measurement.
        path: of the earlier report.
        max_regression: how much slower a file may be, as a share of the earlier time; None judges nothing.

    Raises:
        ReportError: a file ran on another execution provider than then.
    """
    then = {Path(file.file).name: file for file in earlier.files}
    pairs = [(then[Path(file.file).name], file) for file in report.files]
    for before, now in pairs:
        if before.provider != now.provider:
            raise _other_conditions("execution provider", before.provider, now.provider)
    return Comparison(
        report=path,
        max_regression=max_regression,
        changes=tuple(_change(before, now, max_regression) for before, now in pairs),
        other_versions=tuple(_other_versions(earlier.machine, report.machine)),
        earlier_signs=earlier.conditions.signs,
    )


def check_regression(report: BenchReport) -> None:
    """Does nothing where no file became slower than allowed, or nothing was compared.

    Raises:
        RegressionError: one did; the message names each, both times and their ratio.
    """
    comparison = report.comparison
    slower = [] if comparison is None else [change for change in comparison.changes if change.regressed]
    if comparison is None or not slower:
        return
    limit = 1 + (comparison.max_regression or 0)
    found = "; ".join(
        f"{change.file}: inference p50 expected at most {change.before_ms * limit:.3f} ms ({limit:g} times the "
        f"{change.before_ms:.3f} ms of {comparison.report}), received {change.now_ms:.3f} ms, {change.ratio:.3f} times"
        for change in slower
    )
    signs = [f"then {sign}" for sign in comparison.earlier_signs] + [f"now {sign}" for sign in report.conditions.signs]
    doubt = f". The machine was not quiet: {', '.join(signs)}. Measure again." if signs else "."
    raise RegressionError(f"{found}{doubt}")


def _change(before: FileBench, now: FileBench, max_regression: float | None) -> Change:
    ratio = now.inference_ms.p50 / before.inference_ms.p50
    return Change(
        file=Path(now.file).name,
        before_ms=before.inference_ms.p50,
        now_ms=now.inference_ms.p50,
        ratio=ratio,
        regressed=None if max_regression is None else ratio > 1 + max_regression,
    )


def _other_versions(then: Machine, now: Machine) -> list[str]:
    before = {"system": then.system, "python": then.python, **then.versions}
    after = {"system": now.system, "python": now.python, **now.versions}
    return [
        f"{name} {before.get(name) or 'not installed'} -> {after.get(name) or 'not installed'}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _other_conditions(what: str, then: object, now: object) -> ReportError:
    return ReportError(
        f"cannot compare: {what}: expected {then} as in the earlier report, received {now}. Measure both under the "
        "same conditions."
    )
