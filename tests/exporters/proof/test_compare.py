import dataclasses
import json

import numpy as np
import pytest
import segmentations
from hypothesis import given
from hypothesis import strategies as st
from ranked_metric import Ranked

from edgecnn.tasks.classification.metric import Accuracy
from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.proof.compare import compare
from edgecnn_exporters.proof.gates import TENSOR_BUDGET, quantized_gates
from edgecnn_exporters.proof.source import Reading
from edgecnn_runtime.decoders import (
    DistanceDecoder,
    LocationDecoder,
    OutputSpec,
    ProbabilitiesDecoder,
    SoftmaxDecoder,
)
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.classification import Classification

MANIFEST = Manifest(
    "classification",
    ModelInfo("test", 1.0),
    (ImageInput("image", 2, 2, "gray"),),
    ("a", "b", "c"),
    SoftmaxDecoder(),
    (OutputSpec("logits", (3,)),),
)


class Answering:
    """Logits that are a function of the first three pixels; counts how many images it was given at a time."""

    def __init__(self, change=lambda logits: logits, dtype=np.float32):
        self.change, self.dtype, self.batches = change, dtype, []

    def run(self, feeds):
        self.batches.append(len(feeds["image"]))
        pixels = feeds["image"].reshape(len(feeds["image"]), -1)[:, :3]
        return {"logits": np.asarray(self.change(pixels / 255.0 + np.arange(3)), self.dtype)}

    def results(self, outputs, placements, _manifest=None):
        exponentials = np.exp(outputs["logits"])
        scores = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
        return [Classification(row, labels=MANIFEST.labels, shape=(2, 2)) for row in scores[: len(placements)]]


def batch_of(pixels, truths=None):
    return Batch({"image": pixels}, [Placement((2, 2), (1.0, 1.0), (0.0, 0.0))] * len(pixels), truths)


def images(count, truths=None, seed=0):
    return batch_of(np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 1), dtype=np.uint8), truths)


def verdict(candidate, *batches, reference=None, **options):
    options.setdefault("images_from", "synthetic")
    options.setdefault("metric", lambda: Accuracy(MANIFEST))
    batches = batches or (images(8),)
    return compare(reference or Answering(), candidate, MANIFEST, batches, **options)


def failed(report):
    return [gate.name for gate in report.gates if not gate.passed]


def test_compare_passes_equal_answers():
    report = verdict(Answering())
    assert report.passed
    assert (report.parity.decoded.images, report.parity.decoded.top1_agreement) == (8, 1.0)
    assert report.parity.tensors[0].max_abs == 0


@pytest.mark.parametrize(("factor", "gates"), [(0.9, []), (1.1, ["parity.tensors"])])
def test_compare_draws_the_line_at_the_tensor_budget(factor, gates):
    shift = factor * TENSOR_BUDGET * 3  # the largest logit is 3

    def change(logits):
        return logits + np.array([0, 0, shift])

    full = np.full((1, 2, 2, 1), 255, np.uint8)
    report = verdict(Answering(change, np.float64), batch_of(full), reference=Answering(dtype=np.float64))
    assert failed(report) == gates


def test_compare_names_the_worst_image_over_all_batches():
    def change(logits):
        return logits + (logits[:, :1] > 0.99) * 0.5

    batches = [batch_of(np.zeros((3, 2, 2, 1), np.uint8)) for _ in range(2)]
    batches[1].feeds["image"][1] = 255
    report = verdict(Answering(change), *batches)
    assert report.worst_image == 4
    assert "worst output 'logits', worst image 4 of 6 (synthetic)" in report.summary()


def test_compare_fails_when_a_decided_class_changes():
    report = verdict(Answering(lambda logits: logits[:, ::-1]))
    assert "parity.decided_disagreements" in failed(report)
    assert report.parity.decoded.top1_agreement == 0
    assert report.disagreements == tuple(range(8))


def test_compare_forgives_a_class_that_the_reference_left_undecided():
    tied = np.float64([[1.0, 1.0 + 1e-6, 0.0]])
    report = verdict(Answering(lambda _: tied[:, [1, 0, 2]]), images(1), reference=Answering(lambda _: tied))
    assert report.passed
    assert report.parity.decoded.top1_agreement == 0


