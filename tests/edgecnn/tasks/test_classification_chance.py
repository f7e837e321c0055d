import numpy as np
import pytest

from edgecnn.data.samples import Samples
from edgecnn.data.targets import ClassIds
from edgecnn.evaluation import evaluate
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.tasks.classification.chance import explain_near_chance, is_near_chance
from edgecnn.tasks.classification.metric import score_answers
from edgecnn_runtime.manifest import ImageInput

LABELS = ("ant", "bee", "cat", "dog", "emu")


class Rule:
    """Answers by a rule over the pixels, (N, 8, 8, C) as float, that gives logits (N, 5)."""

    def __init__(self, rule):
        self.rule = rule

    def run(self, feeds):
        (pixels,) = feeds.values()
        return {"logits": self.rule(pixels.astype(np.float32))}


def brightest_column(pixels):
    return pixels[..., 0].mean(axis=1)[:, :5]


def manifest_of(labels=LABELS, color="gray"):
    manifest = build_manifest(get_spec("fashion_cnn"), labels, image_size=(8, 8))
    object.__setattr__(manifest, "inputs", (ImageInput("image", 8, 8, color),))
    return manifest


@pytest.fixture
def samples():
    """Sixty images of five classes; class i is bright in column i."""
    random = np.random.default_rng(0)
    class_ids = np.arange(60) % 5
    pixels = random.integers(0, 60, (60, 8, 8), np.uint8)
    pixels[np.arange(60), :, class_ids] = 220
    return Samples(pixels, ClassIds(class_ids), LABELS, "test")


def explained(rule, samples, manifest=None):
    manifest = manifest or manifest_of()
    model = Rule(rule)
    return explain_near_chance(evaluate(model, manifest, samples), model, manifest, samples)


def test_explain_near_chance_is_silent_about_a_good_model(samples):
    assert explained(brightest_column, samples) is None


def test_explain_near_chance_names_the_order_of_labels(samples):
    said = explained(lambda pixels: np.roll(brightest_column(pixels), 2, axis=1), samples)
    assert "accuracy 0.0000 is near chance" in said
    assert "With the model's labels in the order dog, emu, ant, bee, cat it would be 1.0000" in said


def test_explain_near_chance_names_colours_as_bgr(samples):
    red = np.zeros((60, 8, 8, 3), np.uint8)
    red[..., 0] = samples.sources
    blue = Samples(red[..., ::-1], ClassIds(samples.targets.ids), LABELS, "test")
    said = explained(brightest_column, blue, manifest_of(color="rgb"))
    assert "with the colours as BGR instead of RGB it would be 1.0000" in said
    assert "order" not in said


def test_explain_near_chance_names_pixels_that_are_not_scaled(samples):
    saturated = explained(lambda pixels: np.minimum(brightest_column(pixels), 1), samples)
    assert "with pixels from 0 to 1 instead of 0 to 255" in saturated
    assert "it would be 1.0000" in saturated


def test_explain_near_chance_names_a_negative(samples):
    assert "with dark and light exchanged it would be 1.0" in explained(
        lambda pixels: -brightest_column(pixels), samples
    )


def test_explain_near_chance_lists_causes_where_nothing_helps(samples):
    said = explained(lambda pixels: np.random.default_rng(1).normal(size=(len(pixels), 5)).astype("f4"), samples)
    for cause in ("labels in another order", "BGR", "scaled twice or not at all", "never trained"):
        assert cause in said


@pytest.mark.parametrize(("images", "classes"), [(30, 10), (60, 40), (300, 10), (1000, 100)])
@pytest.mark.parametrize("seed", range(5))
def test_explain_near_chance_takes_no_luck_for_an_order(images, classes, seed):
    """The best of all orders makes even random answers look better: of 30 images and 10 classes, .4 on average."""
    random = np.random.default_rng(seed)
    labels = tuple(str(number) for number in range(classes))
    evaluation = score_answers(
        np.arange(images) % classes, random.integers(0, classes, images), num_classes=classes, labels=labels
    )
    samples = Samples(np.zeros((images, 8, 8), np.uint8), ClassIds(np.arange(images) % classes), labels, "test")
    model = Rule(lambda pixels: np.zeros((len(pixels), classes), np.float32))
    if is_near_chance(evaluation):
        assert "in the order" not in explain_near_chance(evaluation, model, manifest_of(labels), samples)


def scored(true, answered, classes):
    return score_answers(np.array(true), np.array(answered), num_classes=classes, labels=None)


@pytest.mark.parametrize(
    ("true", "answered", "classes", "near"),
    [
        ([0, 1] * 50, [0] * 100, 2, True),  # one answer to everything
        ([0] * 90 + [1] * 10, [0] * 100, 2, True),  # which of images of mostly one class is right nine times in ten
        ([0] * 90 + [1] * 10, [0] * 85 + [1] * 15, 2, False),  # 95 of 100 right, and both classes known
        ([0, 1] * 50, [0, 1] * 35 + [1, 0] * 15, 2, False),  # .7 of two classes is no chance
        ([0, 1] * 50, [1, 0] * 50, 2, True),
        (list(range(10)) * 10, list(range(10)) * 3 + [0] * 70, 10, False),  # .37, where chance is .1
        (list(range(10)) * 10, list(range(10)) + [0] * 90, 10, True),  # .19
        (list(range(10)) * 2, [9] * 20, 10, False),  # too few images to say so
        ([0] * 100, [1] * 100, 2, False),  # one class alone
    ],
    ids=str,
)
def test_is_near_chance_goes_by_the_recall_of_the_classes(true, answered, classes, near):
    assert is_near_chance(scored(true, answered, classes)) is near
