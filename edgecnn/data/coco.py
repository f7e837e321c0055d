"""COCO: one JSON file a part, with its images, its categories, and a box for each annotation.

A box is x, y, width, height in pixels from the upper left corner, 0-based and with fractions, so its right edge is
x + width (https://cocodataset.org/#format-data).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from edgecnn.data.faults import Faults
from edgecnn.data.folders import PART_NAMES
from edgecnn.data.marked import (
    Mark,
    MarkedImage,
    MarkedPart,
    check_stated,
    checked_box,
    entries,
    image_shape,
    is_file,
    read_text,
)
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset
from edgecnn.errors import DatasetError
from edgecnn_runtime import strict_json

LOOKED_FOR = "a JSON file of images, annotations and categories, also in annotations/ or in a folder a part (COCO)"
_LARGEST = 2 * 2**30  # bytes; COCO's own have half of one
_SNIFFED = 1 << 20  # bytes
_ANNOTATIONS = "annotations"  # the folder of COCO's own files
_KEYS = ("images", "annotations", "categories")
_OTHER_TASKS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")  # of COCO's own files
_PART = re.compile("|".join(sorted(PART_NAMES, key=len, reverse=True)))
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Category:
    """A class: its name, and its item in the file for messages."""

    name: str
    where: str


def read_coco(path: Path, faults: Faults | None = None) -> Dataset:
    """Reads a data set of COCO's instances.

    Args:
        path: a JSON file, or a folder that holds some: itself, in annotations/, or in folders train, val (valid) and
            test. A part is called by the file's name or its folder's. The images lie beside the JSON file, or in a
            folder called like the rest of its name (train2017), below images/ or not. The labels are the names of the
            categories by their ids. An image without annotations has no objects.
        faults: keeps what is faulty, which is left out; None ends at the first.

    Raises:
        DatasetError: a file or a value in it is faulty, with file and item.
    """
    faults = faults or Faults()
    files = _files(path)
    if not files:
        raise DatasetError(f"{path}: expected {LOOKED_FOR}, received none")
    root = path if path.is_dir() else path.parent
    if not path.is_dir() and root.name.lower() == _ANNOTATIONS:
        root = root.parent
    trees = {part: _tree(file) for part, file in files.items()}
    categories = {part: _categories(tree, files[part], faults) for part, tree in trees.items()}
    labels, origin = _labels(categories, files)
    samples = []
    for part, tree in trees.items():
        read = _Reader(files[part], root, part, categories[part], faults).read(tree)
        samples.append(read.samples(labels, faults, expected=f"the categories of {origin}"))
    return make_dataset(path.absolute().name, f"coco:{path.absolute()}", samples)


def holds_coco(path: Path) -> bool:
    """Says whether a path is, or a folder holds, a JSON file like COCO's."""
    return bool(_candidates(path))


def _files(path: Path) -> dict[str, Path]:
    """Returns the JSON file of each part."""
    if not path.exists():
        raise DatasetError(f"{path}: expected a JSON file or a folder of COCO, received nothing")
    if path.is_file():
        return {"all": path}
    found = _candidates(path)
    if len(found) == 1:
        return {_part(found[0]) or "all": found[0]}
    files: dict[str, Path] = {}
    for file in found:
        part = _part(file)
        if part is None:
            raise DatasetError(
                f"{file}: expected train, val or test in the name of the file or its folder, where there are several. "
                f"To read it alone, write coco:{file}."
            )
        if part in files:
            raise DatasetError(
                f"{path}: expected one {part} part, received {files[part]} and {file}. To read one alone, write "
                f"coco:{file}."
            )
        files[part] = file
    return files


