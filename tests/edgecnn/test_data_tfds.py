import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edgecnn.data import load_dataset
from edgecnn.data.tfds import read_tfds
from edgecnn.errors import DatasetError, MissingDependencyError, UnknownDatasetError
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Preprocessor


class DatasetNotFoundError(ValueError):
    pass


class ImageFeature:
    pass


class ClassLabel:
    names = ("daisy", "rose")


def encoded(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 4 + seed, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def examples(count, *, class_ids=(0, 1)):
    return [{"image": encoded(i), "label": np.int64(class_ids[i % len(class_ids)])} for i in range(count)]


@pytest.fixture
def tfds(monkeypatch):
    """A small stand-in for the package; `tfds.parts` are its splits."""
    info = SimpleNamespace(
        splits={}, supervised_keys=("image", "label"), features={"image": ImageFeature(), "label": ClassLabel()}
    )

    def as_dataset(*, split, decoders, shuffle_files):
        assert decoders == {"image": "as it is"}
        assert not shuffle_files
        return info.splits[split]

    def download_and_prepare():
        sys.stdout.write("Downloading 1 GB")

    module = SimpleNamespace(
        info=info,
        builder=lambda _: SimpleNamespace(info=info, as_dataset=as_dataset, download_and_prepare=download_and_prepare),
        features=SimpleNamespace(Image=ImageFeature, ClassLabel=ClassLabel),
        decode=SimpleNamespace(SkipDecoding=lambda: "as it is"),
        as_numpy=lambda dataset: dataset,
        disable_progress_bar=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return module


def test_read_tfds_keeps_the_images_encoded(tfds):
    tfds.info.splits.update(train=examples(6), test=examples(4))
    dataset = load_dataset("tfds:flowers")
    assert (dataset.name, dataset.location, dataset.labels) == ("flowers", "tfds:flowers", ("daisy", "rose"))
    assert (dataset.train.targets.ids.tolist(), len(dataset.test)) == ([0, 1, 0, 1, 0, 1], 4)
    assert dataset.train.sources[2] == encoded(2)
    pixels, _ = Preprocessor(ImageInput("image", 5, 6, "rgb", "stretch"))(dataset.train.sources[2])
    assert (pixels == np.asarray(Image.open(io.BytesIO(encoded(2))))).all()


def test_read_tfds_has_a_fingerprint_of_the_content(tfds):
    tfds.info.splits.update(train=examples(6), test=examples(4))
    first, again = read_tfds("flowers").fingerprint, read_tfds("flowers").fingerprint
    tfds.info.splits.update(train=examples(6)[::-1])
    assert first == again
    assert read_tfds("flowers").fingerprint != first


@pytest.mark.parametrize(("splits", "test_images"), [({"validation": 4, "extra": 9}, 4), ({}, 2)])
def test_read_tfds_finds_a_test_part(tfds, splits, test_images):
    tfds.info.splits.update(train=examples(10), **{name: examples(count) for name, count in splits.items()})
    assert len(read_tfds("flowers").test) == test_images


def test_read_tfds_keeps_stdout_for_results(tfds, capfd):
    tfds.info.splits.update(train=examples(10))
    read_tfds("flowers")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"full": examples(4)}, "tfds:flowers: expected a split named train, received full"),
        ({"train": []}, "train: expected images of 2 classes or more, each with its class, received 0 images"),
        ({"train": examples(4, class_ids=[0])}, r"none of \['rose'\]"),
        ({"train": examples(4), "test": examples(4, class_ids=[-1])}, "test: .* 4 of them without a class"),
    ],
)
def test_read_tfds_refuses_splits_that_training_cannot_use(tfds, splits, message):
    tfds.info.splits.update(splits)
    with pytest.raises(DatasetError, match=message):
        read_tfds("flowers")


@pytest.mark.parametrize("keys", [None, ("image", "image"), ("label", "image"), ("image", "label", "label")])
def test_read_tfds_refuses_what_is_no_classification(tfds, keys):
    tfds.info.splits.update(train=examples(4))
    tfds.info.supervised_keys = keys
    with pytest.raises(DatasetError, match="tfds:flowers: expected an image and a class label in each example"):
        read_tfds("flowers")


def test_read_tfds_says_on_one_line_that_there_is_no_network(tfds):
    def refuse(_):
        raise OSError("HTTPSConnectionPool:\nMax retries exceeded")

    tfds.builder = refuse
    with pytest.raises(
        DatasetError, match=r"tfds:flowers: .*a network to download it, received: HTTPSConnectionPool: Max"
    ):
        read_tfds("flowers")


def test_read_tfds_refuses_an_unknown_name(tfds):
    def refuse(_):
        raise DatasetNotFoundError("Dataset flower not found.\nAvailable datasets: ...")

    tfds.builder = refuse
    with pytest.raises(UnknownDatasetError, match=r"^tfds:flower: tensorflow-datasets has no data set of that name$"):
        read_tfds("flower")


def test_read_tfds_names_the_command_when_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgecnn\[tfds\]"'):
        read_tfds("flowers")
