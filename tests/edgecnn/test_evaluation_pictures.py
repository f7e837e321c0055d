"""The worst answers: which they are, and where they are drawn."""

import numpy as np
import pytest
import segmentations
from PIL import Image

from edgecnn.data.samples import Samples
from edgecnn.data.targets import IGNORE, Boxes, Masks, Objects
from edgecnn.evaluation.pictures import WORST, Answered, EvaluationPictures, Worst
from edgecnn.models import get_spec
from edgecnn.models.build import build_manifest
from edgecnn.tasks.segmentation.metric import ClassMapIoU
from edgecnn.tasks.segmentation.pictures import compared_cells
from edgecnn_runtime.drawing import class_color
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.tasks.localization import Localization
from edgecnn_runtime.tasks.segmentation import Segmentation

BOX = (20, 10, 70, 50)  # of the truth, in a picture of 160 x 120, which a place of 320 x 240 shows twice as large
ANSWERS = [(90, 60, 150, 110), BOX]  # the first image's is far off, the second's is right


@pytest.mark.parametrize("batch_size", [1, 7, 60])
@pytest.mark.parametrize("limit", [1, 5, 80])
def test_worst_keeps_the_lowest_scores_whatever_the_batches(batch_size, limit):
    scores = np.random.default_rng(3).integers(0, 8, 60) / 8  # many are equal
    worst = Worst(limit)
    for start in range(0, 60, batch_size):
        positions = np.arange(start, min(start + batch_size, 60))
        worst.add(positions, [f"result {position}" for position in positions], scores[positions])
    expected = sorted(range(60), key=lambda position: (scores[position], position))[:limit]
    assert worst.found() == [(position, scores[position], f"result {position}") for position in expected]


def edges(cell):
    """Returns x1, y1, x2, y2 of all that is no ground, in a place of 320 x 240."""
    rows, columns = np.nonzero(np.asarray(cell.convert("RGB")).max(axis=2) > 40)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_each_image_stands_twice_as_labelled_and_as_answered_the_worst_first(tmp_path):
    pictures = np.zeros((2, 120, 160, 3), np.uint8)
    objects = Objects(np.float32([BOX]), np.array([0]), np.zeros(1, bool), np.zeros(1, bool))
    samples = Samples(pictures, Boxes((objects, objects)), ("",), "test")
    results = [Localization(np.float32([1.0]), np.float32(box), labels=("",), shape=(120, 160)) for box in ANSWERS]
    pictured = EvaluationPictures(tmp_path / "new", Typeface())
    pictured.worst.add(np.array([1, 0]), [results[1], results[0]], np.array([1.0, 0.0]))
    manifest = build_manifest(get_spec("resnet34_localizer"), [""], image_size=(32, 32))
    pictured.draw(manifest, samples, None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [WORST]
    with Image.open(tmp_path / "new" / WORST) as sheet:
        sheet.load()
    step = (sheet.width - 6) // 4
    cells = [sheet.crop((6 + number * step, 6, 6 + number * step + 320, 246)) for number in range(4)]
    expected = [BOX, ANSWERS[0], BOX, ANSWERS[1]]  # the first image with its truth, then the second
    for cell, box in zip(cells, expected, strict=True):
        found = edges(cell)
        assert found[2:] == pytest.approx([2 * side for side in box[2:]], abs=6)  # the caption may stand above the box
        assert found[0] == pytest.approx(2 * box[0], abs=6)


# a segmenter's: picture, truth, answer, and where they differ

RED, BLUE = [220, 30, 40], [90, 120, 220]
MASKED = (120, 160)
LABELS = segmentations.LABELS  # of the model
THEIRS = ("tree", "sky", "bird")  # the same, as the data count them


def quarters(*values):
    """A mask whose quarters, row by row, have these values."""
    return np.kron(np.array(values, np.uint8).reshape(2, 2), np.ones((MASKED[0] // 2, MASKED[1] // 2), np.uint8))


def answered(position, class_map):
    result = Segmentation(class_map, labels=LABELS, shape=MASKED, num_classes=3)
    return Answered(position, 0.25, result)


@pytest.fixture
def masked_samples():
    photos = np.stack([np.full((*MASKED, 3), level, np.uint8) for level in (40, 200)])
    masks = [quarters(0, 0, 0, 0), quarters(1, 2, IGNORE, 0)]  # of the second: sky, bird, nothing said, tree
    return Samples(photos, Masks.of(masks, 3), THEIRS, "test")


def at_middles(image):
    """The colours in the middles of the quarters, row by row."""
    pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    return [pixels[y * height // 4, x * width // 4].tolist() for y in (1, 3) for x in (1, 3)]


def test_where_answers_differ_is_red_and_what_nothing_is_said_of_is_blue(masked_samples):
    given = answered(1, quarters(0, 2, 1, 2))  # sky right, bird answered as tree, anything, tree right
    cells = compared_cells(segmentations.make_manifest(), masked_samples, given, typeface=Typeface())
    photo, truth, answer, differing = (cell.picture for cell in cells)
    assert at_middles(photo) == [[200] * 3] * 4
    gray = [int(200 * 0.45)] * 3
    assert at_middles(differing) == [gray, RED, BLUE, gray]
    veiled = [[round((200 + part) / 2) for part in class_color(class_id)] for class_id in range(3)]
    for picture, classes in ((truth, (None, 1, None, 2)), (answer, (None, 2, 1, 2))):  # class 0 and ignored stay
        expected = [[200] * 3 if class_id is None else veiled[class_id] for class_id in classes]
        np.testing.assert_allclose(at_middles(picture), expected, atol=1)
    assert [cell.caption for cell in cells] == ["1", "true", "answered, mean IoU 0.2500", "33.3% of the pixels differ"]


def test_the_sheet_has_a_row_an_image_the_worst_first(masked_samples, tmp_path):
    manifest, metric = segmentations.make_manifest(), ClassMapIoU(segmentations.make_manifest())
    drawn = EvaluationPictures(tmp_path, Typeface())
    maps = [quarters(2, 2, 2, 2), quarters(1, 0, 0, 0)]  # the first is right, the second wrong
    truths = masked_samples.targets.truths(np.array([2, 0, 1]))
    results = [answered(0, class_map).result for class_map in maps]
    metric.update(results, truths)
    drawn.worst.add(np.arange(2), results, metric.image_scores())
    drawn.draw(manifest, masked_samples, metric.evaluation())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", WORST]
    with Image.open(tmp_path / WORST) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    middle = pixels[: pixels.shape[0] // 2], pixels[pixels.shape[0] // 2 :]
    reds = [int((half == RED).all(axis=-1).sum()) for half in middle]
    assert reds[0] > 10_000
    assert reds[1] == 0


def test_worst_keeps_the_first_of_equal_results_of_one_position():
    worst = Worst(limit=2)
    results = [object() for _ in range(5)]
    worst.add(np.array([0, 0, 0]), results[:3], np.array([0.0, 0.0, 1.0]))
    worst.add(np.array([0, 1]), results[3:], np.array([0.0, 0.0]))
    assert [one.result for one in worst.found()] == results[:2]