def _candidates(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" and _looks_like_coco(path) else []
    if not path.is_dir():
        return []
    inner = [entry for entry in entries(path) if entry.is_dir() and _is_holder(entry.name.lower())]
    files = [file for folder in (path, *inner) for file in entries(folder) if file.suffix.lower() == ".json"]
    return [file for file in files if not file.name.startswith(_OTHER_TASKS) and _looks_like_coco(file)]


def _is_holder(name: str) -> bool:
    return name == _ANNOTATIONS or name in PART_NAMES


def _looks_like_coco(file: Path) -> bool:
    """Whether a JSON file is an object with the three keys, as far as its first and last bytes say."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            start = stream.read(_SNIFFED)
            stream.seek(max(0, file.stat().st_size - _SNIFFED))
            text = start + stream.read()
    except OSError:
        return False
    return (
        text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and sum(f'"{key}"'.encode() in text for key in _KEYS) >= 2
    )


def _part(file: Path) -> str | None:
    """Returns the part that a file is of: by the last such word in its name, or by its folder."""
    words = _PART.findall(file.stem.lower()) or [file.parent.name.lower()]
    return PART_NAMES.get(words[-1])


def _tree(file: Path) -> dict[str, Any]:
    text = read_text(file, largest=_LARGEST)
    try:
        tree = strict_json.parse(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{file}:{error.lineno}: expected JSON, received {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file}: expected JSON of COCO, received {error}") from error
    if not isinstance(tree, dict) or not all(isinstance(tree.get(key), list) for key in _KEYS):
        received = sorted(tree)[:10] if isinstance(tree, dict) else type(tree).__name__
        raise DatasetError(f"{file}: expected an object with the lists {', '.join(_KEYS)}, received {received}")
    return tree


def _categories(tree: Mapping[str, Any], file: Path, faults: Faults) -> dict[int, _Category]:
    """Returns the categories by id, sorted; ids may have holes."""
    found: dict[int, _Category] = {}
    names: set[str] = set()
    for where, item, identity in _items(tree, "categories", file, faults):
        name = item.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            faults.error("categories without a name", f"{where}: expected a name, received {name!r:.40}")
        elif name.strip() in names:
            faults.error("categories of one name", f"{where}: expected each name once, received {name!r:.60} again")
        else:
            names.add(name.strip())
            found[identity] = _Category(name.strip(), where)
    return dict(sorted(found.items()))


def _labels(
    categories: Mapping[str, Mapping[int, _Category]], files: Mapping[str, Path]
) -> tuple[tuple[str, ...], Path]:
    """Returns the names of the categories of train, or else of the first part, without which there is no class."""
    part = "train" if "train" in categories else next(iter(categories))
    labels = tuple(category.name for category in categories[part].values())
    if not labels:
        raise DatasetError(f"{files[part]}: expected categories, received none")
    return labels, files[part]


def _items(tree: Mapping[str, Any], key: str, file: Path, faults: Faults) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yields the objects of a list that have an id of their own: where each is, the object, and its id."""
    seen: dict[int, int] = {}
    for index, item in enumerate(tree[key]):
        where = f"{file}: {key}[{index}]"
        if not isinstance(item, dict):
            faults.error("items that are no objects", f"{where}: expected an object, received {item!r:.40}")
            continue
        identity = item.get("id")
        if not _is_id(identity):
            faults.error("items without an id", f"{where}: expected an integer as id, received {identity!r:.40}")
        elif identity in seen:
            faults.error(
                "ids that stand twice",
                f"{where} (id {identity}): expected each id once, received that of {key}[{seen[identity]}] again",
            )
        else:
            seen[identity] = index
            yield f"{where} (id {identity})", item, identity


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one part."""

    file: Path
    root: Path
    part: str
    categories: Mapping[int, _Category]
    faults: Faults

    def read(self, tree: Mapping[str, Any]) -> MarkedPart:
        """Returns the images in the order of the file, with what is marked in each."""
        listed = {identity: (where, item) for where, item, identity in _items(tree, "images", self.file, self.faults)}
        places = self._places([item.get("file_name") for _, item in listed.values()])
        shapes: dict[int, tuple[int, int] | None] = {}
        paths: dict[int, Path] = {}
        named: dict[Path, str] = {}
        for identity, (where, item) in listed.items():
            path = self._image(item, where, places)
            if path is not None and path in named:
                self.faults.error(
                    "images that stand twice",
                    f"{where}: expected each file once, received {path.name} of {named[path]}",
                )
            elif path is not None:
                named[path] = where
                shape = image_shape(path, self.faults)
                if self._agrees(item, shape, path, where):
                    paths[identity], shapes[identity] = path, shape
        marks = self._marks(tree, listed.keys(), shapes)
        for identity, path in paths.items():
            if not marks.get(identity):
                self.faults.note("images without labels", f"{path}: has no annotation, so it shows no objects")
        images = [MarkedImage(path, tuple(marks.get(key, ()))) for key, path in paths.items()]
        return MarkedPart(self.part, images, self.file)

    def _places(self, names: Sequence[Any]) -> list[Path]:
        """Returns the folders that images may lie in, that of the first image which is found before the others."""
        words = self.file.stem.removeprefix("instances_")
        inside = [self.root / "images" / words, self.root / words, self.root / "images" / self.part]
        around = [self.file.parent, *inside, self.root / self.part, self.root / "images", self.root]
        places = [folder for folder in dict.fromkeys(around) if folder.is_dir()]
        name = next((name for name in names if _is_name(name)), None)
        return sorted(places, key=lambda folder: name is None or not is_file(folder / name))

    def _image(self, item: Mapping[str, Any], where: str, places: Sequence[Path]) -> Path | None:
        name = item.get("file_name")
        if not _is_name(name):
            self.faults.error(
                "images without a file", f"{where}: expected a relative path as file_name, received {name!r:.60}"
            )
            return None
        found = next((folder / str(name) for folder in places[:1] if is_file(folder / str(name))), None)
        if found is None:
            looked = ", ".join(map(str, places[:1])) or str(self.root)
            self.faults.error(
                "files that a part names and that are missing", f"{where}: no image {name!r:.200} in {looked}"
            )
        return found

    def _agrees(self, item: Mapping[str, Any], shape: tuple[int, int] | None, path: Path, where: str) -> bool:
        stated = item.get("height"), item.get("width")
        if stated == (None, None):
            return True
        if not all(isinstance(side, int) and not isinstance(side, bool) for side in stated):
            self.faults.error(
                "images of another size than their labels say",
                f"{where}: expected integers as height and width, received {stated!r:.60}",
            )
            return False
        return check_stated((int(stated[0] or 0), int(stated[1] or 0)), shape, path, where, self.faults)

    def _marks(
        self, tree: Mapping[str, Any], listed: Any, shapes: Mapping[int, tuple[int, int] | None]
    ) -> Mapping[int, Sequence[Mark]]:
        marks: defaultdict[int, list[Mark]] = defaultdict(list)
        for where, item, _ in _items(tree, "annotations", self.file, self.faults):
            image, category = item.get("image_id"), item.get("category_id")
            if not _is_id(image) or image not in listed:
                self.faults.error(
                    "labels without images", f"{where}: expected the id of an image as image_id, received {image!r:.40}"
                )
            elif not _is_id(category) or category not in self.categories:
                self.faults.error(
                    "unknown classes",
                    f"{where}: expected the id of a named category as category_id, received {category!r:.40}",
                )
            elif image in shapes:
                box = self._box(item.get("bbox"), shapes[image], where)
                crowd = item.get("iscrowd", 0)
                if crowd not in (0, 1):
                    self.faults.error(
                        "objects that cannot be read", f"{where}: expected 0 or 1 as iscrowd, received {crowd!r:.40}"
                    )
                elif box is not None:
                    marks[image].append(Mark(self.categories[category].name, box, where, crowd=bool(crowd)))
        return marks

    def _box(self, value: Any, shape: tuple[int, int] | None, where: str) -> tuple[float, float, float, float] | None:
        if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
            self.faults.error(
                "objects that cannot be read",
                f"{where}: expected bbox as four numbers, x y width height, received {value!r:.60}",
            )
            return None
        x, y, width, height = map(float, value)
        if width <= 0 or height <= 0:
            self.faults.error(
                "boxes without area", f"{where}: expected a bbox of positive width and height, received {value!r:.80}"
            )
            return None
        return checked_box((x, y, x + width, y + height), shape, where, self.faults)


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _is_name(value: Any) -> bool:
    """Whether a file_name is a path that stays in its folder."""
    if not isinstance(value, str) or not value or not value.isprintable():
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts
