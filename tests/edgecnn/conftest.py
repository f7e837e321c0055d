import resource
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

CLASSES = ("cat", "dog", "owl")


def labelled_pixels(images_per_class, *, classes=3, side=8, seed=0):
    """Images that a linear model can tell apart: class i is bright in column i."""
    random = np.random.default_rng(seed)
    class_ids = np.tile(np.arange(classes), images_per_class)
    pixels = random.integers(0, 60, (len(class_ids), side, side), dtype=np.uint8)
    pixels[np.arange(len(class_ids)), :, class_ids] = 220
    return pixels, class_ids


@pytest.fixture
def arrays():
    """The four arrays of a small, valid data set."""
    x_train, y_train = labelled_pixels(8)
    x_test, y_test = labelled_pixels(3, seed=1)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@pytest.fixture
def write_npz(tmp_path):
    def write(name="set.npz", **contents):
        path = tmp_path / name
        np.savez(path, **contents)
        return path

    return write


@pytest.fixture
def npz(arrays, write_npz):
    """The path of a small data set of three classes with names."""
    return write_npz(**arrays, labels=np.array(CLASSES))


@pytest.fixture
def write_classes():
    """Writes a folder a class of PNGs: `write(root, cat=2, dog=3)`."""

    def write(root, **images_by_class):
        for class_id, (name, count) in enumerate(images_by_class.items()):
            folder = root / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (6, 5), (40 * class_id, 20 * index, 7)).save(folder / f"{index}.png")
        return root

    return write


@pytest.fixture
def disk_with_room_for():
    """Lets no file grow beyond so many bytes in the block, as on a full disk; pytest's own log is such a file too."""

    @contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
