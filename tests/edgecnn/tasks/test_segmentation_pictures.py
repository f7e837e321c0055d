"""An image beside its masks: by the pixels of what is drawn."""

import numpy as np
import pytest
import segmentations
from PIL import Image

from edgecnn.data.masks import read_masks
from edgecnn.evaluation.pictures import Answered
from edgecnn.tasks.segmentation.metric import ClassMapIoU
from edgecnn.tasks.segmentation.pictures import compared_cells, draw_pictures
from edgecnn.tasks.table import TASKS
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.tasks.segmentation import Segmentation

RED, BLUE, SIZE = (220, 30, 40), (90, 120, 220), (60, 90)


@pytest.fixture
def samples(tmp_path):
    """Two images whose classes stand in another order than the model's; a corner of the second is ignored."""
    segmentations.write_masks(tmp_path, {"test": [SIZE, SIZE]}, labels=("tree", "sky", "bird"))
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "data.yaml").write_text("names: [tree, sky, bird]\nignore: 255\n")
    path = tmp_path / "test" / "masks" / "001.png"
    with Image.open(path) as mask:
        pixels = np.array(mask)
    pixels[:20, :30] = 255
    Image.fromarray(pixels).save(path)
    return read_masks(tmp_path).test


def answer(class_map):
    return Segmentation(class_map, num_classes=3, labels=segmentations.LABELS, shape=SIZE)


def test_what_differs_is_red_and_what_is_ignored_blue(samples):
    theirs = samples[1][1]
    truth = np.array([2, 0, 1, *[255] * 253], np.uint8)[theirs]  # tree, sky, bird as the model counts them
    given = np.where(truth == 255, 0, truth)
    given[40:50, 60:80] = (given[40:50, 60:80] + 1) % 3
    image, true, answered, apart = compared_cells(
        segmentations.make_manifest(), samples, Answered(1, 0.75, answer(given)), typeface=Typeface()
    )
    pixels = np.asarray(apart.picture)
    assert ((pixels == RED).all(axis=2) == ((truth != 255) & (truth != given))).all()
    assert ((pixels == BLUE).all(axis=2) == (truth == 255)).all()
    assert apart.caption == f"{200 / (60 * 90 - 600):.1%} of the pixels differ"
    assert (image.caption, true.caption, answered.caption) == ("001.png", "true", "answered, mean IoU 0.7500")
    assert np.asarray(image.picture)[0, 0].tolist() == [np.asarray(Image.open(samples.sources[1]))[0, 0]] * 3
    assert np.asarray(true.picture).shape == np.asarray(answered.picture).shape
    assert (np.asarray(true.picture) != np.asarray(answered.picture)).any()


def test_the_confusion_is_drawn(samples, tmp_path):
    metric = ClassMapIoU(segmentations.make_manifest())
    for index in range(len(samples)):
        metric.update([answer(samples[0][1])], [samples[index][1]])
    folder = tmp_path / "drawn"
    folder.mkdir()
    draw_pictures(metric.evaluation(), folder)
    assert tuple(path.name for path in folder.iterdir()) == TASKS["segmentation"].picture_names
    with Image.open(folder / "confusion.png") as drawn:
        drawn.load()
