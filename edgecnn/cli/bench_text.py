"""What `edgecnn bench` tells people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecnn.cli.tables import Table, format_bytes

if TYPE_CHECKING:
    from edgecnn.benchmarking import BenchReport, Comparison, Conditions, FileBench, ScenarioBench, ScenarioReport
    from edgecnn.machine import Machine
    from edgecnn_runtime.plain import PlainInput

_NOT_KNOWN = "not known"


def format_bench(report: BenchReport) -> list[str | Table]:
    """Returns a report for people: one column a file, milliseconds."""
    columns = [_column(file, report.files[0]) for file in report.files]
    given = {file.file: file.plain for file in report.files if file.plain is not None}
    if given:
        columns = [{**_proof(file), **column} for file, column in zip(report.files, columns, strict=True)]
    blocks: list[str | Table] = [_table("milliseconds", [file.file for file in report.files], columns), ""]
    if given:
        blocks += [*(_format_plain(name, plain) for name, plain in given.items()), ""]
    if report.comparison is not None:
        blocks += [*_format_comparison(report.comparison), ""]
    return [*blocks, *_format_method(report)]


def format_scenario(report: ScenarioReport) -> list[str | Table]:
    """Returns LoadGen's numbers for people: one column a file."""
    columns = [_scenario_column(file) for file in report.files]
    table = _table(report.config.scenario, [file.file for file in report.files], columns)
    return [table, "", *_format_method(report)]


def _table(corner: str, files: Sequence[str], columns: Sequence[dict[str, str]]) -> Table:
    rows = dict.fromkeys(row for column in columns for row in column)  # some files have rows that others lack
    return Table([corner, *files], [[row, *(column.get(row, "") for column in columns)] for row in rows])


def _column(file: FileBench, first: FileBench) -> dict[str, str]:
    inference, parts = file.inference_ms, (file.preprocess_ms, file.postprocess_ms, file.total_ms)
    preprocess, postprocess, total = ("-" if part is None else f"{part.p50:.3f}" for part in parts)
    further = {} if file.further_ms is None else {"a further question, p50": f"{file.further_ms.p50:.3f}"}
    return {
        **_heading(file),
        **_startup_rows(file),
        "preprocess p50": preprocess,
        "inference p50": f"{inference.p50:.3f}",
        "inference p90": f"{inference.p90:.3f}",
        "inference p99": f"{inference.p99:.3f}",
        "postprocess p50": postprocess,
        "total p50": total,
        **further,
        "answers measured": str(inference.n),
        "faster than the first": f"{first.inference_ms.p50 / inference.p50:.3g} times",
    }


def _heading(file: FileBench | ScenarioBench) -> dict[str, str]:
    metric = file.metric
    return {
        "quality": "not measured" if metric is None else f"{metric.name} {metric.file:.4f}",
        "ran on": f"{file.provider}, {file.threads} thread{'s' if file.threads > 1 else ''}",
    }


def _proof(file: FileBench) -> dict[str, str]:
    return {"proof": "manifest and evidence" if file.plain is None else "plain ONNX, no manifest, no evidence"}


def _format_plain(file: str, given: PlainInput) -> str:
    """Says what was measured of a plain file."""
    return (
        f"{file}: plain ONNX, no manifest, no evidence. Its graph was run on a ready array, {given.name} {given.dtype} "
        f"({', '.join(map(str, given.shape))}), taken for {given.layout}; no picture was decoded and no output read in "
        "that time, so compare its inference with inference alone."
    )


