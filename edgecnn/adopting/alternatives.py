"""Would the model answer better if it were asked otherwise? Other scalings, colours and orders of labels, tried out.

A model whose pixels are scaled wrongly, or whose colours are exchanged, often answers well enough not to be noticed. So
its answers to the same pictures are compared picture by picture, and what is better beyond chance is named. Nothing is
chosen here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.adopting.config import blue_first
from edgecnn.adopting.original import OriginalModel
from edgecnn.adopting.scaling import same_scaling
from edgecnn.data.batches import ReadyBatch, images_together, iter_ready
from edgecnn.data.samples import Samples
from edgecnn.evaluation import class_map
from edgecnn.tasks.table import metric_of
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScaling
from edgecnn_runtime.tasks.table import get_task

TRIED_ON = 256  # pictures, spread over all
_FIRST = 64  # on which all ways are tried; the best go on
_FINALISTS = 2
_MOST_Z = 3.0  # of paired differences: of a dozen ways one passes by chance in a thousand models
_LEAST_GAIN = 0.02


@dataclass(frozen=True, slots=True)
class Way:
    """How pixels may become what a network takes.

    Attributes:
        options: as they are typed: "--pixels unit --color bgr".
        scaling: what they say.
    """

    options: str
    scaling: PixelScaling


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """What a way came to.

    Attributes:
        way: that was tried.
        scores: of each picture it was tried on, 0 to 1.
    """

    way: Way
    scores: npt.NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Of the scores."""
        return float(self.scores.mean())


def ways(channels: int, *, scaled_inside: bool) -> list[Way]:
    """Returns the usual ways.

    Args:
        channels: of the network's input.
        scaled_inside: whether the model scales pixels itself, so that only raw ones and those of 0 to 1 are likely.
    """
    found = []
    for name, scaling in PIXEL_SCALINGS.items():
        if (scaling.channels == 3 and channels != 3) or (scaled_inside and name not in ("raw", "unit")):
            continue
        found.append(Way(f"--pixels {name}", scaling))
        if channels == 3 and name != "caffe":
            found.append(Way(f"--pixels {name} --color bgr", blue_first(scaling)))
    return found


def try_ways(
    original: OriginalModel, manifest: Manifest, samples: Samples, tried: Sequence[Way], *, asked: Way | None
) -> list[Tried]:
    """Returns what the ways come to on some of the pictures, the best first; those of no promise are left out.

    Args:
        original: the model.
        manifest: of its copy.
        samples: labelled.
        tried: the ways.
        asked: the one that was asked for, which always stays; None where none was.
    """
    chosen = samples.subset(np.unique(np.linspace(0, len(samples) - 1, TRIED_ON).astype(np.int64)))
    order = np.random.default_rng(0).permutation(len(chosen))  # the first ones are not all of one class
    chosen = chosen.subset(order)
    to_model = class_map(manifest, chosen)
    batches = list(iter_ready(chosen, manifest, images_together(manifest), to_model=to_model, on_bad=lambda _: None))
    few = _until(batches, _FIRST)
    every = ([] if asked is None else [asked]) + [
        way for way in tried if asked is None or not same_scaling(way.scaling, asked.scaling)
    ]
    first = [Tried(way, _scores(original, manifest, batches[:few], way)) for way in every]
    promising = sorted(first, key=lambda one: -one.mean)[:_FINALISTS]
    kept = [one for one in first if one in promising or one.way is asked]
    whole = [
        replace(one, scores=np.concatenate([one.scores, _scores(original, manifest, batches[few:], one.way)]))
        for one in kept
    ]
    return sorted(whole, key=lambda one: -one.mean)


def better_than(asked: Tried, others: Sequence[Tried]) -> Tried | None:
    """Returns the best of other ways, where it answers the same pictures better beyond chance; else None."""
    for other in sorted(others, key=lambda one: -one.mean):
        gains = other.scores - asked.scores
        z = gains.sum() / np.sqrt(np.square(gains).sum() + 1)
        if gains.mean() >= _LEAST_GAIN and z > _MOST_Z:
            return other
    return None


def told(tried: Sequence[Tried], metric: str) -> str:
    """Returns what ways came to, for people."""
    listed = ", ".join(f"{one.mean:.4f} with {one.way.options}" for one in tried)
    return f"on {len(tried[0].scores)} pictures, {metric}: {listed}"


def _scores(
    original: OriginalModel, manifest: Manifest, batches: Sequence[ReadyBatch], way: Way
) -> npt.NDArray[np.float64]:
    model, task, metric = original.scaled_by(way.scaling), get_task(manifest.task), metric_of(manifest)()
    for batch in batches:
        outputs: dict[str, Any] = dict(model.run(batch.feeds))
        outputs = {name: np.nan_to_num(values) for name, values in outputs.items()}
        metric.update(task.decode(metric.manifest, outputs, batch.placements), batch.truths)
    return metric.image_scores()


def _until(batches: Sequence[ReadyBatch], count: int) -> int:
    """Returns how many batches have so many rows."""
    rows = 0
    for number, batch in enumerate(batches, 1):
        rows += len(batch.placements)
        if rows >= count:
            return number
    return len(batches)
