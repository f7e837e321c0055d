"""Scenes of coloured shapes on textured grounds: what is where, and apart from that, how it is drawn.

Everything is whole numbers and NumPy's legacy generator, whose numbers are frozen (NEP 19), so that a scene is the same
bytes on every machine and under every version of Pillow, which draws none of it. Boxes, masks, and what can be asked of
a scene, all follow from the same description.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH = 96, 128  # not square, so that exchanged axes show; small enough for 64 pixels, large enough for 224
KINDS = ("circle", "cross", "square", "triangle")
COLORS: Mapping[str, tuple[int, int, int]] = {  # each has a level that no ground has
    "black": (15, 15, 15),
    "blue": (40, 70, 225),
    "cyan": (40, 205, 220),
    "green": (40, 165, 60),
    "purple": (150, 40, 205),
    "red": (220, 40, 40),
    "white": (245, 245, 245),
    "yellow": (240, 220, 40),
}
SIZES = (8, 9, 11, 13, 16, 19, 23, 27, 32, 38, 45, 54, 64)  # pixels, a fourth root of two apart
_ALONE = 3  # a shape that is alone in its scene is larger by 3/2
_LEAST_VISIBLE = 0.5  # of a shape's own area, behind others and cut by the border
_MOST_CUT = 3  # a shape may lie outside by its size divided by this, on each side
_TRIES = 30  # places for a shape, before the scene goes without it
_GRAY, _TINT, _NOISE = (90, 166), 12, 10  # of grounds: levels 68 to 187
_NOBODY = -1

Texture = Literal["plain", "stripes", "checks", "slope"]
_GROUNDS: tuple[Texture, ...] = get_args(Texture)


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape in a square of its own, which may lie partly outside the scene.

    Attributes:
        kind: of `KINDS`.
        color: of `COLORS`.
        left: of its square, in pixels.
        top: likewise.
        size: of its square.
    """

    kind: str
    color: str
    left: int
    top: int
    size: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What lies behind the shapes.

    Attributes:
        texture: its pattern.
        colors: the two that it is made of, (red, green, blue) each.
        period: of the pattern, in pixels.
        seed: of the noise on it.
    """

    texture: Texture
    colors: tuple[tuple[int, int, int], tuple[int, int, int]]
    period: int
    seed: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What is where.

    Attributes:
        ground: behind everything.
        shapes: from back to front; no two of one colour.
    """

    ground: Ground
    shapes: tuple[Shape, ...]


