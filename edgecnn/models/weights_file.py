"""Reading the weights of a .weights.h5 or .keras file layer by layer, without building what it describes.

Both hold one HDF5 file that Keras 3 wrote: `layers/<key>/vars` with the layer's name as an attribute and one data set a
weight, "0", "1", and so on. HDF5 can point to other files; every such link is refused.
"""

import contextlib
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from edgecnn.errors import PretrainedWeightsError, UsageError
from edgecnn.models.catalog import CATALOG
from edgecnn.models.keras_archive import check_archive
from edgecnn.models.spec import ModelSpec

_FLOATS = ("float16", "float32", "float64")
_HDF5_FAILURES = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, zipfile.BadZipFile)


def check_weights(spec: ModelSpec, source: str | Path) -> None:
    """Refuses weights that cannot be those of a model, before it is built.

    Args:
        spec: the model's catalogue row.
        source: "none", "imagenet", or a .weights.h5 or .keras file; for a network of Darknet's a file of its own too.

    Raises:
        UsageError: a row without ImageNet weights, or a file of another kind.
        PretrainedWeightsError: the file is missing or damaged.
        KerasFileError: a .keras file that is damaged or unsafe.
    """
    if str(source) == "none":
        return
    if str(source) == "imagenet":
        if spec.application is None:
            known = ", ".join(row.name for row in CATALOG.values() if row.application is not None)
            raise UsageError(f"{spec.name} has no ImageNet weights: expected one of {known}, or a weights file")
        return
    path = Path(source)
    if spec.darknet and is_darknet(path):
        from edgecnn.models.darknet_weights import check_darknet_weights  # loads Keras

        check_darknet_weights(path)
        return
    if not path.name.endswith((".weights.h5", ".keras")):
        kinds = ".weights.h5, .keras or Darknet .weights or .conv.N" if spec.darknet else ".weights.h5 or .keras"
        raise UsageError(f"{path}: expected weights from imagenet, none, or a {kinds} file")
    with open_weights(path):
        pass


def is_darknet(source: str | Path) -> bool:
    """Says whether a file is called as Darknet's are: NAME.weights, or NAME.conv.N of a network's first N layers."""
    path = Path(source)
    return path.suffix == ".weights" or re.search(r"\.conv\.\d+$", path.name) is not None


class StoredWeights(Mapping[str, tuple[tuple[int, ...], ...]]):
    """The shapes of a file's weights by layer name; `read` fetches the values of one layer.

    Args:
        datasets: the HDF5 data sets of each layer, in the order of `layer.weights`.
        name: of the file, for errors.
    """

    def __init__(self, datasets: Mapping[str, list[Any]], name: str) -> None:
        self._datasets = datasets
        self._name = name

    def __getitem__(self, layer: str) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(dataset.shape) for dataset in self._datasets[layer])

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)

    def read(self, layer: str) -> list[npt.NDArray[Any]]:
        """Returns the weights of one layer; compare the shapes first, for a file may claim any.

        Raises:
            PretrainedWeightsError: the file is damaged where they lie.
        """
        try:
            return [np.asarray(dataset, dataset.dtype.newbyteorder("=")) for dataset in self._datasets[layer]]
        except _HDF5_FAILURES as error:
            raise PretrainedWeightsError(
                f"{self._name}: the weights of layer {layer!r} are damaged ({error})"
            ) from error


@contextlib.contextmanager
def open_weights(path: Path) -> Iterator[StoredWeights]:
    """Opens the weights of a file.

    Args:
        path: what `model.save_weights("x.weights.h5")` or `model.save("x.keras")` wrote.

    Raises:
        PretrainedWeightsError: missing, damaged, with links to other files, or not of that form.
        KerasFileError: a .keras file that `load_keras` refuses too.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = _open(path, stack)
            datasets = {
                name: weights
                for name, weights in (_layer(layer, path) for layer in _groups(_group(file, "layers", path), path))
                if weights
            }
        except _HDF5_FAILURES as error:
            raise PretrainedWeightsError(
                f"{path}: expected weights that model.save_weights or model.save of Keras 3 wrote, received {error}"
            ) from error
        yield StoredWeights(datasets, str(path))


def _open(path: Path, stack: contextlib.ExitStack) -> Any:
    if path.suffix == ".keras":
        check_archive(path)
        archive = stack.enter_context(zipfile.ZipFile(path))
        return stack.enter_context(h5py.File(stack.enter_context(archive.open("model.weights.h5")), "r"))
    if not os.path.isfile(path):  # noqa: PTH113  (Path raises on a long name)
        raise PretrainedWeightsError(
            f"{path}: expected a weights file, received {'a folder' if os.path.isdir(path) else 'nothing'}"  # noqa: PTH112
        )
    return stack.enter_context(h5py.File(path, "r"))


def _groups(parent: Any, path: Path) -> Iterator[Any]:
    for key in parent:
        yield _group(parent, key, path)


def _layer(group: Any, path: Path) -> tuple[str, list[Any]]:
    if "vars" not in group:
        return "", []  # a layer of layers, or one without a name: nothing here can match
    variables = _group(group, "vars", path)
    datasets = [_dataset(variables, str(index), path) for index in range(len(variables))]
    return str(variables.attrs.get("name", group.name)), [one for one in datasets if not _is_count(one)]


def _group(parent: Any, key: str, path: Path) -> Any:
    child = _child(parent, key, path)
    if not isinstance(child, h5py.Group):
        raise ValueError(f"no group {key!r}")
    return child


def _dataset(parent: Any, key: str, path: Path) -> Any:
    child = _child(parent, key, path)
    if not isinstance(child, h5py.Dataset):
        raise ValueError(f"no data set {key!r}")
    if child.external or child.is_virtual:
        raise PretrainedWeightsError(f"{path}: refused, {child.name} reads another file")
    if not _is_count(child) and (child.shape is None or child.dtype.name not in _FLOATS):
        received = "nothing" if child.shape is None else str(child.dtype)
        raise PretrainedWeightsError(
            f"{path}: refused, {child.name}: expected weights in floating point ({', '.join(_FLOATS)}), received "
            f"{received:.100}"
        )
    return child


def _is_count(dataset: Any) -> bool:
    """Says whether a data set is one integer, which a layer counts with, as Keras' Normalization does."""
    return dataset.shape == () and dataset.dtype.kind in "iu"


def _child(parent: Any, key: str, path: Path) -> Any:
    if not isinstance(parent.get(key, getlink=True), h5py.HardLink):
        raise PretrainedWeightsError(f"{path}: refused, {parent.name}/{key} is a link or missing")
    return parent[key]
