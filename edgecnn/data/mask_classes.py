"""Which class each value of a data set's masks means, and what the classes are called."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecnn.data.marked import labels_file
from edgecnn.data.mask_files import IGNORE, NO_VALUE, listed
from edgecnn.data.yaml_nodes import Node, at, checked_names, is_list, mapping, scalar
from edgecnn.errors import DatasetError

NAME_KEYS = ("names", "classes")
_MOST = 255  # classes, since one value of 256 is `IGNORE`
_BINARY = {0, 255}
_VALUES = frozenset(map(str, range(256)))


@dataclass(frozen=True, slots=True)
class GivenClasses:
    """What a data set says of its classes.

    Attributes:
        names: by the value in a mask; None where nothing names them.
        ignored: the values of pixels of which nothing is said.
        origin: where that stands, for messages; empty where nothing names them.
    """

    names: Mapping[int, str] | None = None
    ignored: frozenset[int] = frozenset()
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MaskClasses:
    """What the values in masks mean.

    Attributes:
        labels: one name a class.
        classes: (256,) int16, for each value its class, `IGNORE` or `NO_VALUE`.
        origin: as `GivenClasses` has it.
    """

    labels: tuple[str, ...]
    classes: npt.NDArray[np.int16]
    origin: str

    def wrong(self, values: npt.NDArray[np.intp]) -> str:
        """Returns what is wrong with the values in a mask, in words; nothing where each means a class."""
        if (self.classes[values] != NO_VALUE).all():
            return ""
        known = np.flatnonzero(self.classes != NO_VALUE).tolist()
        of = f" ({self.origin})" if self.origin else ""
        is_edge = IGNORE in values and self.classes[IGNORE] == NO_VALUE
        hint = ". If nothing is said where 255 stands, write `ignore: 255` in a YAML file beside it" if is_edge else ""
        return f"expected the values {listed(known)}{of}, received {listed(values.tolist())}{hint}"


def resolve_classes(given: GivenClasses, found: Collection[Collection[int]], where: Path) -> MaskClasses:
    """Decides what the values in masks mean.

    Where names are given by number, or none are, and most masks that hold more than 0 hold 0 and 255 alone, these are
    classes 0 and 1: the others were smoothed at their edges, most likely, and are the ones to refuse. Else the value is
    the class, and without names there are as many as the largest value below 255 says.

    Args:
        given: what the data say.
        found: the values in each mask.
        where: the folder or file, for messages.

    Raises:
        DatasetError: without names, fewer than two classes.
    """
    each = [set(values) - given.ignored for values in found]
    marked = [values for values in each if values - {0}]
    is_binary = 2 * sum(values <= _BINARY for values in marked) > len(marked)
    names, values = given.names, set[int]().union(*each)
    if names is None:
        last = 1 if is_binary else max(values - {IGNORE}, default=0)
        if last == 0:
            received = listed(sorted(set[int]().union(*found)))
            raise DatasetError(
                f"{where}: expected masks of at least 2 classes, received the values {received} alone. Name the "
                "classes in classes.txt, one a line, if this is right."
            )
        names = {value: f"class {value}" for value in range(last + 1)}
    if is_binary and set(names) == {0, 1}:
        names = {0: names[0], IGNORE: names[1]}
    table = np.full(256, NO_VALUE, np.int16)
    table[sorted(given.ignored)] = IGNORE
    table[sorted(names)] = np.arange(len(names))
    return MaskClasses(tuple(names[value] for value in sorted(names)), table, given.origin)


def classes_in_text(folder: Path) -> GivenClasses:
    """Returns the names in classes.txt or labels.txt of a folder, of the values 0, 1, …; none where there is no such.

    Raises:
        DatasetError: a name stands there twice, none does, or too many.
    """
    found = labels_file(folder)
    if found is None:
        return GivenClasses()
    names, file = found
    if len(names) > _MOST:
        raise DatasetError(f"{file}: expected up to {_MOST} classes, received {len(names)}")
    return GivenClasses(dict(enumerate(names)), origin=str(file))


def classes_in_yaml(top: Mapping[str, Node], file: Path) -> GivenClasses:
    """Returns what a YAML file says of classes: `names` (or `classes`) and `ignore`.

    Args:
        top: its outermost mapping.
        file: for messages.

    Raises:
        DatasetError: a value is no number of 0 to 255, or is named and ignored; names are faulty; both keys are there.
    """
    keys = [key for key in NAME_KEYS if key in top]
    if len(keys) != 1:
        raise DatasetError(f"{file}:1: expected names or classes, one of them, received {' and '.join(keys) or 'none'}")
    node = top[keys[0]]
    if is_list(node):
        numbered = dict(enumerate(scalar(one, file) for one in node.value))
    else:
        listed_names = mapping(node, file, "names as a list, or as values of the masks with names")
        numbered = {_value(key, file, one): scalar(one, file) for key, one in listed_names.items()}
    checked_names(list(numbered.values()), node, file)
    if len(numbered) > _MOST:
        raise DatasetError(f"{at(file, node)}: expected up to {_MOST} classes, received {len(numbered)}")
    ignored = frozenset[int]()
    if "ignore" in top:
        ignore = top["ignore"]
        nodes = ignore.value if is_list(ignore) else [ignore]
        ignored = frozenset(_value(scalar(one, file), file, one) for one in nodes)
        both = sorted(ignored & numbered.keys())
        if both:
            raise DatasetError(f"{at(file, ignore)}: expected values that no class has, received {listed(both)}")
    return GivenClasses(numbered, ignored, str(file))


def _value(text: str, file: Path, node: Node) -> int:
    if text not in _VALUES:
        raise DatasetError(f"{at(file, node)}: expected a value from 0 to 255, received {text!r:.40}")
    return int(text)
