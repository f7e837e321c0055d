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
