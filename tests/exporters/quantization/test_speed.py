import pytest

from edgecnn_exporters.quantization.speed import measure_speedup


@pytest.fixture(scope="module")
def payload(tiny, tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("speed")).payload()


def test_measure_speedup_says_what_was_measured(tiny, payload, monkeypatch):
    monkeypatch.setattr("edgecnn_exporters.quantization.speed._SECONDS", 0.0)
    speedup = measure_speedup(payload, payload, {"image": tiny.draw(1)[0]})
    assert (speedup.n, speedup.batch, speedup.threads, speedup.provider) == (30, 1, 1, "CPUExecutionProvider")
    assert speedup.float32_ms > 0
    assert speedup.file_ms > 0


def test_measure_speedup_is_the_median_of_the_paired_ratios(tiny, payload, monkeypatch):
    monkeypatch.setattr("edgecnn_exporters.quantization.speed._SECONDS", 0.0)
    times = iter([2.0, 1.0] * 10 + [9.0, 3.0] * 9 + [4.0, 8.0] * 11)
    monkeypatch.setattr("edgecnn_exporters.quantization.speed._time_ms", lambda *_: next(times))
    speedup = measure_speedup(payload, payload, {"image": tiny.draw(1)[0]})
    assert (speedup.ratio, speedup.float32_ms, speedup.file_ms) == (2.0, 4.0, 3.0)
