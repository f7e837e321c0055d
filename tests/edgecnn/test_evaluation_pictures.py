"""The worst answers: which they are, and where they are drawn."""

import numpy as np
import pytest
from PIL import Image

from edgecnn.data.samples import Samples
from edgecnn.data.targets import Boxes, Objects
from edgecnn.evaluation.pictures import WORST, EvaluationPictures, Worst
from edgecnn.models import get_spec
from edgecnn.models.build import build_manifest
from edgecnn_runtime.fonts import Typeface
from edgecnn_runtime.tasks.localization import Localization

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
