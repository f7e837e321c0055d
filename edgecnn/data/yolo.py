"""YOLO: a `data.yaml` with the classes and the parts, and a text file an image with a row an object.

A row is class, centre x, centre y, width, height; the four are parts of the displayed image's size, 0 to 1
(https://docs.ultralytics.com/datasets/detect). Displayed, because the trainers that made the format turn pictures by
EXIF before they look at the labels (`exif_size` in Ultralytics' data/utils.py, and OpenCV's imread).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.data.faults import Faults, logger
from edgecnn.data.marked import (
    Mark,
    MarkedImage,
    MarkedPart,
    checked_box,
    entries,
    image_shape,
    is_file,
    is_folder,
    read_text,
)
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset
from edgecnn.data.yaml_nodes import (
    Node,
    at,
    checked_names,
    composed,
    is_list,
    is_nothing,
    line_of,
    mapping,
    place_of,
    root_of,
    scalar,
    top_keys,
    usual_of,
)
from edgecnn.errors import DatasetError
from edgecnn_runtime.images import IMAGE_SUFFIXES

LOOKED_FOR = "a data.yaml with names and train or val (YOLO)"
_PARTS = ("train", "val", "test")
_OTHER_NAMES = {"valid": "val", "validation": "val"}
_KEYS = {*_PARTS, *_OTHER_NAMES}
_ROW = "class, centre x, centre y, width, height"
_NO_LABELS = frozenset({"classes.txt", "labels.txt"})  # names of classes, which some tools leave among the labels


@dataclass(frozen=True, slots=True)
class _Config:
    """What a data.yaml says; each with its line."""

    file: Path
    names: tuple[str, ...]
    parts: Mapping[str, tuple[tuple[str, int], ...]]
    root: Path


def read_yolo(path: Path, faults: Faults | None = None) -> Dataset:
    """Reads a data set of YOLO's text files.

    Args:
        path: a YAML file, or a folder that holds one with `names`. In it train, val and test each name a folder of
            images, a text file that lists some, or several of those, below `path` or the file's own folder. A label
            file lies beside its image, or in labels/ where the image lies in images/. The labels are `names` in
            their order. An image without label file, or with an empty one, has no objects.
        faults: keeps what is faulty, which is left out; None ends at the first.

    Returns:
        The parts. One other than train whose folder is missing is left out with a warning: many sets name more parts
        than they carry.

    Raises:
        DatasetError: a file or a value in it is faulty, with file and line.
        MissingDependencyError: PyYAML is not installed.
    """
    faults = faults or Faults()
    config = _config(_file(path))
    parts = []
    for part, entries_of_part in config.parts.items():
        found = _images(config, part, entries_of_part, faults)
        if found is not None:
            parts.append(MarkedPart(part, [_marked(image, config, faults) for image in found], config.file))
    if not parts:
        raise DatasetError(f"{config.file}: expected train, val or test, received none of them")
    samples = [part.samples(config.names, faults, expected=str(config.file)) for part in parts]
    return make_dataset(path.absolute().name, f"yolo:{path.absolute()}", samples)


def holds_yolo(path: Path) -> bool:
    """Says whether a path is, or a folder holds, a data.yaml."""
    return bool(_files(path))


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    found = _files(path)
    if len(found) != 1:
        listed = " and ".join(map(str, found)) or "none"
        raise DatasetError(f"{path}: expected {LOOKED_FOR}, received {listed}. To name it, write yolo:FILE.")
    return found[0]


def _files(path: Path) -> list[Path]:
    """Returns the YAML files that have a line `names:` and one for a part."""
    if path.is_dir():
        return usual_of([file for file in entries(path) if _looks_like_yolo(file)])
    return [path] if _looks_like_yolo(path) else []


def _looks_like_yolo(file: Path) -> bool:
    keys = top_keys(file)
    return "names" in keys and bool(keys & _KEYS)


def _config(file: Path) -> _Config:
    top = mapping(composed(file), file, "an object with names and train or val")
    if "names" not in top:
        raise DatasetError(f"{file}:1: expected names, the classes, received {', '.join(map(repr, top)) or 'nothing'}")
    names = _names(top["names"], file)
    if "nc" in top and scalar(top["nc"], file) != str(len(names)):
        raise DatasetError(
            f"{at(file, top['nc'])}: expected nc {len(names)}, as many as names, received {scalar(top['nc'], file)!r}"
        )
    parts: dict[str, tuple[tuple[str, int], ...]] = {}
    for key, node in top.items():
        part = _OTHER_NAMES.get(key, key)
        if part not in _PARTS or is_nothing(node):
            continue
        if part in parts:
            raise DatasetError(f"{at(file, node)}: expected one {part} part, received {key} besides")
        nodes = node.value if is_list(node) else [node]
        parts[part] = tuple((scalar(one, file), line_of(one)) for one in nodes)
    return _Config(file, names, parts, root_of(top, file))


def _names(node: Node, file: Path) -> tuple[str, ...]:
    if is_list(node):
        names = [scalar(one, file) for one in node.value]
    else:
        listed = mapping(node, file, "names as a list, or as numbers with names")
        for number, (key, one) in enumerate(listed.items()):
            if key != str(number):
                raise DatasetError(f"{at(file, one)}: expected the class {number} next in names, received {key!r:.40}")
        names = [scalar(one, file) for one in listed.values()]
    return checked_names(names, node, file)


def _images(config: _Config, part: str, named: Sequence[tuple[str, int]], faults: Faults) -> list[Path] | None:
    """Returns the images of a part in their order; None where the part is left out."""
    images: list[Path] = []
    for text, line in named:
        place, where = place_of(config.root, text), f"{config.file}:{line}"
        if is_folder(place):
            found = _pictures(place)
            _check_labels(place, found, faults)
            images += found
        elif is_file(place):
            images += _listed(place, config, faults)
        elif part == "train":
            raise DatasetError(
                f"{where}: expected a folder or a list of images as train, received {text!r}: no {place}"
            )
        else:
            faults.note("parts that are not there", f"{where}: {part} names {text!r}, and there is no {place}")
            logger.warning("%s: left the %s part out: there is no %s", where, part, place)
            return None
    if len(set(images)) < len(images):
        faults.note(
            "images that stand twice",
            f"{config.file}: the {part} part names {len(images) - len(set(images))} images twice",
        )
    return list(dict.fromkeys(images))


def _pictures(folder: Path) -> list[Path]:
    inner = [
        found for entry in entries(folder) if entry.is_dir() and not entry.is_symlink() for found in _pictures(entry)
    ]
    own = [entry for entry in entries(folder) if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    return sorted(own + inner)


def _listed(file: Path, config: _Config, faults: Faults) -> list[Path]:
    images = []
    for line, text in enumerate(read_text(file).splitlines(), start=1):
        name = text.strip()
        if not name:
            continue
        image = next((folder / name for folder in (file.parent, config.root) if is_file(folder / name)), None)
        if image is None:
            faults.error(
                "files that a part names and that are missing", f"{file}:{line}: there is no image {name!r:.200}"
            )
        else:
            images.append(image)
    return images


def _label_file(image: Path) -> Path:
    """Returns where an image's labels lie: labels/ for the last images/ on its way, or beside it."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _check_labels(folder: Path, images: Sequence[Path], faults: Faults) -> None:
    """Looks for label files without an image in the folder that belongs to a folder of images."""
    labels = _label_file(folder / "x.jpg").parent
    if not labels.is_dir():
        return
    expected = {_label_file(image) for image in images}
    for file in entries(labels):
        is_label = file.suffix == ".txt" and file.name not in _NO_LABELS and not file.name.lower().startswith("readme")
        if is_label and file not in expected:
            faults.error("labels without images", f"{file}:1: no image {file.stem!r} in {folder}")


