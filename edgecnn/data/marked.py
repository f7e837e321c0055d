"""What the readers of boxes and masks share: images as they are found, what is marked, what is checked of it."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgecnn.data.faults import Faults
from edgecnn.data.folders import PART_NAMES
from edgecnn.data.samples import PartName, Samples
from edgecnn.data.targets import Boxes, Objects
from edgecnn.errors import DatasetError
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import IMAGE_SUFFIXES, read_shape

BORDER = 1.0  # pixels that a box may lie outside, and is then cut to the image: tools differ by one at the border
LARGEST_TEXT = 16 * 2**20  # bytes of an annotation of one image, of a list, of a data.yaml
Found = TypeVar("Found")
UNREADABLE = "pictures that cannot be read"


@dataclass(frozen=True, slots=True)
class Mark:
    """One object as an annotation has it.

    Attributes:
        name: of its class.
        box: xyxy in pixels of the displayed image.
        where: file and line.
        difficult: as `Objects` has it.
        crowd: likewise.
    """

    name: str
    box: tuple[float, float, float, float]
    where: str
    difficult: bool = False
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class MarkedImage:
    """An image and the objects that are marked in it.

    Attributes:
        path: of the image.
        marks: in their order; empty for an image without labels.
    """

    path: Path
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class MarkedPart:
    """The images of a part, in their order.

    Attributes:
        part: "train", "val", "test", or "all".
        images: with what is marked in them.
        where: the file or folder that lists them.
    """

    part: str
    images: Sequence[MarkedImage]
    where: Path

    def samples(self, labels: Sequence[str], faults: Faults, *, expected: str) -> Samples:
        """Returns them with the class names as numbers.

        Args:
            labels: one name a class.
            faults: gets objects of other classes.
            expected: says in messages where the labels come from.

        Raises:
            DatasetError: the part has no images.
        """
        if not self.images:
            raise DatasetError(f"{self.where}: expected images in the {self.part} part, received none")
        class_ids = {name: index for index, name in enumerate(labels)}
        return Samples(
            tuple(image.path for image in self.images),
            Boxes(tuple(_objects(image, class_ids, faults, expected) for image in self.images)),
            tuple(labels),
            self.part,
        )


def image_shape(path: Path, faults: Faults) -> tuple[int, int] | None:
    """Returns height and width of the displayed picture; None where it cannot be read.

    That is noted and no error: the picture is refused, or left out, where all pictures are decoded.
    """
    try:
        return read_shape(path)
    except ImageError as error:
        faults.note(UNREADABLE, str(error))
        return None


def check_stated(
    stated: tuple[int, int],
    shape: tuple[int, int] | None,
    path: Path,
    where: str,
    faults: Faults,
    *,
    what: str = "boxes are those",
) -> bool:
    """Says whether an annotation was made of the picture as it is displayed, and notes a fault where not.

    Boxes and masks count in displayed pixels. An annotation that states the size of the stored picture, where EXIF
    turns it, was made by a tool that does not turn it: its boxes lie elsewhere.

    Args:
        stated: height and width that the annotation says.
        shape: of the displayed picture; None where it is not known, which passes.
        path: of the picture.
        where: file and line of the annotation.
        faults: gets the fault.
        what: of the annotation is turned otherwise then, with its verb.
    """
    if shape is None or stated == shape:
        return True
    turned = "" if stated != shape[::-1] else (
        f". If it is turned by EXIF, its {what} of the picture as it is stored: turn its pixels and remove the EXIF "
        "orientation, or mark the displayed picture"
    )  # fmt: skip
    faults.error(
        "images of another size than their labels say",
        f"{where}: expected the size of {path.name}, {shape[1]} x {shape[0]} (width x height) as it is displayed, "
        f"received {stated[1]} x {stated[0]}{turned}",
    )
    return False


def checked_box(
    box: tuple[float, float, float, float], shape: tuple[int, int] | None, where: str, faults: Faults
) -> tuple[float, float, float, float] | None:
    """Returns the box, cut to the image where it lies outside by no more than a pixel; None where it is faulty.

    Args:
        box: xyxy in pixels.
        shape: height and width of the displayed picture; None where they are not known.
        where: file, line and what it is the box of.
        faults: gets the fault.
    """
    shown = "xyxy " + " ".join(f"{value:g}" for value in box)
    if not all(map(math.isfinite, box)):
        faults.error("boxes that are no numbers", f"{where}: expected finite numbers, received {shown}")
        return None
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        faults.error(
            "boxes without area", f"{where}: expected a box with a width and a height above 0, received {shown}"
        )
        return None
    if shape is None:
        return box
    height, width = shape
    cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if max(map(abs, (a - b for a, b in zip(box, cut, strict=True)))) > BORDER or cut[2] <= cut[0] or cut[3] <= cut[1]:
        faults.error(
            "boxes outside their image",
            f"{where}: expected a box inside the image of {width} x {height} (width x height), received {shown}. "
            f"Up to {BORDER:g} pixel outside would be cut.",
        )
        return None
    return cut


def pictures_in(folder: Path) -> dict[str, Path]:
    """Returns the images of a folder by stem, sorted; of two with one stem the first.

    Raises:
        DatasetError: the folder cannot be read.
    """
    found: dict[str, Path] = {}
    for path in entries(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            found.setdefault(path.stem, path)
    return found


def listed_stems(file: Path, images: Mapping[str, Path], folder: Path, faults: Faults) -> dict[int, str]:
    """Returns the names of images in a list, one a line, by their lines.

    Args:
        file: the list.
        images: by stem.
        folder: that they lie in, for messages.
        faults: gets names that stand twice, or that no image has.

    Raises:
        DatasetError: the list cannot be read, or nothing is left of it.
    """
    names: dict[int, str] = {}
    seen: set[str] = set()
    for line, text in enumerate(read_text(file).splitlines(), start=1):
        name = text.strip()
        if not name:
            continue
        if name in seen:
            faults.error(
                "names that a list has twice", f"{file}:{line}: expected each image once, received {name!r} again"
            )
        elif name not in images:
            faults.error(
                "files that a part names and that are missing", f"{file}:{line}: no image {name!r} in {folder}"
            )
        else:
            names[line] = name
        seen.add(name)
    if not names:
        raise DatasetError(f"{file}: expected the names of images, one a line, received none")
    return names


def in_parts(path: Path, look: Callable[[Path], Found | None]) -> dict[PartName, Found]:
    """Returns what is found in the folders of a folder that are called as parts are.

    Args:
        path: of the folder.
        look: returns what a part's folder holds, None where that is something else.

    Raises:
        DatasetError: two of them are one part; or the folder cannot be read.
    """
    folders: dict[PartName, Path] = {}
    found: dict[PartName, Found] = {}
    for entry in entries(path):
        part = PART_NAMES.get(entry.name.lower())
        held = look(entry) if part is not None and entry.is_dir() else None
        if part is not None and held is not None:
            if part in folders:
                raise DatasetError(f"{path}: expected one {part} part, received {folders[part]} and {entry}")
            folders[part], found[part] = entry, held
    return found


def is_file(path: Path) -> bool:
    """Says whether a name out of a file leads to a file; not where no file can have it."""
    return os.path.isfile(path)  # noqa: PTH113  (of a name too long, or with a null character, it says no)


def is_folder(path: Path) -> bool:
    """Says whether a name out of a file leads to a folder; not where no folder can have it."""
    return os.path.isdir(path)  # noqa: PTH112  (as above)


def entries(folder: Path) -> list[Path]:
    """Returns what is in a folder, sorted, without names that begin with a dot.

    Raises:
        DatasetError: the folder cannot be read.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror or error}") from error


