import types

import numpy as np
import pytest
import segmentations

from edgecnn.data import iter_batches
from edgecnn.data.batches import images_together, iter_placed_batches
from edgecnn.data.folders import read_folders
from edgecnn.data.masks import read_masks
from edgecnn.data.npz import read_npz
from edgecnn.errors import DatasetError
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Preprocessor

PREPROCESSOR = Preprocessor(ImageInput(name="image", height=12, width=10, color="gray"))


def test_iter_batches_gives_every_image_once_in_order(npz):
    test = read_npz(npz).test
    pixels, targets = zip(*iter_batches(test, PREPROCESSOR, 4), strict=True)
    assert [len(part) for part in pixels] == [4, 4, 1]
    assert np.concatenate([one.ids for one in targets]).tolist() == test.targets.ids.tolist()
    assert (np.concatenate(pixels)[5] == PREPROCESSOR(test.sources[5])[0][0]).all()


def test_iter_batches_gives_uint8_of_the_inputs_size(npz):
    pixels, targets = next(iter_batches(read_npz(npz).test, PREPROCESSOR, 2))
    assert (pixels.dtype, pixels.shape, targets.ids.dtype) == (np.uint8, (2, 12, 10, 1), np.int64)


def test_iter_batches_is_a_generator(npz):
    assert isinstance(iter_batches(read_npz(npz).test, PREPROCESSOR, 2), types.GeneratorType)


def test_iter_batches_names_a_broken_image(tmp_path, write_classes):
    write_classes(tmp_path, cat=5, dog=5)
    for path in (tmp_path / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"/dog/\d\.png: "):
        list(iter_batches(read_folders(tmp_path).train, PREPROCESSOR, 2))


def test_iter_placed_batches_says_where_the_image_lies(npz):
    batch = next(iter_placed_batches(read_npz(npz).test, PREPROCESSOR, 2))
    assert [placement.image_size for placement in batch.placements] == [(8, 8), (8, 8)]


def test_iter_placed_batches_refuses_an_empty_batch(npz):
    with pytest.raises(ValueError, match="batch_size: expected at least 1, received 0"):
        next(iter_placed_batches(read_npz(npz).test, PREPROCESSOR, 0))


@pytest.mark.parametrize(
    ("size", "tiles", "count"),
    [
        ((16, 16), None, 64),
        ((128, 128), None, 64),
        ((256, 256), None, 16),
        ((1000, 1000), None, 1),
        ((2000, 2000), None, 1),
        ((None, None), None, 1),
        ((32, 32), (32, 8), 1),
    ],
)
def test_images_together_are_as_many_as_memory_has_room_for(size, tiles, count):
    assert images_together(segmentations.make_manifest(size, tiles=tiles)) == count


def test_iter_placed_batches_ends_a_batch_where_the_next_image_is_of_another_size(tmp_path):
    sizes = [(16, 24), (13, 20), (9, 9), (15, 17), (16, 24)]
    segmentations.write_masks(tmp_path, {"test": sizes})
    free = Preprocessor(segmentations.make_manifest((None, None), color="gray").image_input)
    found = list(iter_placed_batches(read_masks(tmp_path).test, free, 4))
    assert [batch.positions.tolist() for batch in found] == [[0, 1], [2], [3], [4]]
    assert [batch.pixels.shape[1:3] for batch in found] == [(16, 24), (16, 16), (16, 24), (16, 24)]
    assert [one.image_size for batch in found for one in batch.placements] == sizes
    assert [len(batch.targets) for batch in found] == [2, 1, 1, 1]
