"""The prototypes of LeNet-5's ten classes: each digit as a picture of 7x12 cells."""

from typing import Any

import keras
from keras import ops

_HEIGHT, _WIDTH = 12, 7

# Drawn for this project after the paper's description: like printed characters, so that digits that are easily taken
# for each other have prototypes near each other.
_DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  ..###..  ..###..  ....#..  #######  ..####.  #######  ..###..  ..###..
.##.##.  ..##...  .#...#.  .#...#.  ...##..  #......  .##....  .....##  .##.##.  .##.##.
##...##  .###...  #.....#  #.....#  ...##..  #......  ##.....  .....#.  #.....#  #.....#
#.....#  ...#...  ......#  ......#  ..#.#..  #......  #......  ....##.  ##...##  #.....#
#.....#  ...#...  .....#.  .....#.  ..#.#..  #####..  #.###..  ....#..  .#####.  ##...##
#.....#  ...#...  ....##.  ..###..  .#..#..  .....#.  ###.##.  ...##..  .##.##.  .######
#.....#  ...#...  ...##..  .....#.  .#..#..  ......#  #.....#  ...#...  ##...##  ......#
##...##  ...#...  ..##...  ......#  #######  ......#  #.....#  ..##...  #.....#  .....##
.##.##.  ...#...  .##....  #.....#  ....#..  #....#.  ##...##  ..#....  ##...##  ....##.
..###..  .#####.  #######  .#####.  ....#..  .####..  ..####.  ..#....  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def digit_bitmaps() -> list[list[int]]:
    """Returns ten rows of 84 cells, +1 for ink and -1 for paper, top left first."""
    rows = [line.split() for line in _DIGITS.split("\n") if line]
    return [[1 if cell == "#" else -1 for row in rows for cell in row[digit]] for digit in range(10)]


@keras.saving.register_keras_serializable(package="edgecnn")
class DigitBitmaps(keras.initializers.Initializer):
    """Gives the ten digits' bitmaps as prototypes of shape (10, 84).

    Reference:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B and figure 3.
    """

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        """Returns the bitmaps.

        Raises:
            ValueError: another shape is asked for.
        """
        if tuple(shape) != (10, _HEIGHT * _WIDTH):
            raise ValueError(f"DigitBitmaps: expected the shape {(10, _HEIGHT * _WIDTH)}, received {tuple(shape)}")
        return ops.convert_to_tensor(digit_bitmaps(), dtype or "float32")
