"""Which anchors a detector begins with: those that its head was trained on, else those that fit its data.

The numbers that a head gives for width and height are logarithms by an anchor's, so a head means nothing without its
own.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from edgecnn.data.samples import Samples
from edgecnn.errors import UsageError
from edgecnn.models.build import build_model, get_spec
from edgecnn.models.weights_file import is_darknet
from edgecnn.outputs import RUN_MANIFEST
from edgecnn.tasks.detection.anchors import box_sizes, fit_anchors
from edgecnn.training.config import TrainConfig
from edgecnn_runtime.decoders import RegionsDecoder, YoloDecoder
from edgecnn_runtime.errors import ManifestError
from edgecnn_runtime.manifest import Manifest

logger = logging.getLogger(__name__)


def fit(manifest: Manifest, train: Samples, *, config: TrainConfig, earlier: Manifest | None = None) -> Manifest:
    """Returns the manifest of a detector with anchors that fit its data, as many a scale as it had.

    The smallest anchors belong to the finest grid. Images that are held out to validate count too: what is learned of
    them is the sizes of boxes alone. Where the weights to begin with bring the head, its own anchors stay. Where boxes
    are of fewer sizes than there are anchors, the others are larger and smaller ones of the same shapes.

    Args:
        manifest: of the model.
        train: what is learned from.
        config: names the weights to begin with.
        earlier: of the run that goes on, whose anchors stay; None where one begins.

    Raises:
        UsageError: there are no boxes to learn.
        PretrainedWeightsError: the weights are of another architecture.
    """
    if not _anchors(manifest):
        return manifest
    if earlier is not None and _same_grids(earlier, manifest):
        return _with_anchors(manifest, _anchors(earlier))
    if config.weights != "none" and _takes_head(manifest, config):
        known = of_head(manifest, config.weights)
        if known is not None:
            return known
        logger.warning("anchors: fitted to the data; the head has to learn what they are")
    sizes, count = box_sizes(train, manifest.image_input), len(_anchors(manifest))
    distinct = len(np.unique(sizes, axis=0))
    if not distinct:
        raise UsageError(
            "anchors: expected boxes in the train part to learn from, received none but groups and difficult objects. "
            "Mark some objects"
        )
    fitted = fit_anchors(sizes, min(count, distinct))
    logger.info("anchors: fitted to %d boxes, mean best IoU %.4f", fitted.boxes, fitted.mean_best_iou)
    if len(fitted.anchors) < count:
        logger.info(
            "anchors: the boxes are of %d sizes alone; added %d larger and smaller ones",
            len(fitted.anchors), count - len(fitted.anchors),
        )  # fmt: skip
    return _with_anchors(manifest, _completed(fitted.anchors, count))


def of_head(manifest: Manifest, weights: str) -> Manifest | None:
    """Returns the manifest of a detector with the anchors that the head of its weights was trained on.

    Of a .keras or .weights.h5 file they stand in the manifest beside it, as in a run folder; Darknet's are the
    published ones. None where they are not known, which a warning says.

    Args:
        manifest: of the model, with the published anchors.
        weights: the file, whose head fits the model's.
    """
    if is_darknet(weights):
        logger.info("anchors: the published ones, which the head of %s is taken to be trained on", weights)
        return manifest
    path = Path(weights).with_name(RUN_MANIFEST)
    try:
        source = Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, ManifestError) as error:
        logger.warning("anchors: those that the head of %s was trained on are not known: %s: %s", weights, path, error)
        return None
    if not _same_grids(source, manifest):
        logger.warning(
            "anchors: those that the head of %s was trained on are not known: %s is not of this %s",
            weights, path, manifest.model.name,
        )  # fmt: skip
        return None
    logger.info("anchors: those of %s, which the head of %s was trained on", path, weights)
    return _with_anchors(manifest, _anchors(source))


def _takes_head(manifest: Manifest, config: TrainConfig) -> bool:
    from edgecnn.models.weights import takes_head  # brings TensorFlow, which training without weights need not wait for

    model = build_model(
        config.model, image_size=config.image_size, num_classes=manifest.num_classes, width=config.width
    )
    return takes_head(model, get_spec(config.model), config.weights)


def _completed(anchors: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """Returns so many anchors, the smallest area first: those given, and others of their shapes, twice the area apart.

    >>> _completed([(10.0, 20.0)], 3)
    [(7.07, 14.14), (10.0, 20.0), (14.14, 28.28)]
    """
    found = list(anchors)
    for step in range(1, 2 * count):
        factor = 2 ** ((step + 1) // 2 * (0.5 if step % 2 else -0.5))  # larger and smaller in turn
        scaled = [
            (max(round(width * factor, 2), 0.01), max(round(height * factor, 2), 0.01)) for width, height in anchors
        ]
        found += [anchor for anchor in dict.fromkeys(scaled) if anchor not in found]
    return sorted(found[:count], key=lambda anchor: (anchor[0] * anchor[1], anchor[0]))


def _with_anchors(manifest: Manifest, anchors: Sequence[tuple[float, float]]) -> Manifest:
    """Returns a manifest with other anchors, those of the finest scale first."""
    if isinstance(manifest.decoder, RegionsDecoder):
        return replace(manifest, decoder=replace(manifest.decoder, anchors=tuple(anchors)))
    decoder, scales, left = cast(YoloDecoder, manifest.decoder), [], tuple(anchors)
    for scale in decoder.scales:
        count = len(scale.anchors)
        scales.append(replace(scale, anchors=left[:count]))
        left = left[count:]
    return replace(manifest, decoder=replace(decoder, scales=tuple(scales)))


def _anchors(manifest: Manifest) -> list[tuple[float, float]]:
    if isinstance(manifest.decoder, RegionsDecoder):
        return list(manifest.decoder.anchors)
    return [anchor for scale in cast(YoloDecoder, manifest.decoder).scales for anchor in scale.anchors]


def _same_grids(source: Manifest, manifest: Manifest) -> bool:
    """Says whether anchors of one manifest can be those of another."""
    if source.model.name != manifest.model.name or source.decoder.kind != manifest.decoder.kind:
        return False
    if isinstance(manifest.decoder, RegionsDecoder):
        return len(_anchors(source)) == len(_anchors(manifest))
    counts = [
        [(scale.stride, len(scale.anchors)) for scale in cast(YoloDecoder, one.decoder).scales]
        for one in (source, manifest)
    ]
    return counts[0] == counts[1]