@pytest.mark.parametrize("side", ["reference", "candidate"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_compare_fails_on_an_answer_that_is_not_finite(side, bad):
    def change(logits):
        logits[2, 1] = bad
        return logits

    report = verdict(Answering(**({"change": change} if side == "candidate" else {})),
                     reference=Answering(change) if side == "reference" else None)  # fmt: skip
    assert failed(report) == ["parity.non_finite_images"]
    assert report.non_finite == (2,)
    assert report.parity.decoded.top1_agreement == 7 / 8
    assert json.dumps(report.to_dict(), allow_nan=False)


def test_compare_fails_when_no_answer_is_finite():
    report = verdict(Answering(lambda logits: logits * np.nan))
    assert failed(report) == ["parity.non_finite_images"]


@given(counts=st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(any), batch=st.integers(1, 5))
def test_compare_splits_and_fills_batches_for_a_fixed_batch_size(counts, batch):
    candidate = Answering()
    batches = [images(count, seed=count) for count in counts]
    report = verdict(candidate, *batches, candidate_batch=batch)
    assert report.passed
    assert report.parity.decoded.images == sum(counts)
    assert set(candidate.batches) == {batch}


def test_compare_measures_the_metric_of_both():
    class_ids = np.array([2, 2, 2, 0, 1, 2, 2, 2])  # the reference always says 2
    report = verdict(Answering(lambda logits: logits[:, ::-1]), images(8, class_ids))
    assert report.parity.metric is not None
    assert (report.parity.metric.name, report.parity.metric.images) == ("accuracy", 8)
    assert (report.parity.metric.source, report.parity.metric.file) == (6 / 8, 1 / 8)
    assert {type(report.parity.metric.source), type(report.parity.metric.file)} == {float}
    assert "parity.accuracy" in failed(report)


def test_compare_has_no_metric_without_labels():
    assert verdict(Answering()).parity.metric is None


def test_compare_has_no_metric_when_one_batch_has_no_labels():
    assert verdict(Answering(), images(2, np.array([2, 2])), images(2)).parity.metric is None


def test_compare_takes_any_metric():
    class Count:
        name, manifest = "count", MANIFEST

        def __init__(self):
            self.total = 0

        def update(self, results, class_ids):
            self.total += len(results) + int(class_ids.sum())

        def value(self):
            return self.total

        def scores(self):
            return None

    report = verdict(Answering(), images(3, np.array([1, 1, 1])), metric=Count)
    assert (report.parity.metric.name, report.parity.metric.source, report.parity.metric.file) == ("count", 6, 6)


class Renamed(Answering):
    """Says by which manifests it was asked to read its outputs."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def results(self, outputs, placements, manifest=None):
        self.asked.append(manifest)
        labels = MANIFEST.labels if manifest is None else manifest.labels
        return [dataclasses.replace(one, labels=labels) for one in super().results(outputs, placements)]


@pytest.mark.parametrize("labels", [MANIFEST.labels, ("x", "y", "z")])
def test_compare_feeds_the_metric_what_its_own_manifest_keeps_and_level_2_what_the_device_does(labels):
    class Seen(Accuracy):
        def update(self, results, truths):
            super().update(results, truths)
            seen.append({result.labels for result in results})

    own = dataclasses.replace(MANIFEST, labels=labels)
    seen, reference, batches = [], Renamed(), [images(3, np.array([1, 1, 1])), images(2, np.array([0, 1]), seed=1)]
    report = verdict(Answering(), *batches, reference=reference, metric=lambda: Seen(own))
    assert seen == [{labels}] * 4  # the source's and the file's, of two batches
    assert reference.asked == ([MANIFEST] * 2 if labels == MANIFEST.labels else [MANIFEST, own] * 2)
    assert (report.passed, report.parity.decoded.images, report.parity.metric.images) == (True, 5, 5)


def test_compare_judges_a_metric_that_is_no_mean_by_its_drop_without_a_bound():
    truths = np.array([2] * 8)
    report = verdict(
        Answering(lambda logits: logits[:, ::-1]),
        images(8, truths),
        metric=lambda: Ranked(MANIFEST),
        gates=quantized_gates("int8", 0.5),
    )
    source, file = report.parity.metric.source, report.parity.metric.file
    gate = report.gates[-1]
    assert (gate.name, gate.budget, gate.bound, gate.decided) == ("parity.ap50_drop", 0.5, None, True)
    assert (gate.value, gate.passed) == (source - file, False)
    assert gate.value == 1.0


def test_compare_refuses_no_images():
    with pytest.raises(ExportError, match="at least one image"):
        verdict(Answering(), images(0))


def test_compare_refuses_outputs_of_another_shape():
    with pytest.raises(ExportError, match=r"\(8, 3\).*received.*\(8, 2\)"):
        verdict(Answering(lambda logits: logits[:, :2]))


def test_compare_reads_batches_one_at_a_time():
    alive = []

    def stream():
        for count in (2, 3):
            assert sum(candidate.batches) == sum(alive)
            alive.append(count)
            yield images(count)

    candidate = Answering()
    assert compare(Answering(), candidate, MANIFEST, stream(), images_from="x").parity.decoded.images == 5


class Says(Answering):
    """Gives other scores than its logits mean."""

    def results(self, outputs, placements, _manifest=None):
        return [dataclasses.replace(one, scores=one.scores[::-1]) for one in super().results(outputs, placements)]


def test_compare_takes_the_scores_that_the_source_gives_and_not_those_that_the_runtime_decodes():
    report = verdict(Answering(), images(8, np.full(8, 2)), reference=Says())
    assert failed(report) == ["parity.scores", "parity.decided_disagreements", "parity.accuracy"]
    assert report.parity.tensors[0].max_abs == 0
    assert (report.parity.metric.source, report.parity.metric.file) == (0.0, 1.0)


def test_compare_refuses_scores_of_another_number_of_classes():
    class Few(Answering):
        def results(self, outputs, placements, _manifest=None):
            return [dataclasses.replace(one, scores=one.scores[:2]) for one in super().results(outputs, placements)]

    with pytest.raises(ValueError, match=r"expected as many as the source gives, \(2,\), received \(3,\)"):
        verdict(Answering(), reference=Few())


# What a file of fewer bits must not be, whatever the metric may lose. The logits spread by 0.3 about their means.

BROKEN = {
    "zero": lambda logits: logits * 0,
    "constant": lambda logits: np.broadcast_to(logits.mean(axis=0), logits.shape),
    "permuted": lambda logits: np.roll(logits, 1, axis=1),
    "half dead": lambda logits: np.where([True, True, False], logits.mean(axis=0), logits),
    "negated": lambda logits: -logits,
}


@pytest.mark.parametrize("precision", ["int8", "float16"])
@pytest.mark.parametrize("fault", BROKEN)
def test_compare_refuses_broken_outputs_where_the_labels_are_at_chance(precision, fault):
    labels = np.random.default_rng(5).integers(0, 3, 60)
    report = verdict(Answering(BROKEN[fault]), images(60, labels), gates=quantized_gates(precision, 1.0))
    assert "parity.outputs" in failed(report)


@pytest.mark.parametrize(("part", "passed"), [(0.2, True), (0.6, False)])
def test_compare_lets_pass_what_int8_rounds_away(part, passed):
    def change(logits):
        return logits + np.random.default_rng(1).normal(0, part * 0.29, logits.shape)

    report = verdict(Answering(change), images(200), gates=lambda numbers: quantized_gates("int8", 0.01)(numbers)[:-1])
    assert report.passed is passed


# Numbers that the decoder does not read for what they are.


@pytest.mark.parametrize(
    ("decoder", "change", "message"),
    [
        (
            SoftmaxDecoder(),
            lambda x: x / x.sum(axis=1, keepdims=True),
            r'sum to 1 on all 8 images.*Write "probabilities"',
        ),
        (ProbabilitiesDecoder("logits"), lambda x: x, r'expected scores from 0 to 1, received .*Write "softmax"'),
        (DistanceDecoder("logits"), lambda x: x - 1.5, r'expected distances of 0 or more, received .*Write "softmax"'),
    ],
)
def test_compare_refuses_numbers_that_the_decoder_does_not_read(decoder, change, message):
    manifest, model = dataclasses.replace(MANIFEST, decoder=decoder), Answering(change)
    with pytest.raises(ManifestError, match=message):
        compare(model, model, manifest, [images(8)], images_from="synthetic")


def test_compare_lets_one_row_sum_to_1_by_chance():
    def change(logits):
        logits[0] = [0.2, 0.3, 0.5]
        return logits

    assert verdict(Answering(change), reference=Answering(change)).passed


def test_reading_names_a_cure_that_the_task_has():
    outputs = (OutputSpec("logits", (3,)), OutputSpec("boxes", (4,)))
    reading = Reading(dataclasses.replace(MANIFEST, task="localization", decoder=LocationDecoder(), outputs=outputs))
    reading.update(np.float32([[0.2, 0.3, 0.5], [1, 0, 0]]))
    with pytest.raises(ManifestError, match=r"a softmax was taken of already\. Let the model end there in a layer"):
        reading.check()


@pytest.mark.parametrize("is_softmax", [True, False])
def test_reading_counts_every_place_of_a_map(is_softmax):
    reading = Reading(segmentations.make_manifest((None, None)))
    for size in ((1, 4, 6), (2, 3, 3)):
        maps = np.random.default_rng(0).dirichlet([1, 1, 1], size).astype(np.float32)
        maps[0, 0, 0] = [0.2, 0.3, 0.5] if is_softmax else [2.0, 0.3, 0.5]
        reading.update(maps)
    if not is_softmax:
        reading.check()
        return
    with pytest.raises(ManifestError, match=r"on all 3 images, .* Let the model end there in a layer"):
        reading.check()
