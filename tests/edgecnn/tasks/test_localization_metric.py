import json

import numpy as np
import pytest

from edgecnn.data.targets import Objects
from edgecnn.tasks.localization.metric import MeanIoU
from edgecnn_runtime.decoders import LocationDecoder, OutputSpec
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.tasks.localization import Localization

MANIFEST = Manifest(
    "localization",
    ModelInfo("test", 1.0),
    (ImageInput("image", 8, 8, "gray"),),
    ("cat", "dog", "owl"),
    LocationDecoder(),
    (OutputSpec("logits", (3,)), OutputSpec("boxes", (4,))),
)
BOX = (0, 0, 10, 10)


def answer(class_id, box):
    scores = np.eye(3, dtype=np.float32)[class_id]
    return Localization(scores, np.float32(box), labels=MANIFEST.labels, shape=(20, 20))


@pytest.fixture
def metric():
    """Four images by hand: right in both, right with an IoU of .5, of .4, and of another class."""
    metric = MeanIoU(MANIFEST)
    answers = [(0, BOX), (0, (0, 0, 10, 5)), (1, (0, 0, 10, 4)), (0, BOX)]
    true = [0, 0, 1, 1]
    metric.update([answer(*one) for one in answers[:3]], [Objects.of([BOX], [class_id]) for class_id in true[:3]])
    metric.update([answer(*answers[3])], [Objects.of([BOX], [true[3]])])
    return metric


def test_mean_iou_is_the_mean_over_images_whatever_the_class(metric):
    assert metric.name == "mean_iou"
    assert metric.scores().tolist() == [1, 0.5, pytest.approx(0.4), 1]
    assert metric.value() == pytest.approx(2.9 / 4)


def test_evaluation_says_what_is_right_in_class_and_box(metric):
    evaluation = metric.evaluation(skipped=2)
    assert (evaluation.images, evaluation.skipped) == (4, 2)
    assert (evaluation.accuracy, evaluation.right) == (0.75, 0.5)
    assert evaluation.mean_iou == metric.value()
    assert evaluation.headline() == "mean IoU 0.7250, accuracy 0.7500, right in class and box (IoU 0.5) 0.5000"


def test_evaluation_is_json_with_the_names_of_the_interface(metric):
    tree = json.loads(json.dumps(metric.evaluation().to_dict(), allow_nan=False))
    assert list(tree) == ["images", "skipped", "accuracy", "mean_iou", "right", "per_class"]
    dog = {"name": "dog", "class": 1, "recall": 0.5, "mean_iou": pytest.approx(0.7), "right": 0.0, "support": 2}
    assert tree["per_class"][1] == dog
    assert tree["per_class"][2] == {**dog, "name": "owl", "class": 2, "support": 0} | dict.fromkeys(
        ["recall", "mean_iou", "right"]
    )


def test_evaluation_has_a_table_by_class(metric):
    columns, rows = metric.evaluation().table()
    assert columns == ["class", "recall", "mean IoU", "right", "images"]
    assert rows[2] == ["owl", "-", "-", "-", "0"]


def test_update_refuses_images_without_one_object():
    with pytest.raises(ValueError, match="expected one object an image, received 0"):
        MeanIoU(MANIFEST).update([answer(0, BOX)], [Objects.of([], [])])


def test_a_metric_without_images_has_no_value_to_speak_of():
    assert (MeanIoU(MANIFEST).value(), len(MeanIoU(MANIFEST).scores())) == (0.0, 0)
