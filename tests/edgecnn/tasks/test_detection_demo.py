"""The picture of the demonstration, without its training."""

import numpy as np
from PIL import Image

from edgecnn.data.samples import Samples
from edgecnn.data.targets import Boxes, Objects
from edgecnn.tasks.detection.demo import show
from edgecnn_runtime.drawing import class_color
from edgecnn_runtime.tasks.detection import Detections

LABELS = ("cat", "dog")
CAT, DOG, NOWHERE = (10, 10, 40, 40), (50, 20, 90, 70), (100, 5, 120, 25)


class Answering:
    """Finds in every picture what it is told to, and looks at none."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def predict(self, image):
        self.asked.append(image)
        answers = self.answers[len(self.asked) - 1]
        return Detections(
            np.array([box for _, box in answers], np.float32).reshape(-1, 4),
            np.full(len(answers), 0.75, np.float32),
            np.array([class_id for class_id, _ in answers], np.int64),
            labels=LABELS,
            shape=(96, 128),
        )


def samples_of(*objects):
    pixels = (
        np.zeros((len(objects), 96, 128, 3), np.uint8) + np.arange(len(objects), dtype=np.uint8)[:, None, None, None]
    )
    return Samples(pixels, Boxes(objects), LABELS, "test")


def test_show_counts_what_is_found_and_what_is_false(tmp_path):
    test = samples_of(Objects.of([CAT, DOG], [0, 1]), Objects.of([CAT], [0]), Objects.of([], []))
    file = Answering([(0, CAT), (0, DOG)], [(0, CAT), (1, NOWHERE), (0, CAT)], [])
    told = show(file, test, tmp_path / "picture.png")
    assert told == "3 test images as the int8 file answers them, 2 of 3 objects found, 3 false"
    assert [image.tolist() for image in file.asked] == [image.tolist() for image in test.sources]
    with Image.open(tmp_path / "picture.png") as picture:
        colors = {color for _, color in picture.getcolors(10**6)}
    assert {class_color(0), class_color(1)} <= colors


def test_show_takes_twelve_of_many_and_marks_only_what_is_answered(tmp_path):
    file = Answering(*[[(1, DOG)]] * 20)
    told = show(file, samples_of(*[Objects.of([DOG], [1])] * 20), tmp_path / "picture.png")
    assert told.startswith("12 test images")
    assert "12 of 12 objects found, 0 false" in told
    with Image.open(tmp_path / "picture.png") as picture:
        colors = {color for _, color in picture.getcolors(10**6)}
    assert class_color(1) in colors
    assert class_color(0) not in colors
