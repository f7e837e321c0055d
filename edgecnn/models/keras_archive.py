"""What can be seen of a saved Keras model before Keras is loaded: whole, no bomb, and nothing that can run code."""

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgecnn.errors import KerasFileError

# Keras writes these and, for layers with vocabularies, "assets/", which no CNN has.
_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}
# They hold marshalled code, other frameworks' pickles, or paths of files that would be read.
_UNSAFE = {
    "Lambda",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
    "StringLookup",
    "IntegerLookup",
    "TextVectorization",
    "__lambda__",
}
MOST_CONFIG_BYTES = 64 * 2**20
_MOST_INFLATION = 100  # Keras stores weights uncompressed; deflated text stays far below this


def check_archive(path: Path) -> None:
    """Checks what can be seen of a .keras file before anything of it is built or read.

    Raises:
        KerasFileError: missing, not a .keras file, truncated, a zip bomb, or a layer that can run code.
    """
    read_archive(path)


def read_archive(path: Path) -> Any:
    """Returns the configuration of the model in a .keras file, once it is found harmless.

    Raises:
        KerasFileError: as for `check_archive`.
    """
    if not os.path.isfile(path):  # noqa: PTH113  (Path raises on a long name)
        received = "a folder" if os.path.isdir(path) else "nothing"  # noqa: PTH112
        raise KerasFileError(f"{path}: expected a .keras file, received {received}")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError, OSError, NotImplementedError, RecursionError) as error:
        with path.open("rb") as file:
            head = file.read(8)
        received = "an HDF5 file" if head.startswith(b"\x89HDF") else "a damaged or truncated one"
        raise KerasFileError(
            f"{path}: expected a whole .keras archive, received {received} ({error}). "
            "Save the model again with model.save('NAME.keras')."
        ) from error
    check_classes(path, config)
    return config


def check_classes(path: Path, config: Any) -> None:
    """Refuses what can run code or read other files when it is built.

    Args:
        path: of the file that the configuration is from.
        config: of a model, as JSON gives it.

    Raises:
        KerasFileError: names the layer.
    """
    for class_name, layer_name in _classes(config):
        if class_name in _UNSAFE:
            raise KerasFileError(
                f"{path}: refused, layer {layer_name!r} is a {class_name}, which can run code or read other files. "
                "Replace it with standard layers."
            )


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = {member.filename: member for member in archive.infolist()}
    if len(members) != len(archive.infolist()) or not _MEMBERS >= members.keys() >= {"config.json", "model.weights.h5"}:
        raise KerasFileError(f"{path}: expected the members {sorted(_MEMBERS)}, received {sorted(members)[:10]}")
    total = sum(member.file_size for member in members.values())
    size = path.stat().st_size
    if members["config.json"].file_size > MOST_CONFIG_BYTES or total > _MOST_INFLATION * size:
        raise KerasFileError(
            f"{path}: refused as a zip bomb: its {size} bytes would become {total}, expected at most {_MOST_INFLATION} "
            "times as many"
        )


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Yields (class name, layer name) of everything that the configuration would build."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                inner = value.get("config")
                name = inner.get("name", "") if isinstance(inner, dict) else ""
                yield value["class_name"], str(name)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
