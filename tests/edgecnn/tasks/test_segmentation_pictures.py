"""What the sheet of the worst answers shows of a segmenter: picture, truth, answer, and where they differ."""

import numpy as np
import pytest
import segmentations
from PIL import Image

from edgecnn.data.samples import Samples
from edgecnn.data.sheets import Cell
from edgecnn.data.targets import IGNORE, Masks
from edgecnn.evaluation.pictures import WORST, Answered, EvaluationPictures
from edgecnn.tasks.segmentation import pictures
from edgecnn.tasks.segmentation.metric import ClassMapIoU
from edgecnn_runtime.drawing import class_color
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.tasks.segmentation import Segmentation

RED, BLUE = [220, 30, 40], [90, 120, 220]
SIZE = (120, 160)
LABELS = ("sky", "bird", "tree")  # of the model
THEIRS = ("tree", "sky", "bird")  # the same, as the data count them


def quarters(*values):
    """A mask whose quarters, row by row, have these values."""
    return np.kron(np.array(values, np.uint8).reshape(2, 2), np.ones((SIZE[0] // 2, SIZE[1] // 2), np.uint8))


def answered(position, class_map):
    result = Segmentation(class_map, labels=LABELS, shape=SIZE, num_classes=3)
    return Answered(position, 0.25, result)


@pytest.fixture
def samples():
    photos = np.stack([np.full((*SIZE, 3), level, np.uint8) for level in (40, 200)])
    masks = [quarters(0, 0, 0, 0), quarters(1, 2, IGNORE, 0)]  # of the second: sky, bird, nothing said, tree
    return Samples(photos, Masks.of(masks, 3), THEIRS, "test")


def at_middles(image):
    """The colours in the middles of the quarters, row by row."""
    pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    return [pixels[y * height // 4, x * width // 4].tolist() for y in (1, 3) for x in (1, 3)]


def test_where_answers_differ_is_red_and_what_nothing_is_said_of_is_blue(samples):
    given = answered(1, quarters(0, 2, 1, 2))  # sky right, bird answered as tree, anything, tree right
    cells = pictures.compared_cells(segmentations.make_manifest(), samples, given, typeface=Typeface())
    photo, truth, answer, differing = (cell.picture for cell in cells)
    assert at_middles(photo) == [[200] * 3] * 4
    gray = [int(200 * 0.45)] * 3
    assert at_middles(differing) == [gray, RED, BLUE, gray]
    veiled = [[round((200 + part) / 2) for part in class_color(class_id)] for class_id in range(3)]
    for picture, classes in ((truth, (None, 1, None, 2)), (answer, (None, 2, 1, 2))):  # class 0 and ignored stay
        expected = [[200] * 3 if class_id is None else veiled[class_id] for class_id in classes]
        np.testing.assert_allclose(at_middles(picture), expected, atol=1)
    assert [cell.caption for cell in cells] == ["1", "true", "answered, mean IoU 0.2500", "33.3% of the pixels differ"]
    assert all(isinstance(cell, Cell) for cell in cells)


def test_the_sheet_has_a_row_an_image_the_worst_first(samples, tmp_path):
    manifest, metric = segmentations.make_manifest(), ClassMapIoU(segmentations.make_manifest())
    drawn = EvaluationPictures(tmp_path, Typeface())
    maps = [quarters(2, 2, 2, 2), quarters(1, 0, 0, 0)]  # the first is right, the second wrong
    truths = samples.targets.truths(np.array([2, 0, 1]))
    results = [answered(0, class_map).result for class_map in maps]
    metric.update(results, truths)
    drawn.worst.add(np.arange(2), results, metric.image_scores())
    drawn.draw(manifest, samples, metric.evaluation())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", WORST]
    with Image.open(tmp_path / WORST) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    middle = pixels[: pixels.shape[0] // 2], pixels[pixels.shape[0] // 2 :]
    reds = [int((half == RED).all(axis=-1).sum()) for half in middle]
    assert reds[0] > 10_000
    assert reds[1] == 0
