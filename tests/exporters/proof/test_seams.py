"""What tiles change, of made-up models whose answers are known."""

import numpy as np
import pytest
import segmentations

from edgecnn_exporters.proof.seams import compare_seams
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.segmentation import Segmentation

MANIFEST = segmentations.make_manifest((32, 32), tiles=(32, 8), color="gray")


class Shades:
    """Says class 0, 1 or 2 of a pixel by its brightness; keeps the sizes that it was given."""

    def __init__(self, turned=0):
        self.sizes, self._turned = [], turned

    def run(self, feeds):
        classes = feeds["image"][..., 0] // 86
        self.sizes.append(classes.shape[1:])
        classes[:, : self._turned] = (classes[:, : self._turned] + 1) % 3
        return {"logits": np.eye(3, dtype=np.float32)[classes]}

    def results(self, outputs, placements, manifest=None):
        del manifest
        maps = outputs["logits"].argmax(axis=3).astype(np.uint8)
        return [
            Segmentation(one, num_classes=3, labels=None, shape=place.image_size)
            for one, place in zip(maps, placements, strict=True)
        ]


def batches(*sizes):
    """Noise of these sizes, one a batch."""
    random = np.random.default_rng(0)
    for size in sizes:
        pixels = random.integers(0, 256, (1, *size, 1), dtype=np.uint8)
        yield Batch({"image": pixels}, [Placement(size, (1.0, 1.0), (0.0, 0.0))])


def test_the_seam_is_the_largest_part_of_a_pictures_pixels_that_tiles_turn():
    whole, tiled = Shades(), Shades(turned=3)  # rows
    seam = compare_seams(whole, tiled, MANIFEST, list(batches((50, 70), (40, 90))))
    assert whole.sizes == tiled.sizes == [(48, 64), (40, 88)]  # multiples of what 8 and 32 are multiples of
    assert seam.max_pixels_difference == 3 / 40
    assert (seam.pictures, seam.height, seam.width) == (2, 40, 88)


def test_there_is_no_seam_where_nothing_changes():
    assert compare_seams(Shades(), Shades(), MANIFEST, list(batches((40, 40)))).max_pixels_difference == 0


def test_pictures_of_one_tile_are_passed_over_and_four_are_enough():
    whole = Shades()
    seam = compare_seams(whole, Shades(), MANIFEST, batches((32, 32), (39, 39), (7, 90), *[(40, 40)] * 9))
    assert whole.sizes == [(40, 40)] * 4
    assert seam.pictures == 4


def test_large_pictures_are_cut_to_what_the_network_has_memory_for():
    whole = Shades()
    compare_seams(whole, Shades(), MANIFEST, batches((1100, 40)))
    assert whole.sizes == [(1024, 40)]


@pytest.mark.parametrize("given", [None, [(20, 20)]])
def test_drawn_pictures_are_taken_where_the_data_have_no_large_ones(given):
    whole = Shades()
    seam = compare_seams(whole, Shades(1), MANIFEST, None if given is None else batches(*given))
    assert whole.sizes == [(64, 64)] * 4
    assert (seam.pictures, seam.max_pixels_difference) == (4, 1 / 64)


def test_a_tile_as_large_as_any_picture_has_no_seam():
    manifest = segmentations.make_manifest((1024, 1024), tiles=(1024, 256), color="gray")
    assert compare_seams(Shades(), Shades(), manifest, batches((2000, 2000))) is None
