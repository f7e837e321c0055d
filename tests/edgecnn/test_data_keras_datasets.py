import socket
import sys

import numpy as np
import pytest

from edgecnn.data.keras_datasets import read_keras_dataset
from edgecnn.errors import DatasetError, MissingDependencyError


def balanced(images, *, shape, column):
    class_ids = np.tile(np.arange(10), images // 10).astype(np.uint8)
    return np.zeros((images, *shape), np.uint8), class_ids[:, np.newaxis] if column else class_ids


@pytest.mark.parametrize(
    ("name", "shape", "labels"),
    [
        ("mnist", (28, 28), ("0", "1", "9")),
        ("fashion_mnist", (28, 28), ("T-shirt/top", "Trouser", "Ankle boot")),
        ("cifar10", (32, 32, 3), ("airplane", "automobile", "truck")),
    ],
)
def test_read_keras_dataset_names_its_classes(monkeypatch, name, shape, labels):
    parts = [balanced(images, shape=shape, column=name == "cifar10") for images in (40, 20)]
    monkeypatch.setattr(f"keras.datasets.{name}.load_data", lambda: parts)
    dataset = read_keras_dataset(name)
    assert (dataset.labels[0], dataset.labels[1], dataset.labels[9]) == labels
    assert (len(dataset.train), len(dataset.test), dataset.location) == (40, 20, name)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_read_keras_dataset_says_so_when_there_is_no_network(monkeypatch, tmp_path, capfd, name):
    def refuse(*_args, **_kwargs):
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path), raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(DatasetError, match=rf"{name}: .*a network to download it.*\.npz") as caught:
        read_keras_dataset(name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_read_keras_dataset_names_the_command_when_keras_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras.datasets.mnist", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgecnn\[train\]"'):
        read_keras_dataset("mnist")
