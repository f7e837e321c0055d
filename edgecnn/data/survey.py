"""What a data set holds, and everything that is wrong with it, before anyone trains on it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecnn.data.faults import Fault, Faults
from edgecnn.data.fingerprint import image_digests
from edgecnn.data.load import Found
from edgecnn.data.marked import UNREADABLE
from edgecnn.data.parts import find_doubles, missing_classes
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.targets import IGNORE, Answers, Boxes, ClassIds, Masks
from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import open_image

_SHOWN = 10  # messages of a kind
TargetsName = Literal["classes", "boxes", "masks", "questions"]
_NAMES: Mapping[type, TargetsName] = {ClassIds: "classes", Boxes: "boxes", Masks: "masks", Answers: "questions"}
_PERCENTILES = {"min": 0, "p5": 5, "median": 50, "p95": 95, "max": 100}


@dataclass(frozen=True, slots=True)
class PartCounts:
    """How much there is in a part.

    Attributes:
        part: its name.
        images: how many.
        objects: how many are marked, or questions asked; None where images have a class each, or masks.
        empty: images without objects or questions; None likewise.
        per_class: of each class, how many images show it.
        objects_per_class: of each class, how many objects there are, or questions with that answer; None likewise.
        pixel_share: of each class, its part of the pixels that masks say something of, 0 to 1; None without masks.
        ignored_share: the part of all pixels that they say nothing of; None likewise.
        kinds: of each kind of question how many there are, the most frequent first; None without questions.
    """

    part: str
    images: int
    objects: int | None
    empty: int | None
    per_class: tuple[int, ...]
    objects_per_class: tuple[int, ...] | None
    pixel_share: tuple[float, ...] | None = None
    ignored_share: float | None = None
    kinds: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """Faults of one kind.

    Attributes:
        kind: in a few words.
        count: how many.
        first: messages of the first ten.
    """

    kind: str
    count: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a data set holds.

    Attributes:
        name: the set's name, or the file's or folder's.
        location: what reads it again.
        format: what it was recognised as.
        fingerprint: of its content.
        labels: one name a class.
        parts: as the data have them; one called "all" where they have none to judge by.
        sizes: least, 5 %, median, 95 % and largest of what is named: image and box sides in pixels, and the part of its
            image that a box covers.
        errors: what must be mended, or is left out with --skip-bad.
        notes: what is legal and may yet surprise.
        targets: what images are labelled with.
    """

    name: str
    location: str
    format: str
    fingerprint: str
    labels: tuple[str, ...]
    parts: tuple[PartCounts, ...]
    sizes: dict[str, dict[str, float]]
    errors: tuple[Kind, ...]
    notes: tuple[Kind, ...]
    targets: TargetsName

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object; parts have the shares of pixels where there are masks, kinds where questions."""
        tree = asdict(self)
        for part in tree["parts"]:
            if self.targets != "masks":
                del part["pixel_share"], part["ignored_share"]
            if self.targets != "questions":
                del part["kinds"]
        return tree


def survey(found: Found, faults: Faults, *, on_image: Callable[[int, int], None] | None = None) -> Survey:
    """Counts and measures a data set, and decodes every picture in it.

    Args:
        found: the data set.
        faults: what its reader found.
        on_image: called with (images done, images in all).

    Raises:
        DatasetError: a file cannot be read any more.
    """
    dataset, parts = found.dataset, parts_of(found.dataset)
    shapes = _shapes(parts, faults, on_image or _ignore)
    notes = [note for note in faults.notes if note.kind != UNREADABLE]  # those are errors by now
    return Survey(
        dataset.name,
        dataset.location,
        found.format,
        dataset.fingerprint,
        dataset.labels,
        tuple(map(_counts, parts)),
        _sizes(parts, shapes),
        _kinds(faults.errors),
        _kinds([*notes, *_remarks(dataset, parts)]),
        _NAMES[type(parts[0].targets)],
    )


def parts_of(dataset: Dataset) -> tuple[Samples, ...]:
    """Returns the parts as the data have them: all in one where a test part was only split off."""
    return (dataset.select("all"),) if dataset.is_split else dataset.parts


def _shapes(
    parts: Sequence[Samples], faults: Faults, on_image: Callable[[int, int], None]
) -> list[list[tuple[int, int] | None]]:
    """Returns height and width of each displayed picture; None of those that cannot be decoded."""
    shapes: list[list[tuple[int, int] | None]] = []
    done, total = 0, sum(map(len, parts))
    for part in parts:
        shapes.append([])
        for source in part.sources:
            shapes[-1].append(_shape(source, part.describe(len(shapes[-1])), faults))
            done += 1
            on_image(done, total)
    return shapes


def _shape(source: Any, name: str, faults: Faults) -> tuple[int, int] | None:
    if isinstance(source, np.ndarray):
        return int(source.shape[0]), int(source.shape[1])
    try:
        image = open_image(source)
    except ImageError as error:
        faults.error("pictures that cannot be decoded", f"{name}: {str(error).removeprefix(f'{name}: ')}")
        return None
    return image.height, image.width


def _counts(part: Samples) -> PartCounts:
    per_class = tuple(part.targets.counts(len(part.labels)).tolist())
    if isinstance(part.targets, Masks):
        share, ignored = _shares(part.targets, len(part.labels))
        return PartCounts(part.part, len(part), None, None, per_class, None, share, ignored)
    if isinstance(part.targets, Answers):
        asked = part.targets.every()
        given = np.bincount([one.class_id for one in asked], minlength=len(part.labels)).tolist()
        kinds = dict(Counter(one.kind for one in asked).most_common())
        empty = sum(not about for about in part.targets.images)
        return PartCounts(part.part, len(part), len(asked), empty, per_class, tuple(given), kinds=kinds)
    if not isinstance(part.targets, Boxes):
        return PartCounts(part.part, len(part), None, None, per_class, None)
    lengths = [len(image) for image in part.targets.images]
    ids = np.concatenate([image.class_ids for image in part.targets.images])
    objects = tuple(np.bincount(ids, minlength=len(part.labels)).tolist())
    return PartCounts(part.part, len(part), sum(lengths), lengths.count(0), per_class, objects)


def _shares(masks: Masks, num_classes: int) -> tuple[tuple[float, ...], float]:
    """Returns the part of the pixels that each class has, and of all pixels those that are ignored."""
    pixels = np.zeros(256, np.int64)
    for index in range(len(masks)):
        pixels += np.bincount(masks.truth(index).ravel(), minlength=256)
    said = pixels[:IGNORE].sum()
    share = pixels[:num_classes] / max(said, 1)
    return tuple(round(float(one), 6) for one in share), round(float(pixels[IGNORE] / pixels.sum()), 6)


def _sizes(parts: Sequence[Samples], shapes: Sequence[Sequence[tuple[int, int] | None]]) -> dict[str, dict[str, float]]:
    images = np.array([shape for part in shapes for shape in part if shape is not None]).reshape(-1, 2)
    sizes = {"image_width": images[:, 1], "image_height": images[:, 0]}
    boxes, of = [], []
    for part, known in zip(parts, shapes, strict=True):
        for objects, shape in zip(part.targets.images if isinstance(part.targets, Boxes) else (), known, strict=False):
            if shape is not None:
                boxes.append(objects.boxes)
                of += [shape[0] * shape[1]] * len(objects)
    if of:
        corners = np.concatenate(boxes)
        sides = corners[:, 2:] - corners[:, :2]
        sizes |= {"box_width": sides[:, 0], "box_height": sides[:, 1], "box_share": sides.prod(axis=1) / np.array(of)}
    return {name: _percentiles(values) for name, values in sizes.items() if len(values)}


def _percentiles(values: npt.NDArray[Any]) -> dict[str, float]:
    found = np.percentile(values, list(_PERCENTILES.values()))
    return {name: round(float(value), 4) for name, value in zip(_PERCENTILES, found, strict=True)}


def _remarks(dataset: Dataset, parts: Sequence[Samples]) -> list[Fault]:
    remarks = [
        Fault(f"equal pictures {kind}", pair)
        for kind, pairs in find_doubles(parts, [image_digests(part) for part in parts]).items()
        for pair in pairs
    ]
    remarks += [
        Fault("classes that a part does not show", f"{part.part}: {label}")
        for part in parts
        for label in missing_classes(part)
    ]
    if dataset.is_split:
        remarks.append(Fault("parts missing", "no part to judge by: training and exporting hold a seeded fifth out"))
    if dataset.unsplit:
        remarks.append(Fault("parts missing", f"no part to judge by, and none can be made: {dataset.unsplit}"))
    return remarks


def _kinds(faults: Sequence[Fault]) -> tuple[Kind, ...]:
    messages: dict[str, list[str]] = {}
    for fault in faults:
        messages.setdefault(fault.kind, []).append(fault.message)
    return tuple(Kind(kind, len(found), tuple(found[:_SHOWN])) for kind, found in messages.items())


def _ignore(done: int, total: int) -> None:
    del done, total
