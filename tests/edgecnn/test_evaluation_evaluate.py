import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from ranked_metric import Ranked

from edgecnn.data.folders import read_folders
from edgecnn.data.npz import read_npz
from edgecnn.data.samples import Samples
from edgecnn.data.targets import ClassIds
from edgecnn.errors import DatasetError, UsageError
from edgecnn.evaluation import evaluate, score_dataset
from edgecnn.evaluation.pictures import Worst
from edgecnn.models.adapter import KerasModel
from edgecnn.models.build import build_manifest, build_model, get_spec
from edgecnn.tasks.classification.metric import Accuracy
from edgecnn_runtime.errors import OutputError

CLASSES = ("cat", "dog", "owl")


class BrightestColumn:
    """A model that knows the rule of the test's data: the class is the column that is bright."""

    def __init__(self, classes=3, answer=None):
        self.classes, self.answer, self.batches = classes, answer, []

    def run(self, feeds):
        (pixels,) = feeds.values()
        self.batches.append(pixels.shape)
        logits = pixels[..., 0].mean(axis=1)[:, : self.classes].astype(np.float32)
        return {"logits": logits if self.answer is None else np.full_like(logits, self.answer)}


def manifest_of(labels, classes=None):
    return build_manifest(get_spec("fashion_cnn"), labels, image_size=(8, 8), num_classes=classes)


@pytest.fixture
def test_part(npz):
    return read_npz(npz).test


def test_evaluate_scores_every_image_once(test_part):
    evaluation = evaluate(BrightestColumn(), manifest_of(CLASSES), test_part, batch_size=4)
    assert (evaluation.images, evaluation.accuracy) == (9, 1.0)
    assert evaluation.confusion.tolist() == np.diag([3, 3, 3]).tolist()


def test_evaluate_feeds_full_batches_and_drops_what_fills_them(test_part):
    model = BrightestColumn()
    evaluate(model, manifest_of(CLASSES), test_part, batch_size=4)
    assert model.batches == [(4, 8, 8, 1)] * 3


def test_evaluate_decodes_by_the_manifest_of_the_metric(test_part, monkeypatch):
    class Seen(Accuracy):
        def __init__(self, manifest):
            super().__init__(replace(manifest, labels=("x", "y", "z")))

        def update(self, results, truths):
            super().update(results, truths)
            seen.update(result.labels for result in results)

    seen = set()
    monkeypatch.setattr(sys.modules[evaluate.__module__], "metric_of", lambda manifest: lambda: Seen(manifest))
    assert evaluate(BrightestColumn(), manifest_of(CLASSES), test_part, batch_size=4).accuracy == 1.0
    assert seen == {("x", "y", "z")}


def test_evaluate_keeps_the_worst_images_of_a_metric_that_is_no_mean(test_part, monkeypatch):
    monkeypatch.setattr(sys.modules[evaluate.__module__], "metric_of", lambda manifest: lambda: Ranked(manifest))
    worst = Worst(2)
    wrong = replace(test_part, targets=ClassIds((test_part.targets.ids + (np.arange(9) == 5)) % 3))
    evaluate(BrightestColumn(), manifest_of(CLASSES), wrong, batch_size=4, worst=worst)
    assert [(position, score) for position, score, _ in worst.found()] == [(5, 0.0), (0, 1.0)]


@pytest.mark.parametrize("batch_size", [1, 9, 64])
def test_evaluate_gives_the_same_for_every_batch_size(test_part, batch_size):
    first = evaluate(BrightestColumn(answer=1.0), manifest_of(CLASSES), test_part, batch_size=2)
    second = evaluate(BrightestColumn(answer=1.0), manifest_of(CLASSES), test_part, batch_size=batch_size)
    assert first.to_dict() == second.to_dict()


def test_evaluate_gives_ties_to_the_lower_class(test_part):
    evaluation = evaluate(BrightestColumn(answer=1.0), manifest_of(CLASSES), test_part)
    assert evaluation.confusion.tolist() == [[3, 0, 0]] * 3


def test_evaluate_matches_labels_by_name(test_part):
    turned = Samples(test_part.sources, ClassIds(2 - test_part.targets.ids), CLASSES[::-1], "test")
    evaluation = evaluate(BrightestColumn(), manifest_of(CLASSES), turned)
    assert evaluation.accuracy == 1.0
    assert [entry.name for entry in evaluation.per_class] == list(CLASSES)


@pytest.mark.parametrize("labels", [("cat", "dog", "emu"), ("cat", "dog"), ("cat", "dog", "owl", "emu")], ids=str)
def test_evaluate_refuses_other_labels(test_part, labels):
    with pytest.raises(UsageError, match=r"expected \['cat', 'dog'.*received \['cat', 'dog', 'owl'\]"):
        evaluate(BrightestColumn(), manifest_of(labels), test_part)


def test_evaluate_takes_a_model_without_labels(test_part):
    evaluation = evaluate(BrightestColumn(), manifest_of(None, 3), test_part)
    assert (evaluation.accuracy, evaluation.per_class[0].name) == (1.0, None)


