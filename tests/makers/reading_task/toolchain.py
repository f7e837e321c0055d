# ruff: noqa: ARG001, ARG002
"""The made-up task in the toolchain: data, network, what it learns, the source's own answer, the metric."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from edgecnn_runtime.tasks.reading import Reading

from edgecnn_runtime.decoders import OutputSpec, ReadingDecoder


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A number an image, as tenths of it are written in the data's classes."""

    contradiction: ClassVar[str] = "with two readings"
    values: Any

    def __len__(self):
        return len(self.values)

    def subset(self, indices):
        return Numbers(self.values[indices])

    def joined(self, others):
        return Numbers(np.concatenate([self.values, *(other.values for other in others)]))

    def classes(self):
        return np.zeros(len(self), np.int64)

    def counts(self, num_classes):
        return np.array([len(self)])

    def digest(self, index):
        return self.values[index].tobytes()

    def truth(self, index):
        return float(self.values[index])

    def truths(self, to_model):
        return self.values


def narrow(dataset):
    """Class k of n means the number k / (n - 1)."""
    if isinstance(dataset.train.targets, Numbers):
        return dataset
    last = len(dataset.labels) - 1
    parts = [
        replace(part, targets=Numbers(part.targets.classes() / np.float64(last)), labels=("reading",))
        for part in dataset.parts
    ]
    return replace(dataset, parts=tuple(parts))


def outputs(spec, num_classes):
    return ReadingDecoder(), (OutputSpec("value", (1,)),)


def arrays(targets, placements, image_size):
    return {"values": targets.values.astype(np.float32)[:, np.newaxis]}


def build(*, image_size, channels, num_classes, width):
    import keras

    from edgecnn.models.layers import image_input, scaled_around_zero

    image = image_input(image_size, channels)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(scaled_around_zero(image))
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(image, keras.layers.Dense(1, name="value")(x), name="reading_cnn")


def trainee(model, spec, manifest, config):
    import keras

    from edgecnn.training.trainee import Trainee

    error = keras.metrics.MeanAbsoluteError(name="error")
    return Trainee(
        model,
        {"value": "mse"},
        {"value": 1.0},
        {"value": [error]},
        lambda arrays, _: {"value": arrays["values"]},
        watched="error",
    )


def own_results(manifest, head, outputs, placements):
    return [
        Reading(min(max(float(value), 0.0), 1.0), labels=manifest.labels, shape=place.image_size)
        for (value,), place in zip(outputs["value"].tolist(), placements, strict=True)
    ]


@dataclass(frozen=True)
class Evaluated:
    images: int
    closeness: float
    skipped: int

    def to_dict(self):
        return asdict(self)

    def headline(self):
        return f"closeness {self.closeness:.4f}"

    def table(self):
        return ["closeness"], [[f"{self.closeness:.4f}"]]


class Closeness:
    """1 less the mean absolute error."""

    name = "closeness"

    def __init__(self, manifest):
        self.manifest = manifest
        self._errors: list[float] = []

    def update(self, results: Sequence[Reading], truths):
        self._errors += [abs(result.value - truth) for result, truth in zip(results, truths, strict=True)]

    def value(self):
        return float(self.scores().mean())

    def scores(self):
        return 1 - np.array(self._errors)

    image_scores = scores

    def evaluation(self, *, skipped=0):
        return Evaluated(len(self._errors), self.value(), skipped)
