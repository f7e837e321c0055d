"""Detections without a detector: a manifest, answers, and random scenes that hold what protocols differ in."""

from dataclasses import dataclass

import numpy as np

from edgecnn.data.targets import Objects


@dataclass(frozen=True)
class Point:
    class_id: int
    score: float


@dataclass(frozen=True)
class Decoder:
    score_threshold: float = 0.25
    operating_points: tuple[Point, ...] | None = None

    def thresholds(self, num_classes):
        own = {point.class_id: point.score for point in self.operating_points or ()}
        return [own.get(class_id, self.score_threshold) for class_id in range(num_classes)]


@dataclass(frozen=True)
class DetectorManifest:
    labels: tuple[str, ...] | None = ("cat", "dog", "owl", "elk")
    decoder: Decoder = Decoder()
    num_classes: int = 4
    task: str = "detection"


@dataclass(frozen=True, eq=False)
class Detections:
    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray

    @classmethod
    def of(cls, *answers):
        """Answers are (class id, score, box)."""
        return cls(
            np.array([box for _, _, box in answers], np.float32).reshape(-1, 4),
            np.array([score for _, score, _ in answers], np.float32),
            np.array([class_id for class_id, _, _ in answers], np.int64),
        )

    def __len__(self):
        return len(self.scores)


def random_scene(random, *, classes=4, side=24, crowds=0.0, difficult=0.0, levels=8):
    """Returns an image's answers and objects: whole pixels and few scores, so that IoU and scores are often equal.

    Some images are empty, some answers are far from all objects, some twice the same, and the last class has no object.
    """
    count = int(random.integers(0, 6))
    boxes = random_boxes(random, count, side)
    class_ids = random.integers(0, classes - 1, count)
    near = np.repeat(boxes, 3, axis=0) + random.integers(-2, 3, (3 * count, 4))
    far = random_boxes(random, int(random.integers(0, 5)), side)
    found = np.concatenate([near, far, boxes[:1]])
    kept = (found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1]) & (random.random(len(found)) < 0.8)
    answered = np.concatenate([np.repeat(class_ids, 3), random.integers(0, classes, len(far)), class_ids[:1]])
    mixed = np.where(random.random(len(found)) < 0.15, random.integers(0, classes, len(found)), answered)
    scores = random.integers(1, levels + 1, len(found)) / levels
    truth = Objects.of(
        boxes.tolist(),
        class_ids.tolist(),
        crowd=(random.random(count) < crowds).tolist(),
        difficult=(random.random(count) < difficult).tolist(),
    )
    return Detections(found[kept].astype(np.float32), scores[kept].astype(np.float32), mixed[kept]), truth


def random_boxes(random, count, side):
    first = random.integers(0, side - 4, (count, 2))
    return np.concatenate([first, first + random.integers(2, 12, (count, 2))], axis=1)


def random_scenes(seed, *, images=8, **options):
    """Returns the answers and the objects of several images."""
    random = np.random.default_rng(seed)
    found, truths = zip(*(random_scene(random, **options) for _ in range(images)), strict=True)
    return list(found), list(truths)
