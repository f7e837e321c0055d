import json
import sys

import pytest

from edgecnn.cli import main

QUICK = ["--threads", "1", "--runs", "3", "--warmup", "0", "--starts", "0", "--device", "cpu"]


@pytest.fixture
def earlier(write_model, tmp_path):
    """A report of model.onnx on this machine whose times are multiplied: `earlier(0.001)` returns its path."""
    model, path = write_model(), tmp_path / "old.json"
    assert main(["bench", model, *QUICK, "--report", str(path)]) == 0
    tree = json.loads(path.read_text())

    def write(factor):
        for name in ("p50", "p90", "p99"):
            tree["files"][0]["inference_ms"][name] *= factor
        path.write_text(json.dumps(tree))
        return str(path)

    return write


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--runs", "5", "--duration", "1"], ["--runs", "--duration"]),
        (["--max-regression", "0.1"], ["--max-regression", "--compare"]),
        (["--scenario", "offline", "--compare", "old.json"], ["--compare", "--scenario"]),
        (["--scenario", "offline", "--starts", "2"], ["--starts", "--scenario"]),
        (["--scenario", "server"], ["server", "offline"]),
        (["--compare", "old.json", "--max-regression", "-1"], ["--max-regression"]),
        (["--starts", "-1"], ["--starts"]),
        (["--report", "a.onnx"], ["--report", "never overwritten"]),
        (["--compare", "old.json", "--report", "./old.json"], ["--report", "never overwritten"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bench_refuses_options_that_cannot_take_effect(capsys, options, words):
    assert main(["bench", "a.onnx", *options]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert [word for word in words if word not in last] == []


def test_bench_exits_with_5_where_a_file_became_slower_and_still_reports(earlier, write_model, tmp_path, capfd):
    old, new = earlier(0.001), tmp_path / "new.json"
    options = ["--compare", old, "--max-regression", "0.05", "--report", str(new)]
    assert main(["bench", write_model(), *QUICK, *options]) == 5
    captured = capfd.readouterr()
    assert "REGRESSED" in captured.out
    assert captured.err.splitlines()[-1].startswith("edgecnn: model.onnx: inference p50 expected at most ")
    (change,) = json.loads(new.read_text())["comparison"]["changes"]
    assert change["regressed"] is True
    assert f"{change['before_ms']:.3f} ms" in captured.err
    assert f"received {change['now_ms']:.3f} ms, {change['ratio']:.3f} times" in captured.err


def test_bench_exits_with_0_where_no_file_became_slower(earlier, write_model, capfd):
    options = ["--compare", earlier(1000), "--max-regression", "0.05"]
    assert main(["bench", write_model(), *QUICK, *options]) == 0
    assert "within the limit" in capfd.readouterr().out


def test_bench_judges_nothing_without_a_limit(earlier, write_model, capfd):
    assert main(["bench", write_model(), *QUICK, "--compare", earlier(0.001), "--format", "json"]) == 0
    (change,) = json.loads(capfd.readouterr().out)["comparison"]["changes"]
    assert change["regressed"] is None
    assert change["ratio"] > 1


def test_bench_refuses_a_report_of_other_threads_before_it_measures(earlier, write_model, capfd):
    options = ["--threads", "2", "--device", "cpu", "--compare", earlier(1), "--max-regression", "0.05"]
    capfd.readouterr()
    assert main(["bench", write_model(), *options]) == 1
    assert capfd.readouterr().err == (
        "edgecnn: cannot compare: threads: expected 1 as in the earlier report, received 2. "
        "Measure both under the same conditions.\n"
    )


def test_bench_prints_each_part_of_a_process_start(write_model, capfd):
    assert main(["bench", write_model(), *QUICK, "--starts", "1"]) == 0
    lines = capfd.readouterr().out.splitlines()
    rows = [line.split("  ")[0].strip() or line.split("  ")[1].strip() for line in lines[:20]]
    for row in ("process start to answer, p50", "imports", "session creation", "first answer", "inference p99"):
        assert row in rows
    assert any("peak memory of a process" in line and "MB" in line for line in lines)


def test_bench_scenario_prints_and_reports_what_loadgen_found(write_model, tmp_path, capfd):
    pytest.importorskip("mlperf_loadgen")
    options = ["--scenario", "multi-stream", "--threads", "1", "--device", "cpu", "--runs", "9"]
    assert main(["bench", write_model(), *options, "--report", str(tmp_path / "scenario.json")]) == 0
    assert "INVALID: Only processed 9 queries." in capfd.readouterr().out
    tree = json.loads((tmp_path / "scenario.json").read_text())
    assert (tree["schema_version"], tree["config"]["scenario"], tree["files"][0]["queries"]) == (1, "multi-stream", 9)
    assert main(["bench", write_model(), *QUICK, "--compare", str(tmp_path / "scenario.json")]) == 1


def test_bench_scenario_names_the_extra_that_is_missing(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    assert main(["bench", "a.onnx", "--scenario", "offline"]) == 1
    assert 'pip install "edgecnn[loadgen]"' in capfd.readouterr().err.splitlines()[-1]
