"""YAML as a tree of nodes: values as they are written, with their lines; no object is ever built of it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecnn.data.marked import is_file, is_folder, read_text
from edgecnn.errors import DatasetError, MissingDependencyError

_SUFFIXES = (".yaml", ".yml")
_LARGEST = 2**20  # bytes of a file
Node = Any  # of PyYAML, which has no types


def top_keys(file: Path) -> set[str]:
    """Returns the keys of a file's outermost mapping as a look at its lines gives them.

    There are none in what is no small YAML file. Keys of inner mappings come with the spaces before them.
    """
    return {line.partition(":")[0].strip("\"'") for line in _glance(file).splitlines() if ":" in line}


def has_key(file: Path, key: str) -> bool:
    """Says whether a mapping anywhere in a file seems to have that key."""
    return re.search(rf"\b{key}[\"']?\s*:", _glance(file)) is not None


def usual_of(files: Sequence[Path]) -> list[Path]:
    """Returns the one of several files that has the usual name, data.yaml or dataset.yaml; else all of them."""
    usual = [file for file in files if file.name in ("data.yaml", "dataset.yaml")]
    return usual if len(usual) == 1 else list(files)


def composed(file: Path) -> Node:
    """Returns the tree of a YAML file.

    Raises:
        DatasetError: the file cannot be read, or is no YAML; the line is named.
        MissingDependencyError: PyYAML is not installed.
    """
    try:
        import yaml  # other data need no YAML
    except ImportError as error:
        raise MissingDependencyError.of("yaml") from error
    text = read_text(file, largest=_LARGEST)
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise DatasetError(f"{file}{line}: expected YAML, received {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{file}: expected YAML, received {reason:.200}") from error


def mapping(node: Node, file: Path, expected: str) -> dict[str, Node]:
    """Returns the values of a mapping by their keys.

    Args:
        node: or None, of an empty file.
        file: for messages.
        expected: likewise: what should stand there.

    Raises:
        DatasetError: it is no mapping, or has a key twice.
    """
    if node is None or not _is(node, "Mapping"):
        raise DatasetError(
            f"{file}:{1 if node is None else line_of(node)}: expected {expected}, received {_shown(node)}"
        )
    found: dict[str, Node] = {}
    for key_node, value in node.value:
        key = scalar(key_node, file)
        if key in found:
            raise DatasetError(f"{at(file, key_node)}: expected each key once, received {key!r:.60} again")
        found[key] = value
    return found


def scalar(node: Node, file: Path) -> str:
    """Returns a value as it is written: a class may be called no, 1 or null.

    Raises:
        DatasetError: it is a list or a mapping.
    """
    if not _is(node, "Scalar"):
        raise DatasetError(f"{at(file, node)}: expected one value, received {_shown(node)}")
    return str(node.value).strip()


def checked_names(names: Sequence[str], node: Node, file: Path) -> tuple[str, ...]:
    """Returns the names of classes.

    Raises:
        DatasetError: there is none, one is empty or not printable, or stands there twice.
    """
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None or not names or not all(name and name.isprintable() for name in names):
        received = f"{twice!r:.60} twice" if twice is not None else f"{names[:5]!r:.100}"
        raise DatasetError(f"{at(file, node)}: expected names that are unique and not empty, received {received}")
    return tuple(names)


def root_of(top: Mapping[str, Node], file: Path) -> Path:
    """Returns the folder that the names in a data.yaml begin at: its `path` where there is such, else its own."""
    if "path" not in top:
        return file.parent
    given = Path(scalar(top["path"], file))
    root = given if given.is_absolute() and is_folder(given) else file.parent / given
    return root if is_folder(root) else file.parent  # it was of another machine


def place_of(root: Path, text: str) -> Path:
    """Returns where a part lies; many sets, such as Roboflow's, begin with ../ and mean the file's own folder."""
    place = root / text
    if text.startswith("../") and not is_folder(place) and not is_file(place):
        return root / text.removeprefix("../")
    return place


def is_list(node: Node) -> bool:
    """Says whether a node is a list."""
    return _is(node, "Sequence")


def is_nothing(node: Node) -> bool:
    """Says whether a node is null, or left empty."""
    return (node.tag or "").endswith(":null")


def line_of(node: Node) -> int:
    """Returns the line that a node begins in, from 1."""
    return int(node.start_mark.line) + 1


def at(file: Path, node: Node) -> str:
    """Returns file and line of a node, for messages."""
    return f"{file}:{line_of(node)}"


def _glance(file: Path) -> str:
    """Returns the text of what may be a YAML file, before it is read as one; nothing of what is none."""
    try:
        if file.suffix.lower() not in _SUFFIXES or not file.is_file() or file.stat().st_size > _LARGEST:
            return ""
        return file.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _is(node: Node, kind: str) -> bool:
    return type(node).__name__ == f"{kind}Node"


def _shown(node: Node) -> str:
    kinds = {"MappingNode": "keys and values", "SequenceNode": "a list", "ScalarNode": "a single value"}
    return kinds.get(type(node).__name__, "nothing")
