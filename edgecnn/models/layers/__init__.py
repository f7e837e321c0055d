"""Pieces that the builders share: the input, layers that Keras lacks, and blocks of standard layers."""

from edgecnn.models.layers.connection_table import ConnectionTableConv2D
from edgecnn.models.layers.digit_bitmaps import DigitBitmaps
from edgecnn.models.layers.dilation import dilated_block
from edgecnn.models.layers.inception import InceptionBranches, inception_module
from edgecnn.models.layers.inverted_residual import ResidualParts, inverted_residual, padded_as_same
from edgecnn.models.layers.pixels import (
    BGRMeans,
    ScaledPixels,
    image_input,
    scaled_around_zero,
    scaled_to_one,
    standardized,
)
from edgecnn.models.layers.pooling import DepthMaxPool, TrainableAveragePooling
from edgecnn.models.layers.question import LastWord
from edgecnn.models.layers.rbf import RBF, RandomSigns
from edgecnn.models.layers.regions import Counted, InPlaces, Proposals, RoIAlign, Warped
from edgecnn.models.layers.residual import bottleneck_unit, residual_unit
from edgecnn.models.layers.response_normalization import LocalResponseNormalization
from edgecnn.models.layers.rows import Apart, Together
from edgecnn.models.layers.scaled_tanh import scaled_tanh
from edgecnn.models.layers.scores import LEAST_SCORE, BothClasses, LogOfScores
from edgecnn.models.layers.squeeze_excite import squeeze_excite
from edgecnn.models.layers.units import scaled_to_eights, scaled_units
from edgecnn.models.layers.upsampling import BilinearUp, scored, skip_upsampled, upsampled

__all__ = [
    "LEAST_SCORE",
    "RBF",
    "Apart",
    "BGRMeans",
    "BilinearUp",
    "BothClasses",
    "ConnectionTableConv2D",
    "Counted",
    "DepthMaxPool",
    "DigitBitmaps",
    "InPlaces",
    "InceptionBranches",
    "LastWord",
    "LocalResponseNormalization",
    "LogOfScores",
    "Proposals",
    "RandomSigns",
    "ResidualParts",
    "RoIAlign",
    "ScaledPixels",
    "Together",
    "TrainableAveragePooling",
    "Warped",
    "bottleneck_unit",
    "dilated_block",
    "image_input",
    "inception_module",
    "inverted_residual",
    "padded_as_same",
    "residual_unit",
    "scaled_around_zero",
    "scaled_tanh",
    "scaled_to_eights",
    "scaled_to_one",
    "scaled_units",
    "scored",
    "skip_upsampled",
    "squeeze_excite",
    "standardized",
    "upsampled",
]