def _marked(image: Path, config: _Config, faults: Faults) -> MarkedImage:
    file = _label_file(image)
    if not file.exists():
        faults.note("images without labels", f"{image}: has no {file.name}, so it shows no objects")
        return MarkedImage(image)
    try:
        rows = [(number, row.split()) for number, row in enumerate(read_text(file).splitlines(), start=1)]
    except DatasetError as error:
        faults.error("annotations that cannot be read", str(error))
        return MarkedImage(image)
    rows = [(number, row) for number, row in rows if row]
    if not rows:
        faults.note("images without labels", f"{file}: is empty, so its image shows no objects")
        return MarkedImage(image)
    shape = image_shape(image, faults)
    if shape is None:
        return MarkedImage(image)
    marks = []
    for number, row in rows:
        try:
            mark = _mark(row, f"{file}:{number}", shape, config, faults)
        except DatasetError as error:
            faults.error("objects that cannot be read", str(error))
            continue
        if mark is not None:
            marks.append(mark)
    return MarkedImage(image, tuple(marks))


def _mark(row: Sequence[str], where: str, shape: tuple[int, int], config: _Config, faults: Faults) -> Mark | None:
    if len(row) != 5:
        polygon = " (a polygon, as segmentation has them?)" if len(row) > 6 and len(row) % 2 else ""
        raise DatasetError(f"{where}: expected 5 numbers, {_ROW}, received {len(row)}{polygon}")
    try:
        class_id, numbers = int(row[0]), [float(value) for value in row[1:]]
    except ValueError as error:
        raise DatasetError(f"{where}: expected numbers, {_ROW}, received {' '.join(row)!r:.80}") from error
    if not all(0 <= value <= 1 for value in numbers):  # not for NaN either
        raise DatasetError(
            f"{where}: expected parts of the image from 0 to 1 behind the class, received {' '.join(row[1:])!r:.80}. "
            "Divide pixels by the image's width and height."
        )
    if not 0 <= class_id < len(config.names):
        faults.error(
            "unknown classes",
            f"{where}: expected a class from 0 to {len(config.names) - 1}, those of {config.file}, received {class_id}",
        )
        return None
    (height, width), (x, y, w, h) = shape, numbers
    if not (w > 0 and h > 0) or not math.isfinite(w * h):
        faults.error("boxes without area", f"{where}: expected a width and a height above 0, received {w:g} and {h:g}")
        return None
    box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    checked = checked_box(box, shape, where, faults)
    return None if checked is None else Mark(config.names[class_id], checked, where)
