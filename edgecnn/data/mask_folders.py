"""Where a data set keeps its pictures and masks, and what it says of the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.data.faults import Faults, logger
from edgecnn.data.folders import PART_NAMES
from edgecnn.data.marked import entries, in_parts, is_folder, listed_stems, pictures_in
from edgecnn.data.mask_classes import NAME_KEYS, GivenClasses, classes_in_text, classes_in_yaml
from edgecnn.data.mask_files import IGNORE
from edgecnn.data.samples import PartName
from edgecnn.data.yaml_nodes import (
    Node,
    at,
    composed,
    has_key,
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

LOOKED_FOR = (
    "images/ beside masks/ of the same names (or JPEGImages/ beside SegmentationClass/), or a YAML file with names and "
    "the images and masks of parts"
)
_IMAGES, _MASKS, _VOC_MASKS = ("images", "jpegimages"), "masks", "segmentationclass"  # in any letter case
_LISTS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class MaskPlace:
    """Where pictures and their masks lie.

    Attributes:
        images: the folder of pictures.
        masks: of masks.
        is_voc: whether they lie as Pascal VOC has them, where most pictures have no mask.
    """

    images: Path
    masks: Path
    is_voc: bool = False


@dataclass(frozen=True, slots=True)
class MaskPart:
    """Where a part lies.

    Attributes:
        part: its name.
        place: of its pictures.
        names: their stems; None for all that are there.
    """

    part: str
    place: MaskPlace
    names: tuple[str, ...] | None = None


def holds_masks(path: Path) -> bool:
    """Says whether a path is, or a folder holds, pictures and masks."""
    if not path.is_dir():
        return _names_parts(path)
    return any(map(_names_parts, entries(path))) or bool(_place(path) or in_parts(path, _place))


def layout_of(path: Path, faults: Faults) -> tuple[list[MaskPart], GivenClasses]:
    """Returns where the parts lie, and what is said of the classes.

    Args:
        path: as `edgecnn.data.masks.read_masks` takes it.
        faults: gets names in lists that no picture has, and parts that are not there.

    Raises:
        DatasetError: it holds no masks, or names parts or classes in a way that is faulty.
        MissingDependencyError: there is a YAML file, and PyYAML is not installed.
    """
    if not path.is_dir():
        if path.is_file():
            return _configured(path, faults)
        raise DatasetError(f"{path}: expected {LOOKED_FOR}, received nothing")
    files = [file for file in entries(path) if _names_parts(file)] or [
        file for file in entries(path) if top_keys(file) & {*NAME_KEYS}
    ]
    files = usual_of(files)
    if len(files) > 1:
        raise DatasetError(
            f"{path}: expected one YAML file with names, received {' and '.join(file.name for file in files)}. To name "
            "it, write masks:FILE, or move the other."
        )
    if files and _names_parts(files[0]):
        return _configured(files[0], faults)
    parts = list(_parts(path, faults))
    if not parts:
        raise DatasetError(f"{path}: expected {LOOKED_FOR}, received neither")
    if files:
        given = classes_in_yaml(mapping(composed(files[0]), files[0], "an object with names"), files[0])
    else:
        folders = (path, *(part.place.masks for part in parts))
        found = (classes_in_text(folder) for folder in folders)
        given = next((one for one in found if one.names is not None), GivenClasses())
    if any(part.place.is_voc for part in parts):
        given = GivenClasses(given.names, given.ignored | ({IGNORE} - (given.names or {}).keys()), given.origin)
    return parts, given


def _names_parts(file: Path) -> bool:
    """Says whether a file looks like a YAML file that gives images and masks of parts."""
    keys = top_keys(file)
    return bool(keys & {*NAME_KEYS}) and bool(keys & PART_NAMES.keys()) and has_key(file, "masks")


def _configured(file: Path, faults: Faults) -> tuple[list[MaskPart], GivenClasses]:
    top = mapping(composed(file), file, "an object with names and train or val")
    root, parts = root_of(top, file), dict[str, MaskPart]()
    for key, node in top.items():
        part = PART_NAMES.get(key)
        if part is None or is_nothing(node):
            continue
        if part in parts:
            raise DatasetError(f"{at(file, node)}: expected one {part} part, received {key} besides")
        place = _configured_place(part, node, file, root, faults)
        if place is not None:
            parts[part] = MaskPart(part, place)
    if not parts:
        raise DatasetError(f"{file}: expected train, val or test with images and masks, received none of them")
    return list(parts.values()), classes_in_yaml(top, file)


def _configured_place(part: str, node: Node, file: Path, root: Path, faults: Faults) -> MaskPlace | None:
    """Returns where a part lies; None where it is left out."""
    named = mapping(node, file, "the folders `images` and `masks` of a part")
    if not {"images", "masks"} <= named.keys():
        raise DatasetError(
            f"{at(file, node)}: expected the folders `images` and `masks` of the {part} part, received "
            f"{' and '.join(map(repr, named)) or 'none'}"
        )
    texts = {key: scalar(named[key], file) for key in ("images", "masks")}
    places = {key: place_of(root, text) for key, text in texts.items()}
    missing = next((key for key, place in places.items() if not is_folder(place)), None)
    if missing is None:
        return MaskPlace(places["images"], places["masks"])
    where = f"{file}:{line_of(named[missing])}"
    if part == "train":
        raise DatasetError(
            f"{where}: expected a folder as {missing} of train, received {texts[missing]!r}: no {places[missing]}"
        )
    faults.note(
        "parts that are not there", f"{where}: {part} names {texts[missing]!r}, and there is no {places[missing]}"
    )
    logger.warning("%s: left the %s part out: there is no %s", where, part, places[missing])
    return None


def _parts(path: Path, faults: Faults) -> list[MaskPart]:
    place = _place(path)
    if place is None:
        places = in_parts(path, _place)
        _leave_out_parts_without_masks(path, places, faults)
        return [MaskPart(part, inner) for part, inner in places.items()]
    images = pictures_in(place.images)
    lists = {name: path / "ImageSets" / "Segmentation" / f"{name}.txt" for name in _LISTS if place.is_voc}
    given = {name: file for name, file in lists.items() if file.is_file()}
    if given:
        parts = [
            MaskPart(name, place, tuple(listed_stems(file, images, place.images, faults).values()))
            for name, file in given.items()
        ]
        listed = {name for part in parts for name in part.names or ()}
        rest = len((pictures_in(place.masks).keys() & images.keys()) - listed)
        if rest:
            folder = path / "ImageSets" / "Segmentation"
            faults.note("labelled images in no part", f"{folder}: {rest} pictures with masks are in no list")
        return parts
    inner = in_parts(place.images, lambda folder: folder if pictures_in(folder) else None)
    if images and inner:
        raise DatasetError(
            f"{place.images}: expected pictures, or folders train, val and test of them, received both. Move the "
            "pictures into a part."
        )
    if images:
        return [MaskPart("all", place)]
    masks = in_parts(place.masks, lambda folder: folder)
    return [
        MaskPart(part, MaskPlace(folder, masks.get(part, place.masks / folder.name), place.is_voc))
        for part, folder in inner.items()
    ]


def _leave_out_parts_without_masks(path: Path, places: Mapping[PartName, MaskPlace], faults: Faults) -> None:
    """Says which parts have pictures alone, as those have that others are to be judged by.

    Raises:
        DatasetError: the train part is one.
    """
    pictured = in_parts(path, lambda folder: folder if _one_of(folder, _IMAGES) else None) if places else {}
    for part in pictured.keys() - places.keys():
        said = f"{pictured[part]}: expected masks/ beside the pictures of the {part} part, received none"
        if part == "train":
            raise DatasetError(said)
        faults.note("parts without masks", said)
        logger.warning("%s, so it is left out", said)


def _place(path: Path) -> MaskPlace | None:
    """Returns where a folder keeps pictures and masks; None where it has no folders of both."""
    images, masks = _one_of(path, _IMAGES), _one_of(path, (_MASKS, _VOC_MASKS))
    if images is None or masks is None:
        return None
    return MaskPlace(images, masks, is_voc=masks.name.lower() == _VOC_MASKS)


def _one_of(path: Path, names: Sequence[str]) -> Path | None:
    """Returns the folder in a folder that has the first of these names, in any letter case; None where none has."""
    folders = {entry.name.lower(): entry for entry in entries(path) if entry.is_dir()}
    return next((folders[name] for name in names if name in folders), None)
