"""A data set out of the parts that were read: a test part split off where it lacks, and what must be said of them."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence

from edgecnn.data.fingerprint import fingerprint, image_digests
from edgecnn.data.samples import Dataset, Samples
from edgecnn.data.split import split_off_test
from edgecnn.errors import DatasetError

_ORDER = ("train", "val", "test", "all")
_SHOWN = 3  # pairs of equal pictures
_EMPTY = hashlib.sha256(b"").digest()  # of files that hold no picture at all

logger = logging.getLogger(__name__)  # cli/__init__.py shows its INFO too


def make_dataset(name: str, location: str, given: Sequence[Samples]) -> Dataset:
    """Returns the data set, and warns of pictures that are labelled in two ways or stand in two parts.

    Args:
        name: stands before messages.
        location: what `load_dataset` takes to read it again.
        given: the parts that the data have, or a single one called "all". Where there is nothing to judge by, a seeded
            fifth of each class becomes the test part, if each class has two pictures.

    Raises:
        DatasetError: a file cannot be read.
    """
    parts, is_split, unsplit = tuple(sorted(given, key=lambda part: _ORDER.index(part.part))), False, ""
    if len(parts) == 1 and parts[0].part in ("train", "all"):
        try:
            parts, is_split = split_off_test(parts[0]), True
        except DatasetError as error:  # they can be scored, but neither trained on nor an export be proven on them
            unsplit = str(error)
    digests = [image_digests(part) for part in parts]
    _warn_of_doubles(name, parts, digests)
    _warn_of_missing_classes(name, parts)
    return Dataset(name, location, parts, fingerprint(parts, digests), is_split, unsplit)


def count_learned(dataset: Dataset, scored: Samples, trained_on: str | None) -> int:
    """Returns how many of the images scored a model has learned from; 0 where it was trained on other data.

    Args:
        dataset: the data.
        scored: what was selected of it.
        trained_on: the fingerprint of the data that the model was trained on; None where that is not known.
    """
    if trained_on != dataset.fingerprint or scored.part not in ("train", "all"):
        return 0
    return sum(len(part) for part in dataset.parts if part.part == "train")


def announce(work: str, dataset: Dataset, part: Samples) -> None:
    """Says which part of the data a work takes; the command line always shows it.

    Args:
        work: "scoring" and the like.
        dataset: the data.
        part: what is taken of them.
    """
    if part.part == "all":
        taken = "all of"
    elif dataset.is_split:
        taken = f"the {part.part} part, {'a fifth' if part.part == 'test' else 'four fifths'} of each class by seed, of"
    else:
        taken = f"the {part.part} part of"
    logger.info("%s %s %s: %d images", work, taken, dataset.name, len(part))


def find_doubles(parts: Sequence[Samples], digests: Sequence[Sequence[bytes]]) -> dict[str, list[str]]:
    """Returns equal pictures that are labelled in two ways or stand in two parts; twice elsewhere is fine.

    Args:
        parts: one or more.
        digests: of each part, what `image_digests` gives.

    Returns:
        For each of the two, in words, pairs like "a.png = b.png".
    """
    found: defaultdict[bytes, list[tuple[Samples, int]]] = defaultdict(list)
    for part, images in zip(parts, digests, strict=True):
        for index, digest in enumerate(images):
            found[digest].append((part, index))
    kinds: dict[str, list[str]] = {parts[0].targets.contradiction: [], "in two parts": []}
    found.pop(_EMPTY, None)
    for places in found.values():
        first = places[0]
        for kind, differs in zip(kinds, (_label_of, _part_of), strict=True):
            other = next((place for place in places if differs(place) != differs(first)), None)
            if other is not None:
                kinds[kind].append(f"{first[0].describe(first[1])} = {other[0].describe(other[1])}")
    return kinds


def missing_classes(part: Samples) -> list[str]:
    """Returns the names of the classes that no image of a part shows."""
    counts = part.targets.counts(len(part.labels))
    return [label for label, count in zip(part.labels, counts, strict=True) if not count]


def _warn_of_doubles(name: str, parts: Sequence[Samples], digests: Sequence[Sequence[bytes]]) -> None:
    said = [
        f"{len(pairs)} {kind} ({', '.join(pairs[:_SHOWN])}{', …' if len(pairs) > _SHOWN else ''})"
        for kind, pairs in find_doubles(parts, digests).items()
        if pairs
    ]
    if said:
        logger.warning(
            "%s: equal pictures: %s. %s they teach a contradiction, in two parts they make the score too "
            "good: remove one of each",
            *(name, " and ".join(said), parts[0].targets.contradiction.capitalize()),
        )


def _label_of(place: tuple[Samples, int]) -> object:
    return place[0].targets.digest(place[1])


def _part_of(place: tuple[Samples, int]) -> object:
    return place[0].part


def _warn_of_missing_classes(name: str, parts: Sequence[Samples]) -> None:
    for part in parts:
        missing = missing_classes(part)
        if missing:
            logger.warning(
                "%s: the %s part has no picture of %d of the %d classes (%s): its score says nothing about them",
                *(name, part.part, len(missing), len(part.labels)),
                ", ".join(missing[:5]) + (", …" if len(missing) > 5 else ""),
            )
