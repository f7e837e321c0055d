import json
import os
from dataclasses import replace

import pytest

from edgecnn.benchmarking import (
    BenchConfig,
    BenchReport,
    Conditions,
    FileBench,
    Latency,
    bench_against,
    check_comparable,
    check_regression,
    compare,
    read_report,
)
from edgecnn.errors import RegressionError, ReportError
from edgecnn.machine import Machine, describe_machine

MACHINE = Machine("Linux-6.8-x86_64", "Chip", "x86-64-avx2", 8, 4, "3.11.7", {"onnxruntime": "1.30.0", "numpy": "2.4"})
CONDITIONS = Conditions(9.0, 0.1, 0.2, 0.0, 0.0, None, None, None, None, None, ())
CONFIG = BenchConfig(threads=2)


def file_bench(file, p50, *, provider="CPUExecutionProvider", threads=2):
    spread = Latency(100, p50, p50 * 1.1, p50 * 1.5)
    return FileBench(file, provider, threads, None, None, spread, spread, spread, spread, None, None, None, None)


def report(*files, machine=MACHINE, conditions=CONDITIONS, spinning=True):
    return BenchReport("method", CONFIG, spinning, machine, conditions, files)


def save(path, written):
    path.write_text(json.dumps(written.to_dict()))
    return path


def against(before_ms, now_ms, *, max_regression=0.05, earlier=(), now=()):
    """The report of one file that took `before_ms`, then `now_ms`."""
    then = report(file_bench("old/a.onnx", before_ms), conditions=replace(CONDITIONS, signs=earlier))
    new = report(file_bench("new/a.onnx", now_ms), conditions=replace(CONDITIONS, signs=now))
    return replace(new, comparison=compare(then, new, path="old.json", max_regression=max_regression))


def test_read_report_gives_what_was_written(tmp_path):
    written = report(file_bench("a.onnx", 2.0))
    assert read_report(save(tmp_path / "old.json", written)) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(schema_version=2), "schema_version 3, received 2. Measure again"),
        (lambda tree: tree.pop("schema_version"), "received None"),
        (lambda tree: tree.pop("machine"), r"missing \['machine'\]"),
        (lambda tree: tree["config"].update(runs=None), "runs or duration_s"),
        (lambda tree: tree["files"][0]["inference_ms"].update(p50="fast"), "a number"),
        (lambda tree: tree["files"][0]["inference_ms"].update(p50=0), "above 0 ms"),
    ],
)
def test_read_report_refuses_what_is_no_report_of_this_schema(tmp_path, change, message):
    tree = report(file_bench("a.onnx", 2.0)).to_dict()
    tree = json.loads(json.dumps(tree))
    change(tree)
    path = tmp_path / "old.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(ReportError, match=message) as raised:
        read_report(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000], ids=len)
def test_read_report_refuses_other_bytes(tmp_path, content):
    (tmp_path / "old.json").write_bytes(content)
    with pytest.raises(ReportError, match=r"old\.json"):
        read_report(tmp_path / "old.json")


def test_read_report_refuses_what_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, message in ((tmp_path / "nothing", "No such file"), (tmp_path, "directory"), (tmp_path / "fifo", "FIFO")):
        with pytest.raises(ReportError, match=message):
            read_report(path)


def test_check_comparable_passes_what_was_taken_alike():
    earlier = report(file_bench("old/a.onnx", 1.0), file_bench("old/b.onnx", 1.0))
    other = replace(MACHINE, system="Linux-6.9-x86_64", python="3.12.1", versions={"onnxruntime": "1.31.1"})
    check_comparable(earlier, ["new/b.onnx"], CONFIG, other)


@pytest.mark.parametrize(
    ("machine", "config", "message"),
    [
        ({"cpu": "Other"}, CONFIG, "CPU: expected Chip as in the earlier report, received Other"),
        (
            {"cpu_family": "x86-64"},
            CONFIG,
            "CPU family: expected x86-64-avx2 as in the earlier report, received x86-64",
        ),
        ({"usable_cpus": 2}, CONFIG, "usable CPUs: expected 4 as in the earlier report, received 2"),
        ({}, BenchConfig(threads=1), "threads: expected 2 as in the earlier report, received 1"),
        ({}, BenchConfig(), "threads: expected 2 as in the earlier report, received 4"),
    ],
)
def test_check_comparable_refuses_other_conditions(machine, config, message):
    with pytest.raises(ReportError, match=message):
        check_comparable(report(file_bench("a.onnx", 1.0)), ["a.onnx"], config, replace(MACHINE, **machine))


