import json
import sys

import plain_files
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


# plain ONNX


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.onnx"
    path.write_bytes(plain_files.make_plain())
    return str(path)


def test_bench_measures_the_graph_alone_of_plain_onnx_beside_one_of_ours(write_model, plain, tmp_path, capfd):
    model = write_model()
    assert main(["bench", model, plain, *QUICK, "--report", str(tmp_path / "r.json")]) == 0
    out = capfd.readouterr().out
    proof = " ".join(out.splitlines()[1].split())
    assert proof == "proof manifest and evidence plain ONNX, no manifest, no evidence"
    parts = ("preprocess", "inference", "postprocess", "total")
    shown = {part: line.split()[2:] for part in parts for line in out.splitlines() if line.startswith(f"{part} p50 ")}
    assert {part for part, (_, of_plain) in shown.items() if of_plain == "-"} == {*parts} - {"inference"}
    assert min(float(shown["inference"][1]), *(float(ours) for ours, _ in shown.values())) > 0
    assert f"{plain}: plain ONNX, no manifest, no evidence. Its graph was run on a ready array, input float32" in out
    ours, other = json.loads((tmp_path / "r.json").read_text())["files"]
    assert (other["manifest"], other["evidence"], other["metric"]) == (None, None, None)
    assert [other[f"{part}_ms"] for part in ("preprocess", "postprocess", "total")] == [None] * 3
    assert other["inference_ms"]["n"] == 3
    assert (other["plain"]["layout"], other["plain"]["height"], other["plain"]["width"]) == ("nchw", 12, 16)
    assert ours["manifest"] == {"name": "test", "width": 1.0}
    assert ours["evidence"]["precision"] == "float32"
    assert ours["plain"] is None
    assert ours["total_ms"]["n"] == 3


def test_bench_starts_processes_of_plain_onnx_too(plain, capfd):
    options = ["--threads", "1", "--runs", "1", "--warmup", "0", "--starts", "1", "--format", "json"]
    assert main(["bench", plain, *options]) == 0
    startup = json.loads(capfd.readouterr().out)["files"][0]["startup"]
    assert startup["n"] == 1
    assert 0 < startup["first_inference_ms"] < startup["first_answer_ms"] < startup["total_ms"]
    assert 0 < startup["session_ms"] < startup["total_ms"]


def test_bench_compares_plain_onnx_with_an_earlier_report(plain, tmp_path, capfd):
    old = tmp_path / "old.json"
    assert main(["bench", plain, *QUICK, "--report", str(old)]) == 0
    assert main(["bench", plain, *QUICK, "--compare", str(old), "--max-regression", "1000"]) == 0
    assert "within the limit" in capfd.readouterr().out


def test_bench_takes_what_the_graph_leaves_open(tmp_path, capfd):
    path = tmp_path / "free.onnx"
    path.write_bytes(plain_files.make_plain(shape=("N", 3, "h", 3)))
    assert main(["bench", str(path), *QUICK]) == 2
    told = ["--layout", "nchw", "--image-size", "9,3", "--format", "json"]
    capfd.readouterr()
    assert main(["bench", str(path), *QUICK, "--starts", "1", *told]) == 0
    assert json.loads(capfd.readouterr().out)["files"][0]["plain"]["height"] == 9


@pytest.mark.parametrize("option", [["--layout", "nchw"], ["--image-size", "4,4"]], ids=" ".join)
def test_bench_refuses_what_is_for_plain_onnx_where_there_is_none(write_model, option, capsys):
    assert main(["bench", write_model(), *QUICK, *option]) == 2
    assert option[0] in capsys.readouterr().err.splitlines()[-1]
    assert main(["bench", "a.onnx", "--scenario", "offline", *option]) == 2
    assert option[0] in capsys.readouterr().err.splitlines()[-1]


def test_bench_refuses_a_scenario_of_plain_onnx(plain, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert main(["bench", plain, "--scenario", "offline"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "--scenario: it cannot take effect on" in last
    assert "nobody can read those of plain ONNX" in last
