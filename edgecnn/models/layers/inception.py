"""The inception module. It is a function, not a layer: its parts keep their names and stand in the layer table."""

from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

from edgecnn.models.layers.units import scaled_units

_convolution = partial(layers.Conv2D, padding="same", activation="relu", kernel_initializer="he_normal")


@dataclass(frozen=True, slots=True)
class InceptionBranches:
    """The number of filters in each branch, as in a row of the paper's table 1.

    Attributes:
        one: the 1x1 convolution.
        three_reduce: the 1x1 convolution before the 3x3.
        three: the 3x3 convolution.
        five_reduce: the 1x1 convolution before the 5x5.
        five: the 5x5 convolution.
        pool: the 1x1 convolution after the pooling.
    """

    one: int
    three_reduce: int
    three: int
    five_reduce: int
    five: int
    pool: int

    def scaled(self, width: float) -> "InceptionBranches":
        """Returns the branches at a width multiplier."""
        return InceptionBranches(
            one=scaled_units(self.one, width),
            three_reduce=scaled_units(self.three_reduce, width),
            three=scaled_units(self.three, width),
            five_reduce=scaled_units(self.five_reduce, width),
            five=scaled_units(self.five, width),
            pool=scaled_units(self.pool, width),
        )


def inception_module(x: keras.KerasTensor, branches: InceptionBranches, *, name: str) -> keras.KerasTensor:
    """Returns four branches over x, joined along the channels: 1x1, 1x1 then 3x3, 1x1 then 5x5, pooling then 1x1.

    Args:
        x: (N, height, width, channels) float.
        branches: the filters of each branch.
        name: prefix of the layers' names; the last layer is named `name`.

    Returns:
        (N, height, width, one + three + five + pool).

    Reference:
        Szegedy et al. 2014, "Going Deeper with Convolutions", figure 2b.
    """
    one = _convolution(branches.one, 1, name=f"{name}_1x1")(x)
    three = _convolution(branches.three_reduce, 1, name=f"{name}_3x3_reduce")(x)
    three = _convolution(branches.three, 3, name=f"{name}_3x3")(three)
    five = _convolution(branches.five_reduce, 1, name=f"{name}_5x5_reduce")(x)
    five = _convolution(branches.five, 5, name=f"{name}_5x5")(five)
    pool = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    pool = _convolution(branches.pool, 1, name=f"{name}_pool_1x1")(pool)
    return layers.Concatenate(name=name)([one, three, five, pool])
