"""A catalogue model with weights from elsewhere, and the manifest that goes with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from edgecnn.errors import UsageError
from edgecnn.models.build import build_manifest, build_model, get_spec
from edgecnn.models.weights import load_weights
from edgecnn.tasks.table import TASKS, load
from edgecnn_runtime.manifest import Manifest

RANDOM_SEED = 0  # of the weights that are not loaded


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A model that needs no training.

    Attributes:
        model: built, with its weights.
        manifest: with the labels that came with the weights, or were given.
        seed: of random weights; None where they were loaded.
    """

    model: keras.Model
    manifest: Manifest
    seed: int | None


def pretrained_model(
    name: str,
    weights: str,
    *,
    labels: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    width: float = 1.0,
) -> Pretrained:
    """Builds a catalogue model and gives it weights, all of them: a head that keeps random ones is an error.

    Args:
        name: a catalogue name.
        weights: "none" for seeded random ones, "imagenet", or a .weights.h5 or .keras file.
        labels: one name a class; ImageNet's come with its weights. None makes a model of the published number of
            classes, without labels.
        image_size: (height, width) in pixels; the published one by default.
        width: multiplier on filters and units, above 0.

    Raises:
        UnknownModelError: no such row.
        UsageError: a size or width that the row does not allow, or labels that do not match the head of the weights.
        PretrainedWeightsError: the weights cannot be had, or are of another architecture.
        KerasFileError: they are in a .keras file that is damaged or unsafe.
        ManifestError: labels that are empty or not unique.
    """
    spec = get_spec(name)
    if weights == "imagenet" and labels is not None:
        raise UsageError("--labels: expected none with --weights imagenet, whose labels come with it. Leave it out.")
    manifest = build_manifest(spec, labels, image_size=image_size, width=width)
    model = build_model(name, image_size=image_size, num_classes=manifest.num_classes, width=width, seed=RANDOM_SEED)
    loaded = load_weights(model, spec, weights)
    if loaded.left_out:
        source = "without --labels" if labels is None else "the number of labels"
        raise UsageError(
            f"{weights}: expected a head of {manifest.num_classes} classes ({source}), received one of "
            f"{loaded.head_classes}. Give --labels FILE with one label a class of the weights."
        )
    if loaded.labels is not None:
        manifest = build_manifest(spec, loaded.labels, image_size=image_size, width=width)
    of_head = TASKS[spec.task].of_head
    if loaded.layers and of_head is not None:
        manifest = load(of_head)(manifest, weights) or manifest
    return Pretrained(model, manifest, None if loaded.layers else RANDOM_SEED)
