"""R-CNN: regions that others propose are cut out of the picture, warped to one size, and classified one by one.

The slow ancestor of Faster R-CNN, kept to compare: the network runs once for each region. It learns end to end, with
the softmax and the box cost of Fast R-CNN, in place of the support vector machines and the regressors that followed
each other in the paper; and from regions around the marked objects, which no search need propose then.

Reference:
    Girshick et al. 2014, "Rich feature hierarchies for accurate object detection and semantic segmentation"; Girshick
    2015, "Fast R-CNN", section 2.3.
"""

import keras
from keras import layers

from edgecnn.models.layers import Counted, InPlaces, Warped, image_input
from edgecnn.models.layers.region_costs import RegionCost, RegionsAround, SampledRegions
from edgecnn.models.resnet import resnet34_map
from edgecnn.tasks.detection.outputs import MOST_REGIONS, region_inputs
from edgecnn_runtime.manifest import Manifest

_LEARNED = 32  # regions of an image that are learned from; the paper's 128 are of several images
_LEAST_WARPED = 32  # pixels
# First weights, as descriptions: layers that share an initializer begin with the same numbers.
_SMALL = {"class_name": "RandomNormal", "config": {"stddev": 0.01}}
_SMALLER = {"class_name": "RandomNormal", "config": {"stddev": 0.001}}
_TRAINING = "_training"


def rcnn(*, image_size: tuple[int, int], channels: int, num_classes: int, width: float) -> keras.Model:
    """Builds ResNet-34 over each region, warped to a quarter of the picture's shorter side, 32 pixels at least.

    A region's class follows from the mean of the last map, as in the classifier, and its box from the map itself. At
    416 x 416, 80 classes and width 1: ResNet-34 without its head 21,301,696 parameters, 17,024 of them statistics;
    logits 41,553, shifts 2,621,760.

    Args:
        image_size: (height, width) in pixels.
        channels: of the image, 1 or 3.
        num_classes: number of classes, 1 or more.
        width: multiplier on filters.

    Returns:
        A model from "image", uint8 (N, height, width, channels), and "proposals", float32 (N, R, 4), xyxy in pixels of
        it, zeros behind, to "regions", the same, of which the first "valid", (N,), mean something, "logits", float32
        (N, R, num_classes + 1), the last of nothing, and "shifts", (N, R, num_classes, 4). R is 300.
    """
    image = image_input(image_size, channels)
    (spec,) = region_inputs()
    proposals = keras.Input(spec.shape, dtype=spec.dtype, name=spec.name)
    warp = Warped(max(_LEAST_WARPED, min(image_size) // 4), name="warped")
    features = resnet34_map(warp(image, proposals), width, stages=4)
    pooled, flat = layers.GlobalAveragePooling2D(name="avg_pool")(features), layers.Flatten(name="flat")(features)
    class_units = layers.Dense(num_classes + 1, kernel_initializer=_SMALL, name="class_units")(pooled)
    shift_units = layers.Dense(4 * num_classes, kernel_initializer=_SMALLER, name="shift_units")(flat)
    answers = InPlaces(name="logits")(class_units, proposals)
    shifts = layers.Reshape((-1, num_classes, 4), name="shifts")(InPlaces(name="placed")(shift_units, proposals))
    regions = layers.Identity(name="regions")(proposals)
    return keras.Model([image, proposals], [regions, Counted(name="valid")(proposals), answers, shifts], name="rcnn")


def that_learns(model: keras.Model, num_classes: int) -> keras.Model:
    """Returns the model that learns: the one that answers, looking at regions drawn around the marked objects.

    Args:
        model: from `rcnn`.
        num_classes: of it.

    Returns:
        A model from "image", "boxes", float32 (N, K, 4) xyxy in pixels of the input, zeros where there is none, and
        "class_ids", int64 (N, K), below 0 of what is neither to be found nor to be denied, to "deciding", float32
        (N, 3): two costs and a part of 1, see `edgecnn.models.layers.region_costs`.
    """
    image = keras.Input(model.inputs[0].shape[1:], dtype="uint8", name="image")
    boxes = keras.Input((None, 4), dtype="float32", name="boxes")
    class_ids = keras.Input((None,), dtype="int64", name="class_ids")
    around = RegionsAround(image.shape[1:3], name="regions_around")(boxes)
    regions, shown, to = SampledRegions(num_classes, _LEARNED, name="sampled_regions")(*around, boxes, class_ids)
    rest = (0, MOST_REGIONS - _LEARNED)  # regions without a side, which cost nothing
    _, _, answers, shifts = model([image, layers.ZeroPadding1D(rest, name="filled_up")(regions)])
    answers = layers.Cropping1D(rest, name="drawn_logits")(answers)
    shifts = layers.Cropping2D((rest, (0, 0)), name="drawn_shifts")(shifts)
    decided = RegionCost(name="deciding")(answers, shifts, shown, to)
    return keras.Model([image, boxes, class_ids], [decided], name=f"{model.name}{_TRAINING}")


def that_answers(model: keras.Model, manifest: Manifest) -> keras.Model:
    """Returns the model that `that_learns` was made of; one that answers as it is.

    Args:
        model: either.
        manifest: of the model.
    """
    del manifest
    return model.get_layer(model.name.removesuffix(_TRAINING)) if model.name.endswith(_TRAINING) else model
