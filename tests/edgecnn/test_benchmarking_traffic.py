import io
import types

import numpy as np
import pytest
from PIL import Image

from edgecnn.benchmarking.traffic import TOGETHER, Answerer, System, make_settings
from edgecnn_runtime import Predictor


class FakeLoadGen:
    """What `System` calls of LoadGen; counts what was completed."""

    def __init__(self):
        self.completed = []

    def QuerySampleResponse(self, identity, data, size):  # noqa: N802  (LoadGen's name)
        return identity, data, size

    def QuerySamplesComplete(self, responses):  # noqa: N802
        self.completed.append([identity for identity, _, _ in responses])


def png(gray):
    encoded = io.BytesIO()
    Image.new("L", (4, 4), gray).save(encoded, "PNG")
    return encoded.getvalue()


def query(count):
    return [types.SimpleNamespace(id=100 + index, index=index) for index in range(count)]


@pytest.fixture
def answerer(write_model):
    """Makes an answerer of two samples, whose batches are noted: `answerer(batch)` returns it and the notes."""

    def make(batch):
        predictor = Predictor.load(write_model(batch=batch), device="cpu", threads=1)
        run, batches = predictor.session.run, []
        predictor.session.run = lambda feeds: batches.append(feeds["image"]) or run(feeds)
        return Answerer(predictor, [png(0), png(200)]), batches

    return make


@pytest.mark.parametrize(("batch", "together"), [(1, 1), (3, 3), ("batch", TOGETHER)])
def test_answerer_runs_as_many_together_as_the_graph_takes(answerer, batch, together):
    assert answerer(batch)[0].together == together


def test_answerer_fills_up_a_fixed_batch_with_the_last_sample(answerer):
    subject, batches = answerer(3)
    subject.answer([0, 1])
    (pixels,) = batches
    assert pixels.shape == (3, 4, 4, 1)
    assert not np.array_equal(pixels[0], pixels[1])
    assert np.array_equal(pixels[1], pixels[2])


def test_answerer_runs_a_free_batch_as_it_is(answerer):
    subject, batches = answerer("batch")
    subject.answer([1])
    assert batches[0].shape == (1, 4, 4, 1)


def test_answerer_probe_takes_the_fastest_after_the_warm_up(answerer):
    subject, batches = answerer(1)
    assert subject.probe(1, warmup=4) > 0
    assert len(batches) == 4 + 5


def test_system_completes_a_query_batch_by_batch():
    loadgen, asked = FakeLoadGen(), []
    answerer = types.SimpleNamespace(together=2, answer=asked.append)
    system = System(loadgen, answerer)
    system.issue(query(5))
    assert asked == [[0, 1], [2, 3], [4]]
    assert loadgen.completed == [[100, 101], [102, 103], [104]]
    assert system.problem is None


def test_system_keeps_the_first_error_and_completes_the_rest_without_work():
    loadgen, asked = FakeLoadGen(), []

    def fail(indices):
        asked.append(indices)
        raise KeyboardInterrupt

    system = System(loadgen, types.SimpleNamespace(together=1, answer=fail))
    system.issue(query(3))
    assert asked == [[0]]
    assert loadgen.completed == [[100], [101], [102]]
    assert isinstance(system.problem, KeyboardInterrupt)


@pytest.mark.parametrize("scenario", ["single-stream", "multi-stream", "offline"])
def test_make_settings_asks_for_exactly_so_many_queries(scenario):
    loadgen = pytest.importorskip("mlperf_loadgen")
    settings = make_settings(loadgen, scenario, queries=40, duration_s=None, sample_s=0.004)
    assert settings.scenario.name == scenario.title().replace("-", "")
    assert (settings.min_query_count, settings.max_query_count, settings.min_duration_ms) == (40, 40, 0)


def test_make_settings_lets_queries_be_prepared_for_a_faster_system():
    loadgen = pytest.importorskip("mlperf_loadgen")
    settings = make_settings(loadgen, "offline", queries=None, duration_s=2.5, sample_s=0.004)
    assert (settings.min_query_count, settings.max_query_count, settings.min_duration_ms) == (1, 0, 2500)
    assert settings.single_stream_expected_latency_ns < 4_000_000
    assert settings.multi_stream_expected_latency_ns < 8 * 4_000_000
    assert settings.offline_expected_qps > 250
