"""Masks: a picture beside each picture, whose values are classes.

A mask counts in pixels of the displayed picture, so it has that size. Its values are gray levels, or the numbers of a
palette's colours, which themselves mean nothing. Values that mean no class are refused: an editor or a JPEG that
smoothed an edge would else make classes of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.data.faults import Faults
from edgecnn.data.marked import check_stated, image_shape, is_folder, pictures_in
from edgecnn.data.mask_classes import MaskClasses, resolve_classes
from edgecnn.data.mask_files import IGNORE, Color, MaskFile, Pattern, read_levels
from edgecnn.data.mask_folders import MaskPart, layout_of
from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.targets import Masks
from edgecnn.errors import DatasetError


@dataclass(frozen=True, slots=True)
class _Found:
    """A picture, its mask, and what that shows."""

    image: Path
    mask: Path
    pattern: Pattern


def read_masks(path: Path, faults: Faults | None = None) -> Dataset:
    """Reads a data set with a mask a picture. Each mask is decoded once here, and again when it is asked for.

    Args:
        path: a folder that holds images/ and masks/ with a mask for each picture, of the same stem; or folders train,
            val (valid) and test of such, or such folders in images/ and in masks/; or JPEGImages/ and
            SegmentationClass/ as Pascal VOC has them, with the parts in ImageSets/Segmentation, and 255 where nothing
            is said. Or a YAML file, or a folder with one, in which train, val and test each name a folder of `images`
            and one of `masks`.
            The classes are called by `names` (or `classes`) in a YAML file there, a list or names by value, with the
            values that say nothing in `ignore`; else by the lines of classes.txt or labels.txt; else "class 0",
            "class 1", … What values mean, `resolve_classes` decides.
        faults: keeps what is faulty, and the picture is left out; None ends at the first.

    Raises:
        DatasetError: a picture has no mask, a mask no picture, another size, values that mean no class, or colours
            without a palette; or it is damaged. The file is named.
        MissingDependencyError: there is a YAML file, and PyYAML is not installed.
    """
    faults = faults or Faults()
    parts, given = layout_of(path, faults)
    palette: dict[int, Color] = {}
    read = [(part, _read(part, palette, faults)) for part in parts]
    shown = [one.pattern.values.tolist() for _, found in read for one in found]
    if not shown:
        raise DatasetError(f"{path}: expected pictures with masks, received none")
    classes = resolve_classes(given, shown, path)
    if palette:
        faults.note("palettes", f"{path}: {_colors(palette, classes)}")
    samples = [_samples(part, found, classes, faults) for part, found in read]
    return make_dataset(path.absolute().name, f"masks:{path.absolute()}", samples)


def _read(part: MaskPart, palette: dict[int, Color], faults: Faults) -> list[_Found]:
    """Returns a part's pictures with masks; colours of palettes are added to `palette`."""
    images, folder = pictures_in(part.place.images), part.place.masks
    masks = pictures_in(folder) if is_folder(folder) else {}
    found = []
    for name in images if part.names is None else part.names:
        if name in masks:
            one = _looked_at(images[name], masks[name], palette, faults)
            if one is not None:
                found.append(one)
        elif part.place.is_voc and part.names is None:
            faults.note("pictures without masks", f"{images[name]}: has no mask, so it is left out")
        else:
            faults.error(
                "pictures without masks", f"{images[name]}: expected a mask {name}.png in {folder}, received none"
            )
    if part.names is None:
        for name in sorted(masks.keys() - images.keys()):
            faults.error(
                "masks without pictures",
                f"{masks[name]}: expected a picture {name!r} in {part.place.images}, received none",
            )
    return found


def _looked_at(image: Path, mask: Path, palette: dict[int, Color], faults: Faults) -> _Found | None:
    try:
        levels = read_levels(mask)
    except DatasetError as error:
        faults.error("masks that cannot be read", str(error))
        return None
    height, width = levels.values.shape
    if not check_stated((height, width), image_shape(image, faults), image, str(mask), faults, what="mask is that"):
        return None
    pattern = Pattern.of(levels.values)
    own = {int(value): levels.palette[value] for value in pattern.values if value < len(levels.palette)}
    if any(palette.get(value, color) != color for value, color in own.items()):
        faults.note("masks with another palette", f"{mask}: its colours are other ones; the numbers count")
    palette |= {value: color for value, color in own.items() if value not in palette}
    return _Found(image, mask, pattern)


def _samples(part: MaskPart, found: Sequence[_Found], classes: MaskClasses, faults: Faults) -> Samples:
    kept = []
    for one in found:
        wrong = classes.wrong(one.pattern.values)
        if wrong:
            faults.error("masks with values of no class", f"{one.mask}: {wrong}")
        else:
            kept.append(one)
    if not kept:
        raise DatasetError(f"{part.place.images}: expected pictures with masks in the {part.part} part, received none")
    shown, digests = np.zeros((len(kept), len(classes.labels)), bool), []
    for row, one in zip(shown, kept, strict=True):
        ids = classes.classes[one.pattern.values]
        row[ids[ids != IGNORE]] = True
        digests.append(one.pattern.digest(ids))
    sources = tuple(MaskFile(one.mask, classes.classes) for one in kept)
    return Samples(tuple(one.image for one in kept), Masks(sources, shown, tuple(digests)), classes.labels, part.part)


def _colors(palette: Mapping[int, Color], classes: MaskClasses) -> str:
    """Returns what the colours of palettes mean, in words."""
    means = {value: int(classes.classes[value]) for value in sorted(palette)}
    return "the numbers of colours are the classes: " + ", ".join(
        f"{'ignored' if class_id == IGNORE else classes.labels[class_id]} is {palette[value]}"
        for value, class_id in means.items()
        if class_id >= 0
    )
