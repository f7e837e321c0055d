"""Pascal VOC: an XML file an image, with the objects in it.

Where a box lies: VOC counts pixels from 1 and includes the last one (a width is xmax - xmin + 1 in the devkit's
VOCevaldet.m). So a box of xmin 1 and xmax W is the whole width, here 0 to W: one is taken from xmin and ymin, as
Detectron2 does (data/datasets/pascal_voc.py). labelImg, which made most sets since, writes edges between pixels, and 1
for 0 (pascal_voc_io.py), which comes to the same at the border and to one pixel elsewhere.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from edgecnn.data.faults import Faults
from edgecnn.data.marked import (
    Mark,
    MarkedImage,
    MarkedPart,
    check_stated,
    checked_box,
    entries,
    image_shape,
    in_parts,
    labels_file,
    listed_stems,
    pictures_in,
    read_text,
)
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset
from edgecnn.errors import DatasetError, MissingDependencyError

LOOKED_FOR = "Annotations/ of XML files beside JPEGImages/ or images/, or images with an XML file each (Pascal VOC)"
_ANNOTATION_FOLDERS, _IMAGE_FOLDERS = ("annotations",), ("jpegimages", "images")  # in any letter case
_LISTS = ("train", "val", "test")
_DEEPEST = 20  # elements in elements; VOC needs 5
_LARGEST = 4 * 2**20  # bytes
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where annotations and images lie, by stem."""

    folder: Path
    annotations: Mapping[str, Path]
    images: Mapping[str, Path]


@dataclass(slots=True)
class _Element:
    """An XML element, and the line that it begins in."""

    tag: str
    line: int
    texts: list[str] = field(default_factory=list)
    children: "list[_Element]" = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts).strip()

    def find(self, tag: str) -> "_Element | None":
        return next((child for child in self.children if child.tag == tag), None)


def read_voc(path: Path, faults: Faults | None = None) -> Dataset:
    """Reads a data set with an XML file an image.

    Args:
        path: holds Annotations/ and JPEGImages/ (or images/), and ImageSets/Main/train.txt, val.txt and test.txt where
            there are parts; or images with their XML files beside them; or folders train, val (valid) and test of
            either. The labels are the names in labels.txt or classes.txt where there is one, else those in train,
            sorted. An image without XML file has no objects.
        faults: keeps what is faulty, which is left out; None ends at the first.

    Raises:
        DatasetError: a file or a value in it is faulty, with file and line.
        MissingDependencyError: defusedxml is not installed.
    """
    faults, parser = faults or Faults(), _parser()
    if not path.is_dir():
        raise DatasetError(
            f"{path}: expected a folder of Pascal VOC, received {'a file' if path.exists() else 'nothing'}"
        )
    parts = [part for part in _parts(path, parser, faults) if part.images or part.part == "train"]
    given = labels_file(path)
    named = next((part for part in parts if part.part == "train"), None)
    taught = [named] if named else parts
    labels, origin = given or (_names(taught), f"the classes of {'train' if named else 'all images'} in {path}")
    if not labels:
        raise DatasetError(f"{path}: expected objects in the annotations, received none")
    samples = [part.samples(labels, faults, expected=str(origin)) for part in parts]
    return make_dataset(path.absolute().name, f"voc:{path.absolute()}", samples)


def holds_voc(path: Path) -> bool:
    """Says whether a folder looks like Pascal VOC."""
    return path.is_dir() and bool(_place(path) or in_parts(path, _place))


def _names(parts: Iterable[MarkedPart]) -> tuple[str, ...]:
    return tuple(sorted({mark.name for part in parts for image in part.images for mark in image.marks}))


def _parts(path: Path, parser: Any, faults: Faults) -> Iterator[MarkedPart]:
    place = _place(path)
    if place is None:
        places = in_parts(path, _place)
        if not places:
            raise DatasetError(f"{path}: expected {LOOKED_FOR}, received neither")
        for part, inner in places.items():
            yield _read(part, inner, None, parser, faults)
        return
    lists = {name: path / "ImageSets" / "Main" / f"{name}.txt" for name in _LISTS}
    given = {name: file for name, file in lists.items() if file.is_file()}
    named: set[str] = set()
    for name, file in given.items():
        names = listed_stems(file, place.images, place.folder, faults)
        named.update(names.values())
        yield _read(name, place, names, parser, faults)
    if not given:
        yield _read("all", place, None, parser, faults)
        return
    rest = len((place.annotations.keys() & place.images.keys()) - named)
    if rest:
        faults.note(
            "labelled images in no part", f"{path / 'ImageSets' / 'Main'}: {rest} labelled images are in no list"
        )


