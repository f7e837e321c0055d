"""GoogLeNet, SE-GoogLeNet, and the auxiliary classifiers that only training attaches.

References:
    Szegedy et al. 2014, "Going Deeper with Convolutions"; Hu et al. 2017, "Squeeze-and-Excitation Networks".
"""

from functools import partial

import keras
from keras import layers

from edgecnn.models.layers import (
    InceptionBranches,
    LocalResponseNormalization,
    image_input,
    inception_module,
    scaled_around_zero,
    scaled_units,
    squeeze_excite,
)

# The paper's table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
_MODULES = {
    "3a": InceptionBranches(64, 96, 128, 16, 32, 32),
    "3b": InceptionBranches(128, 128, 192, 32, 96, 64),
    "4a": InceptionBranches(192, 96, 208, 16, 48, 64),
    "4b": InceptionBranches(160, 112, 224, 24, 64, 64),
    "4c": InceptionBranches(128, 128, 256, 24, 64, 64),
    "4d": InceptionBranches(112, 144, 288, 32, 64, 64),
    "4e": InceptionBranches(256, 160, 320, 32, 128, 128),
    "5a": InceptionBranches(256, 160, 320, 32, 128, 128),
    "5b": InceptionBranches(384, 192, 384, 48, 128, 128),
}
_AUXILIARY_MODULES = ("4a", "4d")
_convolution = partial(layers.Conv2D, padding="same", activation="relu", kernel_initializer="he_normal")


def googlenet(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds the stem with response normalisation and nine inception modules: the model for inference.

    At 224x224x3 and 1000 classes: stem 124,416, modules 163,696, 388,736, 376,176, 449,160, 510,104, 605,376, 868,352,
    1,043,456 and 1,444,080, logits 1,025,000; 6,998,552 parameters. Stem and poolings divide the image size by 32: a
    32x32 image ends as a 1x1 map, so small images are better enlarged than the published stem changed. Pixels go from
    -1 to 1 in place of the paper's subtracted mean, and the weights start He-normal.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        Szegedy et al. 2014, "Going Deeper with Convolutions", table 1.
    """
    return _googlenet(
        image_size=image_size,
        channels=channels,
        num_classes=num_classes,
        width=width,
        squeeze_ratio=None,
        name="googlenet",
    )


def se_googlenet(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds GoogLeNet with a squeeze-and-excitation after every inception module.

    At 224x224x3 and 1000 classes each excitation over C channels, reduced by 16, has 2 C (C // 16) + C // 16 + C
    parameters: 8,464 + 29,310 + 3 x 33,312 + 35,409 + 2 x 87,412 + 132,160 = 480,103 on top of `googlenet`; 7,478,655
        parameters.

    Args:
        image_size: (height, width) in pixels, each at least 32.
        channels: of the image, 1 or 3.
        num_classes: number of logits.
        width: multiplier on filters; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes).

    Reference:
        Hu et al. 2017, "Squeeze-and-Excitation Networks", figure 2 and section 3.3.
    """
    return _googlenet(
        image_size=image_size,
        channels=channels,
        num_classes=num_classes,
        width=width,
        squeeze_ratio=16,
        name="se_googlenet",
    )


def auxiliary_logits(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Adds the two auxiliary classifiers to the named modules of a model from this file.

    Each is a 5x5 average pooling, or as much of it as the map has, a 1x1 convolution of 128 filters, Dense 1024 and
    Dropout 0.7, at any width of the model.

    Args:
        model: `googlenet` or `se_googlenet`; it stays as it is.

    Returns:
        Outputs "auxiliary_4a" and "auxiliary_4d", float32 (N, num_classes), on layers that they share with the model.

    Reference:
        Szegedy et al. 2014, "Going Deeper with Convolutions", section 5.
    """
    num_classes = model.output.shape[-1]
    return {
        f"auxiliary_{module}": _auxiliary(_module_output(model, module), num_classes, name=f"auxiliary_{module}")
        for module in _AUXILIARY_MODULES
    }


def _googlenet(
    *, image_size: tuple[int, int], channels: int, num_classes: int, width: float, squeeze_ratio: int | None, name: str
) -> keras.Model:
    pool = partial(layers.MaxPooling2D, 3, strides=2, padding="same")
    image = image_input(image_size, channels)
    x = scaled_around_zero(image)
    x = _convolution(scaled_units(64, width), 7, strides=2, name="conv1")(x)
    x = pool(name="pool1")(x)
    x = LocalResponseNormalization(name="norm1")(x)
    x = _convolution(scaled_units(64, width), 1, name="conv2_reduce")(x)
    x = _convolution(scaled_units(192, width), 3, name="conv2")(x)
    x = LocalResponseNormalization(name="norm2")(x)
    x = pool(name="pool2")(x)
    for module, branches in _MODULES.items():
        if module in ("4a", "5a"):
            x = pool(name=f"pool{int(module[0]) - 1}")(x)
        x = inception_module(x, branches.scaled(width), name=f"inception_{module}")
        if squeeze_ratio is not None:
            x = squeeze_excite(x, squeeze_ratio, name=f"inception_{module}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.4, name="dropout")(x)
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x), name=name)


def _module_output(model: keras.Model, module: str) -> keras.KerasTensor:
    names = {layer.name for layer in model.layers}
    last = f"inception_{module}_scale" if f"inception_{module}_scale" in names else f"inception_{module}"
    return model.get_layer(last).output


def _auxiliary(x: keras.KerasTensor, num_classes: int, *, name: str) -> keras.KerasTensor:
    window = tuple(min(5, size) for size in x.shape[1:3])
    x = layers.AveragePooling2D(window, strides=3, name=f"{name}_pool")(x)
    x = _convolution(128, 1, name=f"{name}_conv")(x)
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, activation="relu", kernel_initializer="he_normal", name=f"{name}_dense")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return layers.Dense(num_classes, name=name)(x)