def test_check_comparable_refuses_other_spinning():
    earlier = report(file_bench("a.onnx", 1.0), spinning=False)
    with pytest.raises(ReportError, match="spinning: expected off as in the earlier report, received on"):
        check_comparable(earlier, ["a.onnx"], CONFIG, MACHINE)


def test_check_comparable_refuses_a_file_that_was_not_measured():
    earlier = report(file_bench("a.onnx", 1.0), file_bench("b.onnx", 1.0))
    with pytest.raises(ReportError, match=r"cannot compare c\.onnx: the earlier report has only a\.onnx, b\.onnx"):
        check_comparable(earlier, ["a.onnx", "c.onnx"], CONFIG, MACHINE)


def test_check_comparable_refuses_two_files_of_one_name():
    once, twice = [file_bench("a.onnx", 1.0)], [file_bench("x/a.onnx", 1.0), file_bench("y/a.onnx", 1.0)]
    with pytest.raises(ReportError, match=r"the earlier report has two named a\.onnx"):
        check_comparable(report(*twice), ["a.onnx"], CONFIG, MACHINE)
    with pytest.raises(ReportError, match=r"this measurement has two named a\.onnx"):
        check_comparable(report(*once), ["x/a.onnx", "y/a.onnx"], CONFIG, MACHINE)


def test_compare_refuses_another_provider():
    earlier = report(file_bench("a.onnx", 1.0, provider="CUDAExecutionProvider"))
    with pytest.raises(ReportError, match=r"expected CUDAExecutionProvider .* received CPUExecutionProvider"):
        compare(earlier, report(file_bench("a.onnx", 1.0)), path="old.json", max_regression=None)


def test_compare_matches_files_by_name():
    earlier = report(file_bench("old/a.onnx", 2.0), file_bench("old/b.onnx", 8.0))
    now = report(file_bench("new/b.onnx", 4.0), file_bench("new/a.onnx", 3.0))
    changes = compare(earlier, now, path="old.json", max_regression=0.1).changes
    assert [(change.file, change.ratio, change.regressed) for change in changes] == [
        ("b.onnx", 0.5, False),
        ("a.onnx", 1.5, True),
    ]


def test_compare_names_versions_that_differ():
    now = report(
        file_bench("a.onnx", 1.0), machine=replace(MACHINE, versions={"onnxruntime": "1.31.1", "numpy": "2.4"})
    )
    comparison = compare(report(file_bench("a.onnx", 1.0)), now, path="old.json", max_regression=None)
    assert comparison.other_versions == ("onnxruntime 1.30.0 -> 1.31.1",)


@pytest.mark.parametrize(("now_ms", "max_regression"), [(1.05, 0.0501), (0.5, 0.0), (9.0, None)])
def test_check_regression_passes_what_is_within_the_limit(now_ms, max_regression):
    check_regression(against(1.0, now_ms, max_regression=max_regression))


def test_check_regression_passes_what_was_not_compared():
    check_regression(report(file_bench("a.onnx", 1.0)))


def test_check_regression_names_file_times_and_ratio():
    with pytest.raises(RegressionError) as raised:
        check_regression(against(2.0, 2.2))
    assert str(raised.value) == (
        "a.onnx: inference p50 expected at most 2.100 ms (1.05 times the 2.000 ms of old.json), "
        "received 2.200 ms, 1.100 times."
    )


def test_check_regression_doubts_what_was_measured_on_a_busy_machine():
    with pytest.raises(RegressionError, match="not quiet: then stolen time, now heat"):
        check_regression(against(1.0, 2.0, earlier=("stolen time",), now=("heat",)))


def test_bench_against_checks_before_it_measures(write_model, tmp_path):
    old = save(tmp_path / "old.json", report(file_bench("model.onnx", 1.0)))  # of a machine that does not exist
    stages = []
    with pytest.raises(ReportError, match="CPU: expected Chip"):
        bench_against(str(old), [write_model()], CONFIG, 0.05, on_stage=stages.append)
    assert stages == []


def test_bench_against_holds_the_comparison(write_model, tmp_path):
    old = save(tmp_path / "old.json", report(file_bench("model.onnx", 1e6), machine=describe_machine()))
    found = bench_against(str(old), [write_model()], BenchConfig(threads=2, runs=1, starts=0), 0.05)
    (change,) = found.comparison.changes
    assert (change.file, change.before_ms, change.regressed) == ("model.onnx", 1e6, False)
    assert change.now_ms == found.files[0].inference_ms.p50
