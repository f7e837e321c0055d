import json

import pytest

from edgecnn.benchmarking import BenchConfig, BenchReport, bench
from edgecnn.benchmarking.measuring import METHOD
from edgecnn.benchmarking.picture import IMAGE_SIZE
from edgecnn_runtime.errors import ModelFileError


def keys(tree):
    """The keys of a JSON object and of the objects in it; of a list, those of its first entry."""
    if isinstance(tree, list):
        return keys(tree[0]) if tree else ()
    return {name: keys(value) for name, value in tree.items()} if isinstance(tree, dict) else ()


def no_starts(**options):
    return BenchConfig(starts=0, **options)


def test_bench_measures_each_file_as_often_as_asked(write_model):
    model = write_model()
    report = bench([model, model], no_starts(runs=7, warmup=1, threads=1))
    assert [file.inference_ms.n for file in report.files] == [7, 7]
    assert {file.provider for file in report.files} == {"CPUExecutionProvider"}
    assert [file.threads for file in report.files] == [1, 1]


def test_bench_measures_for_as_long_as_asked(write_model):
    report = bench([write_model()], no_starts(runs=None, duration_s=0.05, warmup=0))
    assert report.files[0].total_ms.n >= 1


def test_bench_spins_only_on_threads_that_were_given(write_model):
    assert bench([write_model()], no_starts(runs=1, threads=1)).spinning
    assert not bench([write_model()], no_starts(runs=1)).spinning


def test_bench_parts_add_up_to_less_than_the_whole(write_model):
    file = bench([write_model()], no_starts(runs=20)).files[0]
    assert file.preprocess_ms.p50 + file.inference_ms.p50 + file.postprocess_ms.p50 <= file.total_ms.p99


def test_bench_reports_no_quality_for_a_file_without_evidence(write_model):
    assert bench([write_model()], no_starts(runs=1)).files[0].metric is None


def test_bench_tells_its_stages(write_model):
    stages = []
    bench([write_model()], BenchConfig(runs=1, starts=1), on_stage=stages.append)
    assert [stage.split(" ")[0] for stage in stages] == ["loading", "starting", "measuring"]


def test_bench_starts_no_process_where_none_is_asked_for(write_model, monkeypatch):
    monkeypatch.setattr("subprocess.run", None)
    assert bench([write_model()], no_starts(runs=1)).files[0].startup is None


def test_bench_refuses_a_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="nothing"):
        bench([str(tmp_path / "nothing.onnx")], BenchConfig())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": None, "duration_s": None}, "runs or duration_s"),
        ({"runs": 5, "duration_s": 1.0}, "runs or duration_s"),
        ({"starts": -1}, "starts"),
    ],
)
def test_config_refuses_what_means_nothing(options, message):
    with pytest.raises(ValueError, match=message):
        BenchConfig(**options)


def test_report_has_the_keys_that_programs_read(write_model):
    tree = json.loads(json.dumps(bench([write_model()], BenchConfig(runs=1, starts=1)).to_dict()))
    spread = dict.fromkeys(("n", "p50", "p90", "p99"), ())
    versions = tree["machine"].pop("versions")
    assert {"edgecnn", "onnxruntime", "numpy", "pillow"} <= versions.keys()
    assert tree["schema_version"] == 3
    assert keys(tree) == {
        "schema_version": (),
        "method": (),
        "config": dict.fromkeys(("device", "threads", "warmup", "runs", "duration_s", "starts"), ()),
        "spinning": (),
        "machine": dict.fromkeys(("system", "cpu", "cpu_family", "cpus", "usable_cpus", "python"), ()),
        "conditions": dict.fromkeys(
            (
                *("seconds", "load_before", "load_after", "other_cpus", "steal", "frequency_before_mhz"),
                *("frequency_after_mhz", "temperature_before_c", "temperature_after_c", "throttle_events", "signs"),
            ),
            (),
        ),
        "files": {
            **dict.fromkeys(("file", "provider", "threads", "metric"), ()),
            "startup": dict.fromkeys(
                (
                    *("n", "interpreter_ms", "import_ms", "read_ms", "session_ms", "first_inference_ms"),
                    *("first_answer_ms", "total_ms", "total_min_ms", "total_max_ms", "peak_memory_bytes"),
                ),
                (),
            ),
            **dict.fromkeys(("preprocess_ms", "inference_ms", "postprocess_ms", "total_ms"), spread),
            **dict.fromkeys(("further_ms", "plain"), ()),
            "manifest": dict.fromkeys(("name", "width"), ()),
            "evidence": dict.fromkeys(("precision", "payload_sha256"), ()),
        },
        "comparison": (),
    }


def test_report_reads_back_from_its_json(write_model):
    report = bench([write_model()], BenchConfig(runs=2, starts=1))
    assert BenchReport.from_json(json.dumps(report.to_dict())) == report


def test_method_names_the_size_of_the_picture():
    height, width = IMAGE_SIZE
    assert f"{height}x{width} pixels" in METHOD
