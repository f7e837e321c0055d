"""The catalogue: one row a documented model. A new row is in every command and in the conformance test at once."""

from collections.abc import Mapping
from types import MappingProxyType

from edgecnn.models.spec import ModelSpec

_ROWS = (
    ModelSpec(
        name="simple_cnn",
        task="classification",
        builder="edgecnn.models.small_cnns:simple_cnn",
        image_size=(28, 28),
        color="gray",
        num_classes=10,
        parameters=1_668_490,
        trainable_parameters=1_668_490,
        smallest_size=10,
        summary="two 3x3 convolutions with pooling, Dense 1024",
        reference="LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition (the pattern)",
    ),
    ModelSpec(
        name="mnist_convnet",
        task="classification",
        builder="edgecnn.models.small_cnns:mnist_convnet",
        image_size=(28, 28),
        color="gray",
        num_classes=10,
        parameters=93_322,
        trainable_parameters=93_322,
        smallest_size=18,
        summary="three 3x3 convolutions, two poolings, Dense 64",
        reference="Chollet 2018, Deep Learning with Python, section 5.1",
    ),
    ModelSpec(
        name="fashion_cnn",
        task="classification",
        builder="edgecnn.models.small_cnns:fashion_cnn",
        image_size=(28, 28),
        color="gray",
        num_classes=10,
        parameters=1_413_834,
        trainable_parameters=1_413_834,
        smallest_size=8,
        summary="7x7 then 3x3 convolutions in three stages, Dense 128 and 64 with dropout",
        reference="Geron 2019, Hands-On Machine Learning, chapter 14",
    ),
)

CATALOG: Mapping[str, ModelSpec] = MappingProxyType({row.name: row for row in _ROWS})
