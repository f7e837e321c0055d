"""What the images of one part are labelled with, in one shape for everything that only splits, counts and hashes them.

`ClassIds` is a class an image, `Boxes` are the objects in it, `Masks` a class for each of its pixels, `Answers` what is
asked about it.
"""

from edgecnn.data.mask_files import IGNORE
from edgecnn.data.targets.answers import Answers, Asked
from edgecnn.data.targets.boxes import Boxes, Objects
from edgecnn.data.targets.class_ids import ClassIds, class_ids_of
from edgecnn.data.targets.masks import Masks, MaskSource
from edgecnn.data.targets.protocol import NO_CLASS, Targets

__all__ = [
    "IGNORE",
    "NO_CLASS",
    "Answers",
    "Asked",
    "Boxes",
    "ClassIds",
    "MaskSource",
    "Masks",
    "Objects",
    "Targets",
    "class_ids_of",
]
