"""What a detector's held-out part scores after an epoch is what `evaluate` says of the same weights."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecnn.cli import main
from edgecnn.data.cache import cached_pixels
from edgecnn.data.samples import Samples
from edgecnn.data.targets import Boxes, Objects
from edgecnn.evaluation import evaluate
from edgecnn.models import build_model
from edgecnn.models.adapter import KerasModel
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.tasks.detection.first_anchors import fit
from edgecnn.training import RunFolder, TrainConfig
from edgecnn.training.judging import EpochJudge

SIZE = (32, 64)  # height, width of the network's input
SHAPES = [(40, 40), (90, 30), (20, 80), (64, 128), (50, 70)]  # of pictures, so that each lies elsewhere in it
LABELS = ("disc", "square")


def draw(count, seed):
    """Large squares of two colours in pictures of several shapes, as encoded images and what is in them."""
    random = np.random.default_rng(seed)
    sources, objects = [], []
    for index in range(count):
        height, width = SHAPES[index % len(SHAPES)]
        pixels = random.integers(0, 60, (height, width, 3), dtype=np.uint8)
        x, y = (int(random.integers(0, side // 4)) for side in (width, height))
        part = float(random.uniform(0.5, 0.7))
        x2, y2 = x + int(width * part), y + int(height * part)
        class_id = int(random.integers(2))
        pixels[y:y2, x:x2, class_id] = 220
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        sources.append(buffer.getvalue())
        objects.append(Objects.of([(x, y, x2, y2)], [class_id]))
    return sources, objects


def test_judge_says_what_evaluate_says_of_those_images_and_weights(tmp_path):
    sources, objects = draw(23, 1)
    samples = Samples(tuple(sources), Boxes(tuple(objects)), LABELS, "train")
    manifest = build_manifest(get_spec("yolov3_tiny"), LABELS, image_size=SIZE, width=0.05)
    manifest = fit(manifest, samples, config=TrainConfig("yolov3_tiny", "unused"))
    model = build_model("yolov3_tiny", image_size=SIZE, num_classes=2, width=0.05, seed=4)
    (part,) = cached_pixels([samples], manifest.image_input, tmp_path, fingerprint="f")
    chosen = np.random.default_rng(0).permutation(23)[:17]
    judge = EpochJudge(model, manifest, part=part, targets=samples.targets, positions=chosen, batch_size=4)
    scores = []
    for shift in (0.0, 0.3):  # the same judge sees how the weights change
        model.set_weights(
            [weight + shift * np.sin(np.arange(weight.size)).reshape(weight.shape) for weight in model.get_weights()]
        )
        expected = evaluate(KerasModel(model, manifest), manifest, samples.subset(chosen), batch_size=5).ap50
        assert judge() == {"ap50": pytest.approx(expected, abs=1e-6)}
        scores.append(expected)
    assert scores[0] > 0
    assert scores[0] != scores[1]
    unplaced = replace(part, placements=[part.placements[0]] * len(samples))
    wrong = EpochJudge(model, manifest, part=unplaced, targets=samples.targets, positions=chosen, batch_size=4)
    assert wrong()["ap50"] != pytest.approx(scores[1], abs=1e-6)


@pytest.fixture
def yolo_data(tmp_path):
    """A YOLO data set with a val part of its own."""
    root = tmp_path / "set"
    for name, count, seed in (("train", 30, 1), ("val", 12, 2)):
        for folder in ("images", "labels"):
            (root / folder / name).mkdir(parents=True)
        for index, (source, image) in enumerate(zip(*draw(count, seed), strict=True)):
            (root / "images" / name / f"{index:02}.png").write_bytes(source)
            height, width = SHAPES[index % len(SHAPES)]
            x1, y1, x2, y2 = image.boxes[0] / np.array([width, height] * 2)
            row = [image.class_ids[0], (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
            (root / "labels" / name / f"{index:02}.txt").write_text(" ".join(map(str, row)))
    names = "".join(f"  {number}: {label}\n" for number, label in enumerate(LABELS))
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames:\n{names}")
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [[], ["--ema", "0.8", "--multi-scale", "64,128"]],  # averages are judged, at the manifest's size
    ids=["plain", "averages"],
)
def test_a_detector_is_scored_by_ap50_after_each_epoch_and_keeps_the_best(yolo_data, tmp_path, capfd, more):
    run_dir = tmp_path / "run"
    options = ["--width", "0.05", "--image-size", "32,64", "--epochs", "6", "--batch-size", "8", "--seed", "2", *more]
    train = ["train", "yolov3_tiny", "--data", str(yolo_data), "-o", str(run_dir), "--learning-rate", "0.01", *options]
    assert main(train) == 0
    told = capfd.readouterr()
    history = RunFolder.open(run_dir).history
    scores = [row.val_metrics["ap50"] for row in history]
    assert [row.val_watched for row in history] == ["ap50"] * 6
    assert "ap50" not in history[0].metrics
    assert max(scores) > 0
    best = RunFolder.open(run_dir).best_epoch
    assert scores[best - 1] == max(scores)
    assert f"; the best is epoch {best}" in told.out
    assert f"ap50 {scores[0]:.4f}" in told.err
    for checkpoint, epoch in (("best", best), ("last", 6)):
        words = ["evaluate", str(run_dir), "--data", str(yolo_data), "--split", "val", "--format", "json"]
        assert main([*words, "--checkpoint", checkpoint]) == 0
        assert json.loads(capfd.readouterr().out)["ap50"] == pytest.approx(scores[epoch - 1], abs=1e-6)
