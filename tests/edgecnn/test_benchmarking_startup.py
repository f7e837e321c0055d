import pytest

from edgecnn.benchmarking import BenchConfig
from edgecnn.benchmarking.child import Child
from edgecnn.benchmarking.picture import make_picture
from edgecnn.benchmarking.startup import _parts, _summarise, measure_startups
from edgecnn.errors import MeasurementError


def child(*, started=10.0, answered=10.5, peak=100):
    marks = {"entered": started + 0.02, "imported": started + 0.22, "loaded": started + 0.25, "answered": answered}
    return Child(started, {**marks, "session_ms": 20.0, "first_inference_ms": 4.0, "peak_memory_bytes": peak})


def test_measure_startups_counts_the_processes_that_were_asked_for(write_model):
    config = BenchConfig(threads=1, device="cpu", starts=2)
    first, second = measure_startups([write_model("a.onnx"), write_model("b.onnx", batch=2)], config, make_picture())
    assert (first.n, second.n) == (2, 2)
    for startup in (first, second):
        assert 0 < startup.first_inference_ms < startup.first_answer_ms < startup.total_ms
        assert 0 < startup.session_ms < startup.total_ms
        assert startup.total_min_ms <= startup.total_ms <= startup.total_max_ms
        assert startup.peak_memory_bytes > 10_000_000


def test_measure_startups_says_what_a_process_failed_of(tmp_path):
    with pytest.raises(MeasurementError, match=r"nothing\.onnx: process start: .*ModelFileError: .*No such file"):
        measure_startups([str(tmp_path / "nothing.onnx")], BenchConfig(starts=1), make_picture())


def test_measure_startups_leaves_no_file_behind(write_model, tmp_path, monkeypatch):
    model, folder = write_model(), tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    measure_startups([model], BenchConfig(starts=1), make_picture())
    assert list(folder.iterdir()) == []


def test_parts_add_up_to_the_whole():
    start = _parts(child())
    assert start.interpreter_ms == pytest.approx(20)
    assert start.import_ms == pytest.approx(200)
    assert (start.read_ms, start.session_ms) == (pytest.approx(10), 20)
    assert start.first_answer_ms == pytest.approx(250)
    assert start.total_ms == pytest.approx(500)


def test_summarise_takes_medians_and_the_largest_memory():
    starts = [_parts(child(answered=10 + seconds, peak=peak)) for seconds, peak in ((0.5, 7), (0.9, 9), (0.6, 8))]
    startup = _summarise(starts)
    assert (startup.n, startup.peak_memory_bytes) == (3, 9)
    assert (startup.total_min_ms, startup.total_ms, startup.total_max_ms) == pytest.approx((500, 600, 900))


def test_summarise_leaves_the_memory_open_where_the_system_does_not_tell():
    assert _summarise([_parts(child(peak=None))]).peak_memory_bytes is None