def new_scene(seed: tuple[int, int], most: int) -> Scene:
    """Returns a scene that follows from its seed.

    Of each shape at least half can be seen. A shape that finds no such place is left out.

    Args:
        seed: two numbers from 0, such as those of a part and of an image in it.
        most: 1 to 6 shapes at most, the number drawn; one that is alone by intention is larger.
    """
    random = np.random.RandomState(np.array(seed, np.uint32))
    sizes = [size * _ALONE // 2 for size in SIZES] if most == 1 else SIZES
    ground = _new_ground(random)
    colors = [list(COLORS)[index] for index in _shuffled(random, len(COLORS))]
    owners = np.full((HEIGHT, WIDTH), _NOBODY, np.int8)
    areas: list[int] = []
    shapes: list[Shape] = []
    for color in colors[: _integer(random, 1, most + 1)]:
        for _ in range(_TRIES):
            shape = _new_shape(random, color, sizes)
            placed = _with(owners, shape, len(shapes))
            visible = np.bincount(placed[placed != _NOBODY], minlength=len(shapes) + 1)
            area = int(_outline(shape).sum())
            if (visible >= _LEAST_VISIBLE * np.array([*areas, area])).all():
                owners = placed
                areas.append(area)
                shapes.append(shape)
                break
    return Scene(ground, tuple(shapes))


def masks_of(scene: Scene) -> npt.NDArray[np.bool_]:
    """Returns where each shape can be seen, (shapes, HEIGHT, WIDTH)."""
    return np.equal(_owners(scene), np.arange(len(scene.shapes))[:, np.newaxis, np.newaxis])


def class_map_of(scene: Scene) -> npt.NDArray[np.uint8]:
    """Returns what each pixel shows, (HEIGHT, WIDTH): 0 for the ground, else one more than the kind's place in `KINDS`.

    Nothing is smoothed: a pixel is a shape's, in its colour, where the shape covers the pixel's centre.
    """
    classes = np.array([0, *(1 + KINDS.index(shape.kind) for shape in scene.shapes)], np.uint8)
    return classes[_owners(scene) - _NOBODY]  # `_NOBODY` is the one before the first


def boxes_of(scene: Scene) -> npt.NDArray[np.float32]:
    """Returns the smallest box round what can be seen of each shape, (shapes, 4) xyxy in pixels."""
    boxes = np.zeros((len(scene.shapes), 4), np.float32)
    for index, mask in enumerate(masks_of(scene)):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes[index] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def render(scene: Scene) -> npt.NDArray[np.uint8]:
    """Returns the picture of a scene, (HEIGHT, WIDTH, 3) in RGB."""
    owners, pixels = _owners(scene), _render_ground(scene.ground)
    for index, shape in enumerate(scene.shapes):
        pixels[owners == index] = COLORS[shape.color]
    return pixels


def _new_ground(random: np.random.RandomState) -> Ground:
    gray = _integer(random, *_GRAY)
    first, second = (
        (int(level[0]), int(level[1]), int(level[2]))
        for level in np.clip(
            gray + random.randint(-_TINT, _TINT + 1, (2, 3), np.int64) + np.array([[0], [_integer(random, -30, 31)]]),
            _GRAY[0] - _TINT,
            _GRAY[1] + _TINT,
        )
    )
    texture = _GROUNDS[_integer(random, 0, len(_GROUNDS))]
    return Ground(texture, (first, second), _integer(random, 4, 17), _integer(random, 0, 2**31))


def _new_shape(random: np.random.RandomState, color: str, sizes: tuple[int, ...] | list[int]) -> Shape:
    size, kind = sizes[_integer(random, 0, len(sizes))], KINDS[_integer(random, 0, len(KINDS))]
    cut = size // _MOST_CUT
    left = _integer(random, -cut, max(WIDTH - size + cut, -cut) + 1)
    top = _integer(random, -cut, max(HEIGHT - size + cut, -cut) + 1)
    return Shape(kind, color, left, top, size)


def _owners(scene: Scene) -> npt.NDArray[np.int8]:
    """Returns the shape that each pixel shows, or `_NOBODY`."""
    owners = np.full((HEIGHT, WIDTH), _NOBODY, np.int8)
    for index, shape in enumerate(scene.shapes):
        owners = _with(owners, shape, index)
    return owners


def _with(owners: npt.NDArray[np.int8], shape: Shape, index: int) -> npt.NDArray[np.int8]:
    top, left = max(shape.top, 0), max(shape.left, 0)
    window = (slice(top, shape.top + shape.size), slice(left, shape.left + shape.size))
    result = owners.copy()
    seen = result[window]
    inside = _outline(shape)[top - shape.top :, left - shape.left :][: seen.shape[0], : seen.shape[1]]
    seen[inside] = index
    return result


def _outline(shape: Shape) -> npt.NDArray[np.bool_]:
    """Returns what a shape fills of its square, (size, size): the pixels whose centre it covers."""
    centres = 2 * np.arange(shape.size) + 1 - shape.size  # from the middle, in half pixels
    return _FILLS[shape.kind](centres[np.newaxis], centres[:, np.newaxis], shape.size)


_Centres = npt.NDArray[np.int64]
_FILLS: Mapping[str, Callable[[_Centres, _Centres, int], npt.NDArray[np.bool_]]] = {
    "circle": lambda x, y, size: x * x + y * y <= size * size,
    "cross": lambda x, y, size: (3 * abs(x) <= size) | (3 * abs(y) <= size),
    "square": lambda x, y, size: (abs(x) < size) & (abs(y) < size),
    "triangle": lambda x, y, size: 2 * abs(x) <= y + size,
}


def _render_ground(ground: Ground) -> npt.NDArray[np.uint8]:
    x, y = np.arange(WIDTH, dtype=np.int16)[np.newaxis], np.arange(HEIGHT, dtype=np.int16)[:, np.newaxis]
    first, second = (np.array(color, np.int16) for color in ground.colors)
    if ground.texture == "slope":
        pixels = first + (second - first) * (x + y)[..., np.newaxis] // (HEIGHT + WIDTH)  # (HEIGHT, WIDTH, 3)
    elif ground.texture == "plain":
        pixels = np.tile(first, (HEIGHT, WIDTH, 1))
    else:
        steps = (x + y) // ground.period if ground.texture == "stripes" else x // ground.period + y // ground.period
        pixels = np.stack([first, second])[steps % 2]
    noise = np.random.RandomState(ground.seed).randint(-_NOISE, _NOISE + 1, (HEIGHT, WIDTH, 1), np.int8)
    drawn: npt.NDArray[np.int16] = pixels + noise
    return drawn.astype(np.uint8)


def _integer(random: np.random.RandomState, low: int, high: int) -> int:
    """Returns a number from low to high - 1; the type is named, because its default is another on some systems."""
    return int(random.randint(low, high, dtype=np.int64))


def _shuffled(random: np.random.RandomState, count: int) -> list[int]:
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        chosen = _integer(random, 0, last + 1)
        order[last], order[chosen] = order[chosen], order[last]
    return order
