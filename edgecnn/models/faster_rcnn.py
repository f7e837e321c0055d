"""Faster R-CNN: a map of the picture, regions that are proposed on it, and for each of them a class and a box.

While it learns, the model takes the marked objects besides, since which anchors and regions are learned from depends on
what it proposes, and it gives what its two halves cost (`edgecnn.models.layers.region_costs`). Both models stand on
the same layers.

Reference:
    Ren et al. 2015, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks".
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
from keras import layers

from edgecnn.models.applications import application_features
from edgecnn.models.layers import Apart, BGRMeans, Proposals, RoIAlign, Together, image_input, scaled_units
from edgecnn.models.layers.region_costs import ProposingCost, RegionCost, SampledRegions
from edgecnn.models.resnet import resnet34_map
from edgecnn.tasks.detection.outputs import REGION_ANCHORS, REGION_STRIDE, count_regions
from edgecnn_runtime.manifest import Manifest

_CELLS = 7  # of a region, along either axis
# First weights, as descriptions: layers that share an initializer begin with the same numbers.
_SMALL = {"class_name": "RandomNormal", "config": {"stddev": 0.01}}  # the paper, section 3.3
_SMALLER = {"class_name": "RandomNormal", "config": {"stddev": 0.001}}  # boxes; Girshick 2015, Fast R-CNN, 2.3
_TRAINING = "_training"


class _Seen(NamedTuple):
    """What comes of a picture before its regions are looked at."""

    features: keras.KerasTensor
    objectness: keras.KerasTensor
    anchor_shifts: keras.KerasTensor
    regions: keras.KerasTensor
    valid: keras.KerasTensor


def faster_rcnn(
    *,
    image_size: tuple[int, int],
    channels: int,
    num_classes: int,
    width: float,
    anchors: Sequence[tuple[float, float]] = REGION_ANCHORS,
) -> keras.Model:
    """Builds ResNet-34 as far as its fourth stage, the region proposal network, and two dense layers over each region.

    At 80 classes, 9 anchors and width 1: ResNet-34's first stages 8,180,160 parameters, 9,856 of them statistics; the
    proposal network 590,080 + 2,313 + 9,252; dense layers 12,846,080 + 1,049,600, logits 83,025, shifts 328,000.

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        channels: of the image, 1 or 3.
        num_classes: number of classes, 1 or more.
        width: multiplier on filters and units.
        anchors: (width, height) of each, in pixels of the input.

    Returns:
        A model from "image", uint8 (N, height, width, channels), to "regions", float32 (N, R, 4), xyxy in pixels, of
        which the first "valid", (N,), mean something, "logits", (N, R, num_classes + 1), the last of nothing, and
        "shifts", (N, R, num_classes, 4). R is 300, or the number of anchors where that is less.

    Reference:
        Ren et al. 2015, "Faster R-CNN"; He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.3.
    """
    image = image_input(image_size, channels)
    features = resnet34_map(image, width, stages=3)
    return _detector(
        *(image, features, "faster_rcnn"),
        num_classes=num_classes,
        anchors=anchors,
        filters=scaled_units(256, width),
        units=scaled_units(1024, width),
    )


def faster_rcnn_vgg16(
    *,
    image_size: tuple[int, int],
    channels: int,
    num_classes: int,
    width: float,
    anchors: Sequence[tuple[float, float]] = REGION_ANCHORS,
) -> keras.Model:
    """Builds the paper's network on VGG-16: its convolutions before the last pooling, and its two dense layers.

    At 80 classes, 9 anchors and width 1: VGG-16's convolutions 14,714,688 parameters, the proposal network 2,359,808 +
    4,617 + 18,468, fc1 102,764,544, fc2 16,781,312, logits 331,857, shifts 1,311,040. ImageNet's weights of the
    convolutions, fc1 and fc2 fit.

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        channels: of the image, 3.
        num_classes: number of classes, 1 or more.
        width: multiplier on filters and units; 1.0 is the published model.
        anchors: (width, height) of each, in pixels of the input.

    Returns:
        As `faster_rcnn`.

    Reference:
        Ren et al. 2015, "Faster R-CNN", section 3; Simonyan and Zisserman 2014.
    """
    image = image_input(image_size, channels)
    pooled = application_features("VGG16", BGRMeans(name="normalization")(image), width=width)
    features = keras.Model(image, pooled).get_layer("block5_conv3").output
    return _detector(
        *(image, features, "faster_rcnn_vgg16"),
        num_classes=num_classes,
        anchors=anchors,
        filters=scaled_units(512, width),
        units=scaled_units(4096, width),
    )


def that_learns(model: keras.Model, num_classes: int) -> keras.Model:
    """Returns the model that learns, on the layers of the one that answers.

    Args:
        model: from a builder of this module.
        num_classes: of it.

    Returns:
        A model from "image", "boxes", float32 (N, K, 4) xyxy in pixels of the input, zeros where there is none, and
        "class_ids", int64 (N, K), below 0 of what is neither to be found nor to be denied, to "proposing" and
        "deciding", float32 (N, 3): two costs and a part of 1, see `edgecnn.models.layers.region_costs`.
    """
    seen = _seen(model)
    boxes = keras.Input((None, 4), dtype="float32", name="boxes")
    class_ids = keras.Input((None,), dtype="int64", name="class_ids")
    made = _layers_of(model)
    known = made["proposals"].boxes
    cost = ProposingCost(known.tolist(), name="proposing")(
        seen.objectness, seen.anchor_shifts, seen.regions, seen.valid, boxes, class_ids
    )
    regions, taught, shifts = SampledRegions(num_classes, name="sampled_regions")(
        seen.regions, seen.valid, boxes, class_ids
    )
    answers = _answers(made, seen.features, regions)
    decided = RegionCost(name="deciding")(*answers, taught, shifts)
    return keras.Model([model.inputs[0], boxes, class_ids], [cost, decided], name=f"{model.name}{_TRAINING}")


def that_answers(model: keras.Model, manifest: Manifest) -> keras.Model:
    """Returns the model that `that_learns` was made of, on the same layers; one that answers as it is.

    Args:
        model: either.
        manifest: of the model.
    """
    del manifest
    if "proposing" not in [layer.name for layer in model.layers]:
        return model
    return _that_answers(model.inputs[0], _seen(model), _layers_of(model), model.name.removesuffix(_TRAINING))


def _detector(
    image: keras.KerasTensor,
    features: keras.KerasTensor,
    name: str,
    *,
    num_classes: int,
    anchors: Sequence[tuple[float, float]],
    filters: int,
    units: int,
) -> keras.Model:
    """Returns the model on a map of its picture.

    Args:
        image: the input.
        features: (N, height / 16, width / 16, channels).
        name: of the model.
        num_classes: as for the builders.
        anchors: likewise.
        filters: of the proposal network's convolution.
        units: of the two dense layers.
    """
    size, count = tuple(image.shape[1:3]), len(anchors)
    looked = layers.Conv2D(
        filters, 3, padding="same", activation="relu", kernel_initializer=_SMALL, name="proposal_conv"
    )(features)
    objectness = layers.Conv2D(count, 1, kernel_initializer=_SMALL, name="objectness")(looked)
    anchor_shifts = layers.Conv2D(4 * count, 1, kernel_initializer=_SMALLER, name="anchor_shifts")(looked)
    propose = Proposals(anchors, size, REGION_STRIDE, count_regions(size, count), name="proposals")
    regions, valid = propose(objectness, anchor_shifts)
    made = [
        RoIAlign(_CELLS, REGION_STRIDE, name="aligned"),
        layers.Reshape((-1, _CELLS * _CELLS * features.shape[-1]), name="flat_regions"),
        Together(name="together"),
        layers.Dense(units, activation="relu", kernel_initializer="he_normal", name="fc1"),
        layers.Dense(units, activation="relu", kernel_initializer="he_normal", name="fc2"),
        layers.Dense(num_classes + 1, kernel_initializer=_SMALL, name="class_units"),
        layers.Dense(4 * num_classes, kernel_initializer=_SMALLER, name="shift_units"),
        Apart(name="logits"),
        Apart(name="apart_shifts"),
        layers.Reshape((-1, num_classes, 4), name="shifts"),
    ]
    seen = _Seen(features, objectness, anchor_shifts, regions, valid)
    return _that_answers(image, seen, {layer.name: layer for layer in made}, name)


def _that_answers(image: keras.KerasTensor, seen: _Seen, made: Mapping[str, keras.Layer], name: str) -> keras.Model:
    """Returns the model from the image to the answers about the regions that it proposes."""
    regions, valid = layers.Identity(name="regions")(seen.regions), layers.Identity(name="valid")(seen.valid)
    return keras.Model(image, [regions, valid, *_answers(made, seen.features, seen.regions)], name=name)


def _answers(
    made: Mapping[str, keras.Layer], features: keras.KerasTensor, regions: keras.KerasTensor
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the logits, (N, R, classes + 1), and the shifts, (N, R, classes, 4), of regions."""
    flat = made["flat_regions"](made["aligned"](features, regions))  # (N, R, numbers)
    x = made["fc2"](made["fc1"](made["together"](flat)))  # (N R, units)
    shifts = made["apart_shifts"](made["shift_units"](x), flat)
    return made["logits"](made["class_units"](x), flat), made["shifts"](shifts)


def _seen(model: keras.Model) -> _Seen:
    """Returns what either model sees of a picture."""
    found = [model.get_layer(name).output for name in ("objectness", "anchor_shifts", "proposals")]
    return _Seen(model.get_layer("proposal_conv").input, found[0], found[1], *found[2])


def _layers_of(model: keras.Model) -> Mapping[str, keras.Layer]:
    return {layer.name: layer for layer in model.layers}
