"""Data sets of the TensorFlow Datasets catalogue, an optional extra."""

import contextlib
import importlib
import sys
from typing import Any

import numpy as np

from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.targets import ClassIds
from edgecnn.errors import DatasetError, MissingDependencyError, UnknownDatasetError


def read_tfds(name: str) -> Dataset:
    """Reads a labelled image data set through tensorflow-datasets, which keeps a copy under the home folder.

    The images stay encoded: Pillow decodes them later, one by one, as it does on the device.

    Args:
        name: as TensorFlow Datasets has it, for example "tf_flowers" or "cars196:2.1.0".

    Returns:
        The splits "train", "validation" as val, and "test"; without the last two, a seeded fifth of each class is test.

    Raises:
        MissingDependencyError: tensorflow-datasets is not installed.
        UnknownDatasetError: it has no data set of that name.
        DatasetError: no network and no copy; or not images with one class each.

    Reference:
        https://www.tensorflow.org/datasets
    """
    try:
        tfds = importlib.import_module("tensorflow_datasets")  # brings TensorFlow, which no other data need
    except ImportError as error:
        raise MissingDependencyError.of("tensorflow_datasets") from error
    location = f"tfds:{name}"
    builder = _prepared(tfds, name, location)
    splits = list(builder.info.splits)
    if "train" not in splits:
        raise DatasetError(f"{location}: expected a split named train, received {', '.join(splits)}")
    train = _read(tfds, builder, "train", part="train", location=location)
    others = [
        _read(tfds, builder, split, part=part, location=location)
        for split, part in (("validation", "val"), ("test", "test"))
        if split in splits
    ]
    return make_dataset(name, location, [train, *others])


def _prepared(tfds: Any, name: str, location: str) -> Any:
    """Returns the builder of a data set that lies on the disk whole, downloaded where it did not."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it reports its download on stdout, which is for results
            if not sys.stderr.isatty():
                tfds.disable_progress_bar()
            builder = tfds.builder(name)
            builder.download_and_prepare()
    except Exception as error:  # of requests, of TensorFlow and of each data set's own script
        if type(error).__name__ == "DatasetNotFoundError":  # whose message lists a thousand names
            raise UnknownDatasetError(f"{location}: tensorflow-datasets has no data set of that name") from error
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(
            f"{location}: expected a copy kept by tensorflow-datasets, or a network to download it, received: {reason}"
        ) from error
    return builder


def _read(tfds: Any, builder: Any, split: str, *, part: str, location: str) -> Samples:
    image, label = _supervised_keys(tfds, builder, location)
    labels = tuple(builder.info.features[label].names)
    encoded = {image: tfds.decode.SkipDecoding()}
    examples = list(tfds.as_numpy(builder.as_dataset(split=split, decoders=encoded, shuffle_files=False)))
    class_ids = np.array([example[label] for example in examples], np.int64)
    missing = [labels[i] for i in np.setdiff1d(np.arange(len(labels)), class_ids)]
    if len(labels) < 2 or (part == "train" and missing) or class_ids.min(initial=0) < 0 or not examples:
        raise DatasetError(
            f"{location}: {split}: expected images of 2 classes or more, each with its class, received {len(examples)} "
            f"images, {(class_ids < 0).sum()} of them without a class, and none of {missing[:5]}"
        )
    return Samples(tuple(example[image] for example in examples), ClassIds(class_ids), labels, part)


def _supervised_keys(tfds: Any, builder: Any, location: str) -> tuple[str, str]:
    """Returns what the image and the class are called in each example."""
    keys: tuple[str, ...] = builder.info.supervised_keys or ()
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    if len(keys) != 2 or not all(map(isinstance, (builder.info.features[key] for key in keys), kinds)):
        raise DatasetError(f"{location}: expected an image and a class label in each example, received {keys}")
    return keys[0], keys[1]