def _startup_rows(file: FileBench) -> dict[str, str]:
    startup = file.startup
    if startup is None:
        return {}
    peak = startup.peak_memory_bytes
    return {
        "process start to answer, p50": f"{startup.total_ms:.1f}",
        "  fastest to slowest": f"{startup.total_min_ms:.1f} to {startup.total_max_ms:.1f}",
        "  Python": f"{startup.interpreter_ms:.1f}",
        "  imports": f"{startup.import_ms:.1f}",
        "  reading and checking": f"{startup.read_ms:.2f}",
        "  session creation": f"{startup.session_ms:.2f}",
        "  first answer": f"{startup.first_answer_ms:.2f}",
        "  first inference, of it": f"{startup.first_inference_ms:.3f}",
        "processes measured": str(startup.n),
        "peak memory of a process": _NOT_KNOWN if peak is None else format_bytes(peak),
    }


def _scenario_column(file: ScenarioBench) -> dict[str, str]:
    latency, rate = file.latency_ms, file.samples_per_second
    return {
        **_heading(file),
        **({} if latency is None else {"query p50, ms": f"{latency.p50:.3f}"}),
        **({} if latency is None else {"query p90, ms": f"{latency.p90:.3f}"}),
        **({} if latency is None else {"query p99, ms": f"{latency.p99:.3f}"}),
        **({} if rate is None else {"samples per second": f"{rate:.1f}"}),
        "queries": str(file.queries),
        "samples a query": str(file.samples_per_query),
        "samples run together": f"at most {file.together}",
        "LoadGen's verdict": "VALID" if file.valid else f"INVALID: {' '.join(file.reasons)}",
    }


def _format_comparison(comparison: Comparison) -> list[str | Table]:
    verdicts = {None: "", False: "within the limit", True: "REGRESSED"}
    rows = [
        [
            change.file,
            f"{change.before_ms:.3f}",
            f"{change.now_ms:.3f}",
            f"{change.ratio:.3f}",
            verdicts[change.regressed],
        ]
        for change in comparison.changes
    ]
    blocks: list[str | Table] = [
        Table([f"inference p50 against {comparison.report}", "then", "now", "now / then", ""], rows)
    ]
    if comparison.earlier_signs:
        blocks.append(f"Then: {', '.join(comparison.earlier_signs)}.")
    if comparison.other_versions:
        blocks.append(f"Other versions now: {', '.join(comparison.other_versions)}.")
    return blocks


def _format_method(report: BenchReport | ScenarioReport) -> list[str]:
    return [
        f"{report.method} Spinning {'on' if report.spinning else 'off'}.",
        f"{_format_machine(report.machine)}.",
        f"{_format_conditions(report.conditions)}.",
    ]


def _format_machine(machine: Machine) -> str:
    versions = machine.versions
    return (
        f"{machine.cpu} ({machine.cpu_family}), {machine.usable_cpus} of {machine.cpus} CPUs usable, {machine.system}, "
        f"Python {machine.python}, ONNX Runtime {versions['onnxruntime'] or versions['onnxruntime-gpu']}"
    )


def _format_conditions(conditions: Conditions) -> str:
    """Says how quiet the machine was, and what the system does not tell."""
    parts = {
        "load": _change(conditions.load_before, conditions.load_after, "", 1),
        "CPUs of other processes": _number(conditions.other_cpus, ".1f"),
        "taken by the host": _number(conditions.steal, ".1%"),
        "CPU frequency": _change(conditions.frequency_before_mhz, conditions.frequency_after_mhz, " MHz", 0),
        "temperature": _change(conditions.temperature_before_c, conditions.temperature_after_c, " °C", 0),
        "throttled": _number(conditions.throttle_events, "d", " times"),
    }
    verdict = f"NOT QUIET: {', '.join(conditions.signs)}" if conditions.signs else "no sign of disturbance"
    return f"{', '.join(f'{name} {value}' for name, value in parts.items())}; {verdict}"


def _change(before: float | None, after: float | None, unit: str, digits: int) -> str:
    return _NOT_KNOWN if before is None or after is None else f"{before:.{digits}f} to {after:.{digits}f}{unit}"


def _number(value: float | None, form: str, unit: str = "") -> str:
    return _NOT_KNOWN if value is None else f"{value:{form}}{unit}"
