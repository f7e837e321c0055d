"""The names of the augmentations, before anything heavy is imported."""

from collections.abc import Mapping
from types import MappingProxyType

AUGMENTATIONS: Mapping[str, str] = MappingProxyType(
    {
        "shift": "moved by up to a tenth of height and width",
        "flip": "half of the images mirrored left to right",
        "rotation": "turned by up to a twentieth of a full turn, 18 degrees",
        "contrast": "contrast times 0.8 to 1.2",
        "brightness": "up to a fifth of white added or taken",
        "alexnet": "the set of Krizhevsky et al. 2012: moved, mirrored, lit differently along the colours' axes",
    }
)
BOX_AUGMENTATIONS: Mapping[str, str] = MappingProxyType(  # those that carry boxes; a name that both have does the same
    {
        "flip": "half of the images mirrored left to right",
        "vertical_flip": "half of the images mirrored top to bottom",
        "shift": "moved by up to a tenth of height and width",
        "scale": "smaller or larger, by 0.7 to 1.4, around the middle",
        "crop": "a window of 0.6 to 1 of height and width, brought to the whole size",
        "color": "each channel times 0.8 to 1.2",
        "contrast": "contrast times 0.8 to 1.2",
        "brightness": "up to a fifth of white added or taken",
    }
)
MOSAIC = "mosaic"
DETECTION_AUGMENTATIONS: Mapping[str, str] = MappingProxyType(
    {**BOX_AUGMENTATIONS, MOSAIC: "half of the images made of four, before the other changes"}
)
MASK_AUGMENTATIONS: Mapping[str, str] = MappingProxyType(  # those that carry masks; what leaves the image is mirrored
    {
        **BOX_AUGMENTATIONS,
        "rotation": AUGMENTATIONS["rotation"],
        "elastic": "bent as in the U-Net paper: places moved by some 10 pixels, smoothly from one to the next",
    }
)
QUESTION_AUGMENTATIONS: Mapping[str, str] = MappingProxyType(  # where questions name sides, no image is mirrored
    {name: told for name, told in AUGMENTATIONS.items() if name != "alexnet"}
)

_NOT_CARRYING_BOXES = tuple(name for name in MASK_AUGMENTATIONS if name not in BOX_AUGMENTATIONS)
AUGMENTATION_NAMES = frozenset({*AUGMENTATIONS, *DETECTION_AUGMENTATIONS, *MASK_AUGMENTATIONS})
AUGMENTATIONS_TOLD = (
    f"{', '.join(AUGMENTATIONS)}; where there are boxes or masks {', '.join(BOX_AUGMENTATIONS)}; with boxes to detect "
    f"{MOSAIC}; with masks {', '.join(_NOT_CARRYING_BOXES)}"
)
