"""The picture of the demonstration: nine test digits as a file answers them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from edgecnn.atomic import replacing
from edgecnn.data import Samples
from edgecnn_runtime import Classification, Predictor
from edgecnn_runtime.drawing import draw_lines
from edgecnn_runtime.images import ImageSource, open_image

_SHOWN = 9  # digits in the picture
_A_ROW = 3  # of them
_FRAME = 8  # pixels round each
_HEAD_PART = 4  # the text stands above the digit, in this part of its height
_RIGHT, _WRONG = "#1a7f37", "#cf222e"


@dataclass(frozen=True, slots=True)
class Shown:
    """A test digit, what the int8 file answered, and what it is.

    Attributes:
        image: the digit, as `Predictor.predict` takes it.
        answer: of the int8 file.
        truth: the right label.
    """

    image: ImageSource
    answer: Classification
    truth: str

    @property
    def is_right(self) -> bool:
        """Whether the best class is the true one."""
        return self.answer.label == self.truth


def show(predictor: Predictor, test: Samples, picture: Path) -> str:
    """Draws nine test digits as a file answers them, and returns how many of these are right; as the plan says.

    Args:
        predictor: of the file.
        test: digits that it never saw.
        picture: where the PNG is written.

    Raises:
        WriteError: it cannot be written.
    """
    shown = choose_shown(
        [Shown(image, _classified(predictor, image), test.labels[class_id]) for image, class_id in test]
    )
    with replacing(picture) as temporary:
        draw_shown(shown).save(temporary, format="PNG")
    wrong = [one for one in shown if not one.is_right]
    mistakes = "".join(f", a {one.truth} taken for {one.answer.label} ({one.answer.score:.1%})" for one in wrong)
    return f"{len(shown)} test digits as the int8 file answers them, {len(shown) - len(wrong)} right{mistakes}"


def _classified(predictor: Predictor, image: ImageSource) -> Classification:
    answer = predictor.predict(image)
    assert isinstance(answer, Classification), "the demonstration trains a classifier"
    return answer


def choose_shown(answered: Sequence[Shown]) -> tuple[Shown, ...]:
    """Returns nine digits, or as many as there are: right ones of as many classes as may be, and last a wrong one.

    Args:
        answered: all test digits, in their order; where none was answered wrongly, all that are returned are right.
    """
    wrong = [one for one in answered if not one.is_right][:1]
    right = [one for one in answered if one.is_right]
    firsts = list({one.truth: one for one in reversed(right)}.values())[::-1]  # the first of each class
    others = [one for one in right if all(one is not first for first in firsts)]
    return (*(firsts + others)[: _SHOWN - len(wrong)], *wrong)


def draw_shown(shown: Sequence[Shown]) -> Image.Image:
    """Returns one picture of the digits, three a row, each with its answer; a right one has a green frame."""
    tiles = [_tile(one) for one in shown]
    width, height = tiles[0].size
    sheet = Image.new("RGB", (width * _A_ROW, height * -(-len(tiles) // _A_ROW)), "white")
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % _A_ROW * width, index // _A_ROW * height))
    return sheet


def _tile(one: Shown) -> Image.Image:
    image = open_image(one.image)
    with_head = ImageOps.expand(image, (0, image.height // _HEAD_PART, 0, 0))  # room for the text
    verdict = f"right: a {one.truth}" if one.is_right else f"wrong: it is a {one.truth}"
    tile = draw_lines(with_head, [f"answer {one.answer.label}, {one.answer.score:.1%}", verdict])
    return ImageOps.expand(tile, _FRAME, _RIGHT if one.is_right else _WRONG)
