"""The part of a model that transfers: its layers before the head, to be frozen, unfrozen or given a new head."""

import keras
from keras import layers

from edgecnn.errors import UsageError
from edgecnn.models.build import build_model, check_backbone_index, get_spec
from edgecnn.models.catalog import CATALOG
from edgecnn.models.spec import ModelSpec


def backbone_layers(model: keras.Model, spec: ModelSpec) -> list[keras.Layer]:
    """Returns the layers before the head, in order, without the normalisation.

    So the list begins with the input and goes on with the first convolution, and an index means the layer that it means
    in the list `layers` of the `keras.applications` model without its top. Where that model normalises by itself, as
    MobileNetV3 and EfficientNet do, those layers are not counted.

    Args:
        model: from `build_model` or `build_transfer_model`.
        spec: its catalogue row, which names the backbone's last layer.

    Raises:
        UsageError: the model has no backbone.
    """
    last = _last_layer(spec)
    names = [layer.name for layer in model.layers]
    return [layer for layer in model.layers[: names.index(last) + 1] if layer.name != "normalization"]


def backbone_indices(model: keras.Model, spec: ModelSpec) -> dict[str, int]:
    """Returns the index of each layer of the backbone by its name, which `unfreeze_from` takes.

    Args:
        model: from `build_model` or `build_transfer_model`.
        spec: its catalogue row; without a backbone there are no indices.
    """
    if spec.backbone is None:
        return {}
    return {layer.name: index for index, layer in enumerate(backbone_layers(model, spec))}


def freeze_backbone(model: keras.Model, spec: ModelSpec) -> int:
    """Keeps the backbone's weights from training; its batch normalisations then run in inference mode.

    Call it before `compile`.

    Args:
        model: from `build_model` or `build_transfer_model`.
        spec: its catalogue row.

    Returns:
        The number of layers with weights that are frozen.

    Raises:
        UsageError: the model has no backbone.
    """
    backbone = backbone_layers(model, spec)
    return _set_trainable_from(backbone, len(backbone))


def unfreeze_from(model: keras.Model, spec: ModelSpec, index: int) -> int:
    """Lets the backbone's layers train from one on; those before it stay frozen. The head always trains.

    Call it before `compile`.

    Args:
        model: from `build_model` or `build_transfer_model`.
        spec: its catalogue row.
        index: of the first layer that trains, in `backbone_layers`; 0 trains all.

    Returns:
        The number of layers with weights that stay frozen.

    Raises:
        UsageError: the model has no backbone, or no layer has the index.
    """
    backbone = backbone_layers(model, spec)
    check_backbone_index(spec, index, len(backbone))
    return _set_trainable_from(backbone, index)


def build_transfer_model(
    name: str,
    *,
    image_size: tuple[int, int] | None = None,
    num_classes: int,
    width: float = 1.0,
    seed: int | None = None,
) -> keras.Model:
    """Builds a model's backbone with global average pooling and one dense layer in place of its published head.

    A model of several outputs keeps its head, which is of that form already: a dense layer an output.

    Args:
        name: a catalogue name.
        image_size: (height, width) in pixels; the row's by default.
        num_classes: number of logits.
        width: multiplier on filters, above 0.
        seed: of the weights; None draws another one each time.

    Returns:
        A functional model from "image", uint8 (N, height, width, channels), to "logits", float32 (N, num_classes), or
        to the outputs that it has by its row.

    Raises:
        UnknownModelError: no such row.
        UsageError: the model has no backbone, or as for `build_model`.
    """
    spec = get_spec(name)
    last = _last_layer(spec)
    published = build_model(name, image_size=image_size, num_classes=num_classes, width=width, seed=seed)
    if len(published.outputs) > 1:
        return published
    x = layers.GlobalAveragePooling2D(name="avg_pool")(published.get_layer(last).output)
    return keras.Model(published.input, layers.Dense(num_classes, name="logits")(x), name=name)


def _last_layer(spec: ModelSpec) -> str:
    if spec.backbone is None:
        known = ", ".join(row.name for row in CATALOG.values() if row.backbone is not None)
        raise UsageError(f"{spec.name} has no backbone: expected one of {known}")
    return spec.backbone


def _set_trainable_from(backbone: list[keras.Layer], index: int) -> int:
    for position, layer in enumerate(backbone):
        layer.trainable = position >= index
    return sum(bool(layer.weights) for layer in backbone[:index])