def test_evaluate_refuses_another_number_of_classes_when_there_are_no_labels(test_part):
    with pytest.raises(UsageError, match="expected 4 classes, received"):
        evaluate(BrightestColumn(4), manifest_of(None, 4), test_part)


def test_evaluate_gives_no_top5_below_five_classes(test_part):
    assert evaluate(BrightestColumn(), manifest_of(CLASSES), test_part).top5 is None


@pytest.mark.parametrize(("classes", "top5"), [(5, 1.0), (7, 5 / 7)])
def test_evaluate_counts_the_five_best_with_ties_to_the_lower_class(classes, top5):
    labels = tuple("abcdefg"[:classes])
    samples = Samples(np.zeros((classes, 8, 8), np.uint8), ClassIds(np.arange(classes)), labels, "test")
    evaluation = evaluate(BrightestColumn(classes, answer=0.0), manifest_of(labels), samples)
    assert evaluation.top5 == pytest.approx(top5)


def test_evaluate_refuses_answers_that_are_no_numbers(test_part):
    with pytest.raises(OutputError):
        evaluate(BrightestColumn(answer=np.nan), manifest_of(CLASSES), test_part)


def test_evaluate_names_a_broken_image(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    for path in (tmp_path / "dog").iterdir():
        path.write_bytes(b"<svg/>")
    with pytest.raises(DatasetError, match=r"/dog/\d\.png: "):
        evaluate(BrightestColumn(2), manifest_of(("cat", "dog")), read_folders(tmp_path).test)


@pytest.fixture
def spoilt(tmp_path, write_classes):
    """A folder of ten pictures, two of them bad."""
    write_classes(tmp_path / "set", cat=5, dog=5)
    for name in ("cat/3.png", "dog/0.png"):
        (tmp_path / "set" / name).write_bytes(b"<svg/>")
    return read_folders(tmp_path / "set")


def test_evaluate_names_all_bad_pictures_at_once(spoilt):
    with pytest.raises(DatasetError, match=r"^2 of 10 pictures .*cat/3\.png: .*; \S*dog/0\.png: .*--skip-bad"):
        evaluate(BrightestColumn(2), manifest_of(("cat", "dog")), spoilt.select("all"), batch_size=1)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_evaluate_scores_and_counts_without_bad_pictures(spoilt, batch_size):
    told, samples = [], spoilt.select("all")
    options = {"skip_bad": True, "batch_size": batch_size, "on_batch": lambda *news: told.append(news)}
    evaluation = evaluate(BrightestColumn(2, answer=0.0), manifest_of(("cat", "dog")), samples, **options)
    assert (evaluation.images, evaluation.skipped, evaluation.to_dict()["skipped"]) == (8, 2, 2)
    assert evaluation.confusion.tolist() == [[4, 0], [4, 0]]
    assert told[-1] == (10, 10)


def test_score_dataset_takes_all_and_says_what_was_learned(tmp_path, write_classes, caplog):
    dataset = read_folders(write_classes(tmp_path / "set", cat=10, dog=5))
    model, manifest = BrightestColumn(2), manifest_of(("cat", "dog"))
    with caplog.at_level("INFO", "edgecnn.data.parts"):
        scored = score_dataset(model, manifest, dataset, trained_on=dataset.fingerprint)
    assert (scored.samples.part, scored.evaluation.images, scored.learned) == ("all", 15, 12)
    assert scored.warnings == (
        "12 of these images are those that the model was trained on: score others with --split test",
    )
    assert caplog.messages[0] == "scoring all of set: 15 images"
    others = score_dataset(model, manifest, dataset, split="test", trained_on=dataset.fingerprint)
    assert (others.samples.part, others.evaluation.images, others.learned, others.warnings) == ("test", 3, 0, ())


def test_evaluate_tells_how_far_it_is(test_part):
    told = []
    evaluate(BrightestColumn(), manifest_of(CLASSES), test_part, batch_size=4, on_batch=lambda *news: told.append(news))
    assert told == [(4, 9), (8, 9), (9, 9)]


def test_evaluation_data_and_training_import_neither_tensorflow_nor_pyplot():
    script = (
        "import sys, edgecnn.evaluation, edgecnn.data, edgecnn.training; edgecnn.data.load_dataset('digits'); "
        "print(sorted({'tensorflow', 'keras', 'matplotlib.pyplot'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_evaluate_scores_a_keras_model_as_keras_does(test_part):
    model = build_model("fashion_cnn", image_size=(8, 8), num_classes=3, width=0.1, seed=1)
    logits = model.predict(test_part.sources[..., np.newaxis], verbose=0)
    expected = keras.metrics.SparseCategoricalAccuracy()(test_part.targets.ids, logits)
    evaluation = evaluate(KerasModel(model, manifest_of(CLASSES)), manifest_of(CLASSES), test_part, batch_size=4)
    assert evaluation.accuracy == pytest.approx(float(expected))
