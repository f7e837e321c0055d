"""From a catalogue name to its row, its manifest and its Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from edgecnn.models.catalog import CATALOG
from edgecnn.tasks.table import TASKS, load

if TYPE_CHECKING:
    import keras

    from edgecnn.models.spec import ModelSpec
    from edgecnn_runtime.manifest import Manifest
    from edgecnn_runtime.questions import TextInput


def get_spec(name: str) -> ModelSpec:
    """Returns the catalogue row of that name.

    Raises:
        UnknownModelError: no row has it; those of its family are listed, none is picked.
    """
    if name not in CATALOG:
        from edgecnn.errors import UnknownModelError  # loads the runtime, which listing the catalogue must not

        raise UnknownModelError.near(name, CATALOG)
    return CATALOG[name]


def check_backbone_index(spec: ModelSpec, index: int, count: int) -> None:
    """Refuses an index that no layer of a backbone has.

    Args:
        spec: the catalogue row.
        index: of the first layer that is to train.
        count: how many layers the backbone has.

    Raises:
        UsageError: names the indices that there are.
    """
    if not 0 <= index < count:
        from edgecnn.errors import UsageError  # loads the runtime, which listing the catalogue must not

        raise UsageError(
            f"{spec.name}: expected to unfreeze from a layer from 0 to {count - 1}, received {index}. "
            f"Run `edgecnn models {spec.name}` for the layers."
        )


def build_model(
    name: str,
    *,
    image_size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    width: float = 1.0,
    text: TextInput | None = None,
    anchors: Sequence[tuple[float, float]] | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Builds a documented model with fresh weights; the defaults are the published ones.

    Args:
        name: a catalogue name.
        image_size: (height, width) in pixels.
        num_classes: number of logits.
        width: multiplier on filters and units, above 0.
        text: of the question, for a task that has one; None takes that of a model that never saw data.
        anchors: (width, height) in pixels, for a model that proposes regions by them; None takes the published ones.
        seed: of the weights; None draws another one each time.

    Returns:
        A functional model from "image", uint8 (N, height, width, channels), and perhaps the question, to the outputs
        that `build_manifest` names, float32: "logits" (N, num_classes) of most rows.

    Raises:
        UnknownModelError: no such row.
        UsageError: a size below the model's least one or between those that its grids divide, fewer classes than the
            task takes, a width that is not above 0, or another width than 1 for a model that has one size.
    """
    import keras  # takes seconds: only when a model is really built

    spec = get_spec(name)
    image_size, num_classes = image_size or spec.image_size, spec.num_classes if num_classes is None else num_classes
    _check_size(spec, image_size, num_classes, width)
    builder = load(spec.builder)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    of_task = TASKS[spec.task].text
    fitted: dict[str, object] = {} if of_task is None else {"text": text or load(of_task)()}
    if anchors is not None:
        fitted["anchors"] = anchors
    model = builder(image_size=image_size, channels=spec.channels, num_classes=num_classes, width=width, **fitted)
    return cast("keras.Model", model)


def fitted_parts(manifest: Manifest) -> dict[str, Any]:
    """Returns what the network holds of what its manifest has from the data, by the arguments of `build_model`."""
    fitted: dict[str, Any] = {} if manifest.text_input is None else {"text": manifest.text_input}
    if manifest.decoder.kind == "regions" and manifest.decoder.anchors:
        fitted["anchors"] = manifest.decoder.anchors
    return fitted


def build_manifest(
    spec: ModelSpec,
    labels: Sequence[str] | None,
    *,
    image_size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    width: float = 1.0,
) -> Manifest:
    """Writes down what a model will be, before its first weight exists.

    Args:
        spec: the catalogue row.
        labels: one name a class; None for a model that never sees data.
        image_size: (height, width) in pixels; the row's by default.
        num_classes: by default the number of labels, or the row's where there are none.
        width: multiplier on filters and units, above 0.

    Raises:
        UsageError: as for `build_model`.
        ManifestError: labels that do not fit the number of classes.
    """
    from edgecnn_runtime import manifest as parts  # loads numpy, which listing the catalogue must not

    height, width_px = image_size or spec.image_size
    if num_classes is None:
        num_classes = spec.num_classes if labels is None else len(labels)
    _check_size(spec, (height, width_px), num_classes, width)
    sized = replace(spec, image_size=(height, width_px))
    decoder, outputs = load(spec.outputs or TASKS[spec.task].outputs)(sized, num_classes)
    text = TASKS[spec.task].text
    beside = load(spec.beside)() if spec.beside is not None else () if text is None else (load(text)(),)
    return parts.Manifest(
        task=spec.task,
        model=parts.ModelInfo(name=spec.name, width=width),
        inputs=(
            parts.ImageInput(
                name="image",
                height=height,
                width=width_px,
                color=spec.color,
                resize=spec.resize,
                crop_fraction=spec.crop_fraction,
                pad_value=spec.pad_value,
            ),
            *beside,
        ),
        labels=None if labels is None else tuple(labels),
        decoder=decoder,
        outputs=tuple(outputs),
    )


def _check_size(spec: ModelSpec, image_size: tuple[int, int], num_classes: int, width: float) -> None:
    from edgecnn.errors import UsageError  # loads the runtime, which listing the catalogue must not

    if min(image_size) < spec.smallest_size:
        raise UsageError(
            f"{spec.name}: expected an image size of at least {spec.smallest_size},{spec.smallest_size}, received "
            f"{image_size[0]},{image_size[1]}: its convolutions and pools leave no whole cell of a smaller one."
        )
    if any(side % spec.multiple_of for side in image_size):
        raise UsageError(
            f"{spec.name}: expected an image size of multiples of {spec.multiple_of}, the pixels of its coarsest cell, "
            f"received {image_size[0]},{image_size[1]}"
        )
    least = TASKS[spec.task].least_classes
    if num_classes < least:
        reason = ": one has always the score 1" if num_classes == 1 else ""
        raise UsageError(f"{spec.name}: expected at least {least} classes, received {num_classes}{reason}")
    if not 0 < width < float("inf"):
        raise UsageError(f"{spec.name}: expected a width multiplier above 0, received {width}")
    if width != 1 and not spec.scalable:
        raise UsageError(
            f"{spec.name}: expected a width multiplier of 1.0, received {width}: its layers have one published size"
        )