def read_text(path: Path, *, largest: int = LARGEST_TEXT) -> str:
    """Returns the text of a small file.

    Raises:
        DatasetError: it cannot be read, is no regular file, is too large, or not UTF-8; the line is named.
    """
    try:
        if not path.is_file():
            raise DatasetError(f"{path}: expected a file, received {'a folder' if path.is_dir() else 'none'}")
        size = path.stat().st_size
        if size > largest:
            raise DatasetError(f"{path}: expected up to {largest:,} bytes of text, received {size:,}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{path}:{line}: expected UTF-8, received the byte 0x{content[error.start]:02x}") from error


def labels_file(
    folder: Path, names: Sequence[str] = ("labels.txt", "classes.txt")
) -> tuple[tuple[str, ...], Path] | None:
    """Returns the names in the first of some files that is there, one a line; None where none is.

    Args:
        folder: to look in.
        names: of the files.

    Raises:
        DatasetError: a name stands there twice; or none does.
    """
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        return None
    lines = [line.strip() for line in read_text(path).splitlines()]
    first: dict[str, int] = {}
    for number, name in enumerate(lines, start=1):
        if name in first:
            raise DatasetError(f"{path}:{number}: expected each name once, received {name!r} of line {first[name]}")
        if name:
            first[name] = number
    if not first:
        raise DatasetError(f"{path}: expected one name a line, received none")
    return tuple(first), path


def _objects(image: MarkedImage, class_ids: Mapping[str, int], faults: Faults, expected: str) -> Objects:
    known = []
    for mark in image.marks:
        if mark.name in class_ids:
            known.append(mark)
            continue
        names = ", ".join(list(class_ids)[:10]) + (", …" if len(class_ids) > 10 else "")
        faults.error("unknown classes", f"{mark.where}: expected one of {names} ({expected}), received {mark.name!r}")
    return Objects.of(
        [mark.box for mark in known],
        [class_ids[mark.name] for mark in known],
        difficult=[mark.difficult for mark in known],
        crowd=[mark.crowd for mark in known],
    )
