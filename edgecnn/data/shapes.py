"""`shapes`: coloured shapes on textured grounds, drawn when they are asked for, with boxes, masks and questions."""

import re

import numpy as np

from edgecnn.data.parts import make_dataset
from edgecnn.data.samples import Dataset, PartName, Samples
from edgecnn.data.scene_questions import ANSWERS, questions_about
from edgecnn.data.scenes import KINDS, Scene, boxes_of, class_map_of, new_scene, render
from edgecnn.data.targets import Answers, Boxes, Masks, Objects
from edgecnn.errors import UnknownDatasetError

NAME = "shapes"
MOST = 6  # objects in an image
_IMAGES: dict[PartName, int] = {"train": 1200, "test": 300}  # 55 MB
_NAMED = re.compile(rf"{NAME}(?::([1-9]))?")


def is_shapes(name: str) -> bool:
    """Says whether a name is `shapes`, or `shapes:N`."""
    return name == NAME or name.startswith(f"{NAME}:")


def most_objects(name: str) -> int:
    """Returns how many objects an image of that data set has at most.

    Args:
        name: "shapes", with 1 to 6; "shapes:1", with one, which is larger; "shapes:N" with 1 to N.

    Raises:
        UnknownDatasetError: another N.
    """
    found = _NAMED.fullmatch(name)
    most = int(found[1] or MOST) if found else 0
    if not 1 <= most <= MOST:
        raise UnknownDatasetError(f"{name}: expected shapes, or shapes:N of 1 to N objects an image, N up to {MOST}")
    return most


def read_shapes(most: int = MOST) -> Dataset:
    """Draws the data set: 1,200 images to learn from and 300 to judge by, of 96 x 128 pixels, always the same ones.

    Its labels are boxes, with the masks and the questions behind them; see `edgecnn.data.narrowing`.

    Args:
        most: objects in an image; where it is 1 they are larger.
    """
    name = NAME if most == MOST else f"{NAME}:{most}"
    return make_dataset(name, name, [_part(part, most) for part in _IMAGES])


def scene_of(part: PartName, index: int, most: int) -> Scene:
    """Returns what an image shows.

    Args:
        part: "train" or "test".
        index: of the image in it.
        most: objects an image.
    """
    return new_scene((10 * list(_IMAGES).index(part) + most, index), most)


def _part(part: PartName, most: int) -> Samples:
    scenes = [scene_of(part, index, most) for index in range(_IMAGES[part])]
    boxes = [boxes_of(scene) for scene in scenes]
    objects = tuple(
        Objects.of(of_scene.tolist(), [KINDS.index(shape.kind) for shape in scene.shapes])
        for scene, of_scene in zip(scenes, boxes, strict=True)
    )
    masks = Masks.of([class_map_of(scene) for scene in scenes], 1 + len(KINDS))
    answers = Answers(tuple(map(questions_about, scenes, boxes)), ANSWERS)
    return Samples(np.stack([render(scene) for scene in scenes]), Boxes(objects, masks, answers), KINDS, part)
