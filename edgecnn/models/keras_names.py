"""Names of `keras.applications` layers and of ours: equal but for the head and for layers that Keras leaves unnamed.

Of weights that Keras keeps and we do not, or in another shape, the names stand here too.
"""

import re
from collections.abc import Iterable

# Xception's residual connections and sums, and EfficientNet's normalisation, are numbered by a counter of the whole
# process, so no file can name them.
_UNNAMED = {
    "Xception": {
        "conv2d": [f"block{block}_residual_conv" for block in (2, 3, 4, 13)],
        "batch_normalization": [f"block{block}_residual_bn" for block in (2, 3, 4, 13)],
        "add": [f"block{block}_add" for block in range(2, 14)],
    },
    "EfficientNetB0": {"normalization": ["normalization"]},
}

# MobileNetV3's head: Keras makes it of 1x1 convolutions over one cell, which are dense layers here.
DENSE_HERE = {name: frozenset({"conv_2", "logits"}) for name in ("MobileNetV3Small", "MobileNetV3Large")}
# Whose layer "normalization" has weights in Keras, and constants here.
CONSTANT_HERE = frozenset({"EfficientNetB0"})


def own_names(application: str, keras_names: Iterable[str]) -> dict[str, str]:
    """Returns our name for each layer of a model or weights file that `keras.applications` made.

    Args:
        application: for example "Xception".
        keras_names: the layers' names; those that Keras numbers are taken in the order of their numbers.

    >>> own_names("EfficientNetB0", ["normalization_3", "stem_conv"])
    {'normalization_3': 'normalization', 'stem_conv': 'stem_conv'}
    >>> own_names("Xception", ["block1_conv1", "conv2d_7", "conv2d_10", "predictions"])
    {'block1_conv1': 'block1_conv1', 'conv2d_7': 'block2_residual_conv', 'conv2d_10': 'block3_residual_conv', \
'predictions': 'logits'}
    """
    names = {name: "logits" if name == "predictions" else name for name in keras_names}
    for kind, ours in _UNNAMED.get(application, {}).items():
        numbered = sorted((name for name in names if re.fullmatch(rf"{kind}(_\d+)?", name)), key=_number)
        names |= dict(zip(numbered, ours, strict=False))  # a file holds no sums, for they have no weights
    return names


def _number(name: str) -> int:
    digits = re.search(r"_(\d+)$", name)
    return int(digits[1]) if digits else 0
