"""The small data sets that Keras downloads once: MNIST, Fashion-MNIST, CIFAR-10."""

import contextlib
import importlib
import io

from edgecnn.data.arrays import dataset_from_arrays
from edgecnn.data.samples import Dataset
from edgecnn.errors import DatasetError, MissingDependencyError

LABELS = {
    "mnist": None,
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
}


def read_keras_dataset(name: str) -> Dataset:
    """Reads a data set through keras.datasets, which keeps a copy under the home folder.

    Args:
        name: "mnist", "fashion_mnist" or "cifar10".

    Raises:
        MissingDependencyError: Keras is not installed.
        DatasetError: it is not on this machine yet and cannot be downloaded, or the copy is damaged.

    Reference:
        https://keras.io/api/datasets; the names of the classes stand there.
    """
    try:
        reader = importlib.import_module(f"keras.datasets.{name}")  # brings TensorFlow, which no other data need
    except ImportError as error:
        raise MissingDependencyError.of("keras") from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Keras draws its download on stdout
            train, test = reader.load_data()
    except Exception as error:  # Keras raises a bare Exception where the download fails
        raise DatasetError(
            f"{name}: expected a copy kept by Keras, or a network to download it, received: {error}. Without a "
            "network, give the path of an .npz file with x_train, y_train, x_test and y_test instead."
        ) from error
    return dataset_from_arrays(name, name, {"train": train, "test": test}, labels=LABELS[name])
