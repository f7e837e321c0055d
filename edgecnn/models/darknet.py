"""YOLOv3 and YOLOv3-tiny: Darknet's detectors, layer by layer as its configuration files list them.

Convolutions are numbered in the order of those files, which is that of Darknet's weights too
(`edgecnn.models.darknet_weights`): "conv0", with "conv0_bn" and "conv0_leaky". What differs from Keras' defaults is
Darknet's: LeakyReLU of slope .1, a batch-norm epsilon of 1e-6, and at stride 2 one row and column of zeros at the top
and left alone, where "same" would put them at the bottom and right.

Reference:
    Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement"; Darknet's yolov3.cfg and yolov3-tiny.cfg.
"""

from itertools import count

import keras
import numpy as np
from keras import layers

from edgecnn.models.layers import image_input, scaled_to_one, scaled_units

ANCHORS = 3  # of each scale
_COARSEST = 32  # pixels of a cell
_EPSILON = 1e-6
_SLOPE = 0.1
_OBJECT = 4  # of the numbers of a cell and anchor
# Of the thousands of cells a handful hold an object. Begun at a half, each of the others costs the loss ln 2 and the
# first steps are spent on them alone; here they begin at .01 (Lin et al. 2017, RetinaNet, section 4.1).
_NO_OBJECT = -4.6
_STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))  # filters, residual units; table 1


def yolov3(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds Darknet-53 and three scales of answers, each coarser one brought into the next finer.

    At 80 classes: 40,620,640 parameters in Darknet-53's 52 convolutions, 21,381,117 in the head's 23; 62,001,757, of
    which 61,949,149 are trained.

    Args:
        image_size: (height, width) in pixels, multiples of 32.
        channels: of the image, 1 or 3.
        num_classes: number of class logits of a cell and anchor, 1 or more.
        width: multiplier on filters; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "scale_8", float32 (N, height / 8, width / 8, 3,
        5 + num_classes), "scale_16" and "scale_32" likewise, raw: tx, ty, tw, th, the object's logit, the classes'.

    Reference:
        Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement", section 2.
    """
    image, net = image_input(image_size, channels), _Network(width)
    x, units = net.convolved(scaled_to_one(image), 32, 3), count(1)
    maps = []
    for filters, repeats in _STAGES:
        x = net.halved(x, filters)
        for unit in (next(units) for _ in range(repeats)):
            inner = net.convolved(net.convolved(x, filters // 2, 1), filters, 3)
            x = layers.Add(name=f"residual{unit}")([x, inner])
        maps.append(x)  # (N, H / stride, W / stride, filters)
    answers: list[keras.KerasTensor] = []
    for filters, stride in ((512, 32), (256, 16), (128, 8)):
        if stride < _COARSEST:
            x = net.joined(net.upsampled(x, filters, stride), maps[-len(answers) - 1], stride)
        for _ in range(2):
            x = net.convolved(net.convolved(x, filters, 1), 2 * filters, 3)
        x = net.convolved(x, filters, 1)
        answers.append(net.answered(net.convolved(x, 2 * filters, 3), num_classes, stride))
    return keras.Model(image, answers[::-1], name="yolov3")


def yolov3_tiny(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds seven convolutions with pooling and two scales of answers.

    At 80 classes: 6,298,480 parameters in the seven convolutions of the backbone, 2,560,254 in the head's six;
    8,858,734, of which 8,852,366 are trained.

    Args:
        image_size: (height, width) in pixels, multiples of 32.
        channels: of the image, 1 or 3.
        num_classes: number of class logits of a cell and anchor, 1 or more.
        width: multiplier on filters; 1.0 is the published model.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "scale_16", float32 (N, height / 16, width / 16, 3,
        5 + num_classes), and "scale_32" likewise, raw as of `yolov3`.

    Reference:
        Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement"; yolov3-tiny.cfg.
    """
    image, net = image_input(image_size, channels), _Network(width)
    x = fine = scaled_to_one(image)
    for stage, filters in enumerate((16, 32, 64, 128, 256, 512), 1):
        x = net.convolved(x, filters, 3)
        fine = x if stage == 5 else fine  # (N, H / 16, W / 16, 256)
        x = layers.MaxPooling2D(2, strides=1 if stage == 6 else 2, padding="same", name=f"pool{stage}")(x)
    shared = net.convolved(net.convolved(x, 1024, 3), 256, 1)
    coarse = net.answered(net.convolved(shared, 512, 3), num_classes, 32)
    x = net.joined(net.upsampled(shared, 128, 16), fine, 16)
    return keras.Model(image, [net.answered(net.convolved(x, 256, 3), num_classes, 16), coarse], name="yolov3_tiny")


class _Network:
    """Makes Darknet's layers and numbers its convolutions.

    Args:
        width: multiplier on filters.
    """

    def __init__(self, width: float) -> None:
        self._width = width
        self._numbers = count()

    def convolved(self, x: keras.KerasTensor, filters: int, size: int) -> keras.KerasTensor:
        """Returns a convolution that keeps height and width, normalised and activated."""
        return self._convolved(x, filters, size, stride=1, padding="same")

    def halved(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        """Returns a 3x3 convolution of stride 2, normalised and activated."""
        return self._convolved(x, filters, 3, stride=2, padding="valid")

    def upsampled(self, x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
        """Returns fewer channels of twice the height and width, for a scale."""
        return layers.UpSampling2D(2, name=f"upsample_{stride}")(self.convolved(x, filters, 1))

    def joined(self, x: keras.KerasTensor, finer: keras.KerasTensor, stride: int) -> keras.KerasTensor:
        """Returns what a scale reads: what the coarser one gave, before the backbone's map."""
        return layers.Concatenate(name=f"route_{stride}")([x, finer])

    def answered(self, x: keras.KerasTensor, num_classes: int, stride: int) -> keras.KerasTensor:
        """Returns a scale's raw numbers, (N, rows, columns, anchors, 5 + classes)."""
        units = 5 + num_classes
        last = layers.Conv2D(ANCHORS * units, 1, name=f"conv{next(self._numbers)}")
        x = last(x)
        biases = np.zeros((ANCHORS, units), np.float32)
        biases[:, _OBJECT] = _NO_OBJECT
        last.bias.assign(biases.reshape(-1))
        return layers.Reshape((*x.shape[1:3], ANCHORS, units), name=f"scale_{stride}")(x)

    def _convolved(
        self, x: keras.KerasTensor, filters: int, size: int, *, stride: int, padding: str
    ) -> keras.KerasTensor:
        name = f"conv{next(self._numbers)}"
        if stride == 2:
            x = layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_pad")(x)
        x = layers.Conv2D(
            scaled_units(filters, self._width),
            size,
            strides=stride,
            padding=padding,
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )(x)
        x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
        return layers.LeakyReLU(negative_slope=_SLOPE, name=f"{name}_leaky")(x)
