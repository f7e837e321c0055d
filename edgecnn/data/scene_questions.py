"""What can be asked about a scene of shapes: questions of five kinds, with the answers that follow from the scene.

Nothing is asked whose answer a pixel decides: of places, only what is clearly on one side.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edgecnn.data.scenes import COLORS, HEIGHT, KINDS, WIDTH, Scene, Shape
from edgecnn.data.targets import Asked

COLOR, KIND, NUMBER, WHERE, YES_OR_NO = "color", "kind", "number", "where", "yes or no"
_NUMBERS = tuple(str(count) for count in range(7))  # of shapes in a scene
_PLACES = ("lower left", "lower right", "upper left", "upper right")
ANSWERS = (*COLORS, *KINDS, *_NUMBERS, *_PLACES, "yes", "no")
_PLURALS = {kind: f"{kind}es" if kind.endswith("s") else f"{kind}s" for kind in KINDS}
_CLEAR = 8  # pixels between what is compared
_EACH = 2  # questions of a kind that one scene has at most
_IDS = {answer: index for index, answer in enumerate(ANSWERS)}


def questions_about(scene: Scene, boxes: npt.NDArray[np.float32]) -> tuple[Asked, ...]:
    """Returns questions about a scene, always the same ones: up to two of each kind, and as many yes as no.

    Args:
        scene: with one shape or more, no two of one colour.
        boxes: (shapes, 4) xyxy, round what can be seen of each; see `boxes_of`.
    """
    random = np.random.RandomState(scene.ground.seed)
    asked: list[Asked] = []
    for kind, pairs in (
        (COLOR, _about_colors(scene)),
        (KIND, _about_kinds(scene)),
        (NUMBER, _about_numbers(scene)),
        (WHERE, _about_places(scene, boxes)),
        (YES_OR_NO, _whether(scene, boxes, "yes")),
        (YES_OR_NO, _whether(scene, boxes, "no")),
    ):
        every = list(pairs)
        most = 1 if kind == YES_OR_NO else _EACH
        for _ in range(min(most, len(every))):
            text, answer = every.pop(int(random.randint(0, len(every), dtype=np.int64)))
            asked.append(Asked(text, kind, _IDS[answer]))
    return tuple(asked)


def _about_colors(scene: Scene) -> Iterator[tuple[str, str]]:
    kinds = [shape.kind for shape in scene.shapes]
    for shape in scene.shapes:
        if kinds.count(shape.kind) == 1:
            yield f"What color is the {shape.kind}?", shape.color


def _about_kinds(scene: Scene) -> Iterator[tuple[str, str]]:
    for shape in scene.shapes:
        yield f"What is the {shape.color} shape?", shape.kind


def _about_numbers(scene: Scene) -> Iterator[tuple[str, str]]:
    yield "How many shapes are there?", str(len(scene.shapes))
    for kind, plural in _PLURALS.items():
        yield f"How many {plural} are there?", str(sum(shape.kind == kind for shape in scene.shapes))


def _about_places(scene: Scene, boxes: npt.NDArray[np.float32]) -> Iterator[tuple[str, str]]:
    for shape, (x1, y1, x2, y2) in zip(scene.shapes, boxes.tolist(), strict=True):
        right, down = (x1 + x2 - WIDTH) / 2, (y1 + y2 - HEIGHT) / 2  # of the middle, in pixels
        if min(abs(right), abs(down)) >= _CLEAR:
            place = f"{'lower' if down > 0 else 'upper'} {'right' if right > 0 else 'left'}"
            yield f"Where is the {shape.color} {shape.kind}?", place


def _whether(scene: Scene, boxes: npt.NDArray[np.float32], answer: str) -> Iterator[tuple[str, str]]:
    """Yields whether there is a shape, and whether one is left of another, where the answer is that."""
    there = {(shape.color, shape.kind) for shape in scene.shapes}
    if answer == "yes":
        yield from ((f"Is there a {color} {kind}?", answer) for color, kind in sorted(there))
    else:  # of a colour or a kind that is there, so that looking at one of them is not enough
        colors, kinds = ({pair[part] for pair in there} for part in (0, 1))
        for color in COLORS:
            for kind in KINDS:
                if (color, kind) not in there and (color in colors or kind in kinds):
                    yield f"Is there a {color} {kind}?", answer
    for left, right in _side_by_side(scene, boxes):
        first, second = (left, right) if answer == "yes" else (right, left)
        yield f"Is the {first.color} {first.kind} left of the {second.color} {second.kind}?", answer


def _side_by_side(scene: Scene, boxes: npt.NDArray[np.float32]) -> Iterator[tuple[Shape, Shape]]:
    """Yields pairs of shapes of which the first is clearly left of the second."""
    middles = [(x1 + x2) / 2 for x1, _, x2, _ in boxes.tolist()]
    for left, at in zip(scene.shapes, middles, strict=True):
        for right, to in zip(scene.shapes, middles, strict=True):
            if to - at >= _CLEAR:
                yield left, right
