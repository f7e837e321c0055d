import json
import sys
import types

import pytest

from edgecnn.benchmarking import ScenarioConfig, bench_scenario
from edgecnn.benchmarking.child import Child
from edgecnn.benchmarking.scenarios import read_log
from edgecnn.errors import MeasurementError, MissingDependencyError
from edgecnn_runtime.errors import ModelFileError


@pytest.fixture
def loadgen():
    """LoadGen itself: an extra, and there is not a wheel for every platform."""
    return pytest.importorskip("mlperf_loadgen")


@pytest.mark.usefixtures("loadgen")
def test_bench_scenario_single_stream_asks_one_sample_at_a_time(write_model):
    config = ScenarioConfig("single-stream", device="cpu", threads=1, queries=70)
    (file,) = bench_scenario([write_model(batch=2)], config).files
    assert (file.queries, file.samples_per_query, file.together) == (70, 1, 2)
    assert file.latency_ms.n == 70
    assert 0 < file.latency_ms.p50 <= file.latency_ms.p90 <= file.latency_ms.p99
    assert file.samples_per_second > 0
    assert (file.valid, file.reasons) == (True, ())


@pytest.mark.usefixtures("loadgen")
def test_bench_scenario_multi_stream_asks_eight_and_says_what_is_missing(write_model):
    config = ScenarioConfig("multi-stream", device="cpu", threads=1, queries=20)
    (file,) = bench_scenario([write_model(batch="batch")], config).files
    assert (file.queries, file.samples_per_query, file.together) == (20, 8, 8)
    assert not file.valid
    assert "at least 662 queries" in " ".join(file.reasons)
    assert file.samples_per_second is None


@pytest.mark.usefixtures("loadgen")
def test_bench_scenario_offline_asks_all_at_once(write_model):
    config = ScenarioConfig("offline", device="cpu", threads=1, queries=37)
    (file,) = bench_scenario([write_model(batch=3)], config).files  # 37 leaves a batch that is not full
    assert (file.queries, file.samples_per_query, file.latency_ms) == (1, 37, None)
    assert file.samples_per_second > 0
    assert file.valid


@pytest.mark.usefixtures("loadgen")
def test_bench_scenario_takes_its_default_and_leaves_no_log(write_model, tmp_path, monkeypatch):
    files, folder = [write_model("a.onnx"), write_model("b.onnx")], tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    stages = []
    report = bench_scenario(files, ScenarioConfig("single-stream", device="cpu"), on_stage=stages.append)
    assert report.config.queries == 100
    assert stages == [f"single-stream: {file}" for file in files]
    assert json.loads(json.dumps(report.to_dict()))["files"][1]["file"] == files[1]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.onnx", "b.onnx", "temporary"]


@pytest.mark.usefixtures("loadgen")
def test_bench_scenario_goes_on_for_as_long_as_asked(write_model):
    config = ScenarioConfig("multi-stream", device="cpu", threads=1, duration_s=0.05)
    report = bench_scenario([write_model()], config)
    assert report.files[0].queries >= 1
    assert "Increase" not in " ".join(report.files[0].reasons)  # LoadGen had enough queries


@pytest.mark.usefixtures("loadgen")
def test_bench_scenario_refuses_a_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="nothing"):
        bench_scenario([str(tmp_path / "nothing.onnx")], ScenarioConfig("offline"))


def test_bench_scenario_names_the_extra_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(MissingDependencyError, match=r'mlcommons-loadgen .*pip install "edgecnn\[loadgen\]"'):
        bench_scenario(["a.onnx"], ScenarioConfig("offline"))


def test_scenario_config_refuses_queries_together_with_a_duration():
    with pytest.raises(ValueError, match="queries or duration_s"):
        ScenarioConfig("offline", queries=5, duration_s=1.0)


def test_read_log_takes_the_last_value_of_each_key(tmp_path):
    entries = [{"key": "a", "value": 1}, {"key": "b", "value": True}, {"key": "a", "value": 2}]
    lines = [f":::MLLOG {json.dumps(entry)}" for entry in entries]
    (tmp_path / "log.txt").write_text("\n".join(["# a comment", *lines, ""]))
    assert read_log(tmp_path / "log.txt") == {"a": 2, "b": True}


def test_bench_scenario_says_so_where_the_log_lacks_a_number(write_model, monkeypatch):
    module = types.SimpleNamespace(__spec__=object())
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", module)
    monkeypatch.setattr(
        "edgecnn.benchmarking.scenarios.run_child", lambda *_args, **_options: Child(0.0, {"together": 1})
    )
    monkeypatch.setattr("edgecnn.benchmarking.scenarios.read_log", lambda _path: {})
    with pytest.raises(MeasurementError, match="expected 'result_query_count' in LoadGen's log"):
        bench_scenario([write_model()], ScenarioConfig("offline"))