def _read(part: str, place: _Place, names: Mapping[int, str] | None, parser: Any, faults: Faults) -> MarkedPart:
    chosen = place.images if names is None else names.values()
    images = []
    for name in chosen:
        image, annotation = place.images[name], place.annotations.get(name)
        if annotation is None:
            faults.note("images without labels", f"{image}: has no XML file, so it shows no objects")
            images.append(MarkedImage(image))
            continue
        try:
            marks = _marks(_parsed(annotation, parser), annotation, image, faults)
        except DatasetError as error:
            faults.error("annotations that cannot be read", str(error))
            continue
        if marks is not None:
            images.append(MarkedImage(image, tuple(marks)))
    if names is None:
        for name in sorted(place.annotations.keys() - place.images.keys()):
            faults.error("labels without images", f"{place.annotations[name]}:1: no image {name!r} in {place.folder}")
    return MarkedPart(part, images, place.folder)


def _marks(root: _Element, annotation: Path, image: Path, faults: Faults) -> list[Mark] | None:
    """Returns what an annotation marks; None where it is of another picture."""
    shape, size = image_shape(image, faults), root.find("size")
    if size is not None:
        stated = tuple(int(_number(size, tag, annotation)) for tag in ("height", "width"))
        agrees = check_stated((stated[0], stated[1]), shape, image, f"{annotation}:{size.line}", faults)
        if min(stated) > 0 and not agrees:
            return None
    marks = []
    for element in root.children:
        if element.tag == "object":
            try:
                marks.append(_mark(element, annotation, shape, faults))
            except DatasetError as error:
                faults.error("objects that cannot be read", str(error))
    return [mark for mark in marks if mark is not None]


def _mark(element: _Element, annotation: Path, shape: tuple[int, int] | None, faults: Faults) -> Mark | None:
    name, box = element.find("name"), element.find("bndbox")
    if name is None or not name.text or not name.text.isprintable():
        raise DatasetError(
            f"{annotation}:{element.line}: expected an object with a name, received none that is printable"
        )
    if box is None:
        raise DatasetError(f"{annotation}:{element.line}: expected a bndbox in the object, received none")
    label, where = name.text, f"{annotation}:{box.line}"
    x1, y1, x2, y2 = (_number(box, corner, annotation) for corner in _CORNERS)
    if x2 <= x1 or y2 <= y1:
        faults.error(
            "boxes without area",
            f"{where}: box of {label!r}: expected xmin < xmax and ymin < ymax, received "
            f"xmin {x1:g} ymin {y1:g} xmax {x2:g} ymax {y2:g}",
        )
        return None
    checked = checked_box((x1 - 1, y1 - 1, x2, y2), shape, f"{where}: box of {label!r}", faults)
    flag = element.find("difficult")
    return None if checked is None else Mark(label, checked, where, flag is not None and flag.text == "1")


def _number(parent: _Element, tag: str, annotation: Path) -> float:
    element = parent.find(tag)
    text = "" if element is None else element.text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        line = parent.line if element is None else element.line
        raise DatasetError(f"{annotation}:{line}: expected a number as {tag}, received {text[:40]!r}")
    return value


def _place(path: Path) -> _Place | None:
    """Returns where a folder keeps annotations and images; None where it is no VOC."""
    folders = {entry.name.lower(): entry for entry in entries(path) if entry.is_dir()}
    annotations = next((folders[name] for name in _ANNOTATION_FOLDERS if name in folders), None)
    images = next((folders[name] for name in _IMAGE_FOLDERS if name in folders), None)
    if annotations is not None and images is not None:
        found = _Place(images, _xml_files(annotations), pictures_in(images))
    else:
        found = _Place(path, _xml_files(path), pictures_in(path))
    return found if found.annotations and found.images else None


def _xml_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in entries(folder) if path.suffix.lower() == ".xml" and path.is_file()}


def _parser() -> Any:
    try:
        from defusedxml import ElementTree  # other data need no XML
    except ImportError as error:
        raise MissingDependencyError.of("defusedxml") from error
    return ElementTree.XMLParser


def _parsed(path: Path, parser_class: Any) -> _Element:
    """Returns the root of an XML file; entities are refused, and nothing outside is opened."""
    from defusedxml import DefusedXmlException  # here by now

    builder, text = _Builder(), read_text(path, largest=_LARGEST)
    parser = parser_class(target=builder)
    builder.expat = parser.parser
    try:
        parser.feed(text)
        root = parser.close()
    except DefusedXmlException as error:
        line = parser.parser.CurrentLineNumber
        raise DatasetError(f"{path}:{line}: expected XML without entities, received {type(error).__name__}") from error
    except (SyntaxError, ValueError) as error:
        line = parser.parser.CurrentLineNumber
        raise DatasetError(f"{path}:{line}: expected XML of Pascal VOC, received {error}") from error
    if root is None or root.tag != "annotation":
        received = "none" if root is None else repr(root.tag[:40])
        raise DatasetError(f"{path}:1: expected the element 'annotation', received {received}")
    return cast("_Element", root)


class _Builder:
    """Builds elements that know their lines: ElementTree's do not."""

    def __init__(self) -> None:
        self.expat: Any = None
        self._open: list[_Element] = []
        self._root: _Element | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        del attributes
        if len(self._open) >= _DEEPEST:
            raise ValueError(f"elements more than {_DEEPEST} deep")
        element = _Element(tag, self.expat.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def end(self, tag: str) -> None:
        del tag
        self._open.pop()

    def data(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def close(self) -> _Element | None:
        return self._root
