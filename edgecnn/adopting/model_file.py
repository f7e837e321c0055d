"""Somebody's model as it was saved: what its file says before Keras is loaded, and the model itself."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgecnn.errors import KerasFileError, UsageError
from edgecnn.models.keras_archive import MOST_CONFIG_BYTES, check_classes, read_archive

if TYPE_CHECKING:
    import keras

_WEIGHTS = ".weights.h5"
_HDF5 = (".h5", ".hdf5")
_COPY = "source"  # what the file is called in a run folder
# What people have instead, and what to do; by the end of the name
_OTHERS = {
    ".tflite": "a TensorFlow Lite file, whose weights are final. Adopt the Keras model that it was made of",
    ".onnx": "an ONNX file, which needs no adoption: bench, inspect and run --raw take it",
    ".pb": "a TensorFlow graph. Load the model where it was trained, and save it with model.save('NAME.keras')",
    ".pt": "a PyTorch file. torch.onnx.export makes an ONNX file of it, which bench and run --raw take",
    ".pth": "a PyTorch file. torch.onnx.export makes an ONNX file of it, which bench and run --raw take",
    ".ckpt": "a TensorFlow checkpoint, which holds no model. Build the model, load it there, and save it with "
    "model.save('NAME.keras')",
}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Where somebody's model is saved.

    Attributes:
        path: a .keras file, an .h5 file of a whole model, or a .weights.h5 file.
        architecture: the JSON of `model.to_json()` that a .weights.h5 file needs; else None.
        imports: modules with layers of its own, by name or as FILE.py: their code is run before the model is loaded.
    """

    path: Path
    architecture: Path | None = None
    imports: tuple[str, ...] = ()

    def read_config(self) -> Any:
        """Returns the configuration of the model, without building anything of it; Keras is not loaded.

        Raises:
            KerasFileError: the file is missing, damaged, or holds what can run code.
            UsageError: it is of another kind, or an architecture is missing or cannot take effect.
        """
        _check_kind(self.path)
        if self._is_weights:
            if self.architecture is None:
                raise UsageError(
                    f"{self.path}: it holds weights alone. Give the model too: --architecture MODEL.json, what "
                    "model.to_json() returned."
                )
            _check_links(self.path)
            config = _read_json(self.architecture)
            check_classes(self.architecture, config)
            return config
        if self.architecture is not None:
            raise UsageError(f"--architecture: it cannot take effect on {self.path}, which holds a whole model.")
        if self.path.suffix not in _HDF5:
            return read_archive(self.path)
        config = _check_links(self.path)
        if config is None:
            raise KerasFileError(
                f"{self.path}: expected a whole model, received weights alone. Rename the file to NAME.weights.h5 and "
                "give --architecture MODEL.json, what model.to_json() returned."
            )
        check_classes(self.path, config)
        return config

    def load(self) -> keras.Model:
        """Returns the model, for inference; `read_config` comes before. Its `imports` are run first.

        Raises:
            KerasFileError: Keras cannot read it.
            UsageError: a module cannot be imported.
        """
        import keras  # takes seconds, which what can be refused before need not wait for

        from edgecnn.models.loading import load_keras, unreadable

        import_modules(self.imports)
        if self.path.suffix == ".keras":
            return load_keras(self.path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # Keras only warns when layers keep their fresh weights
                if self.architecture is None:
                    return cast("keras.Model", keras.saving.load_model(self.path, compile=False, safe_mode=True))
                model = keras.models.model_from_json(self.architecture.read_text(encoding="utf-8"))
                model.load_weights(self.path)
        except Exception as error:  # as in load_keras
            raise unreadable(self.path, error) from error
        return model

    def copied(self, folder: Path) -> ModelFile:
        """Returns the file as it stands in a run folder, where `copy` puts it."""
        ending = _WEIGHTS if self._is_weights else self.path.suffix
        architecture = None if self.architecture is None else folder / f"{_COPY}.json"
        return ModelFile(folder / f"{_COPY}{ending}", architecture, self.imports)

    def copy(self, folder: Path) -> None:
        """Copies the file into a run folder, and its architecture."""
        copied = self.copied(folder)
        shutil.copyfile(self.path, copied.path)
        if self.architecture is not None and copied.architecture is not None:
            shutil.copyfile(self.architecture, copied.architecture)

    @property
    def _is_weights(self) -> bool:
        return self.path.name.endswith(_WEIGHTS)


def import_modules(modules: Sequence[str]) -> None:
    """Imports modules by name, also from the working directory, or by the path of a .py file; their code is run.

    Raises:
        UsageError: one cannot be imported.
    """
    for module in modules:
        try:
            if module.endswith(".py"):
                _import_file(Path(module))
            else:
                _import_name(module)
        except Exception as error:  # whatever the module's own code raises
            raise UsageError(f"--import {module}: it cannot be imported: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> None:
    name = f"edgecnn_imported_{path.stem}"
    if name in sys.modules:  # a class can be registered once
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _import_name(name: str) -> None:
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  (as python -m does)
    try:
        importlib.import_module(name)
    finally:
        sys.path.pop(0)


def _check_kind(path: Path) -> None:
    """Refuses what is no saved Keras model, and says what to do."""
    if os.path.isdir(path):  # noqa: PTH112  (Path raises on a long name)
        if (path / "saved_model.pb").exists():
            received = (
                "a SavedModel, which holds a graph and no Keras layers. Where the model was trained, save it with "
                "model.save('NAME.keras')"
            )
        elif (path / "manifest.json").exists():
            received = "a run folder: evaluate and export take it as it is"
        else:
            received = "a folder"
        raise UsageError(f"{path}: expected a saved Keras model, received {received}.")
    for ending, received in _OTHERS.items():
        if path.name.endswith(ending) and os.path.exists(path):  # noqa: PTH110
            raise UsageError(f"{path}: expected a saved Keras model, received {received}.")


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MOST_CONFIG_BYTES:
            raise ValueError("it is too large")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise KerasFileError(f"{path}: expected the JSON of model.to_json(), received none ({error})") from error


def _check_links(path: Path) -> Any:
    """Returns the configuration that an HDF5 file holds, or None; refuses one that reads other files.

    Raises:
        KerasFileError: missing, damaged, or with links in it.
    """
    import h5py  # a tenth of a second, which a .keras file need not wait for

    if not os.path.isfile(path):  # noqa: PTH113  (Path raises on a long name)
        raise KerasFileError(f"{path}: expected a saved Keras model, received nothing there")
    try:
        with h5py.File(path, "r") as file:
            for name, child in _everything(file, path):
                if isinstance(child, h5py.Dataset) and (child.external or child.is_virtual):
                    raise KerasFileError(f"{path}: refused, {name} reads another file")
            text = file.attrs.get("model_config")
        return None if text is None else json.loads(text)
    except KerasFileError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError, AttributeError) as error:
        raise KerasFileError(
            f"{path}: expected a whole HDF5 file that Keras wrote, received a damaged or truncated one ({error}). Save "
            "the model again with model.save('NAME.keras')."
        ) from error


def _everything(parent: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Yields all that an HDF5 file holds, once each link in it is found to lead nowhere else."""
    import h5py  # as above

    waiting, seen = [parent], set[int]()  # a group may hold itself
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise KerasFileError(f"{path}: refused, {group.name}/{key} is a link")
            child = group[key]
            yield child.name, child
            if isinstance(child, h5py.Group):
                waiting.append(child)
