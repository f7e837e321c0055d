"""Every row of the catalogue, by existing: a new row is tested without a new test."""

import hashlib
import importlib
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

keras = pytest.importorskip("keras")

from edgecnn.data.scenes import KINDS, boxes_of, render  # noqa: E402
from edgecnn.data.shapes import scene_of  # noqa: E402
from edgecnn.data.targets import Boxes, Objects  # noqa: E402
from edgecnn.errors import UnknownModelError, UsageError  # noqa: E402
from edgecnn.models import (  # noqa: E402
    CATALOG,
    ModelSpec,
    build_manifest,
    build_model,
    faster_rcnn,
    get_spec,
    rcnn,
)
from edgecnn.models.adapter import KerasModel  # noqa: E402
from edgecnn.models.backbone import backbone_layers  # noqa: E402
from edgecnn.models.layers.upsampling import BilinearUp  # noqa: E402
from edgecnn.models.loading import load_keras  # noqa: E402
from edgecnn.tasks.detection.losses import OwnCost, YoloLoss  # noqa: E402
from edgecnn.tasks.detection.metric import AveragePrecision  # noqa: E402
from edgecnn.tasks.detection.outputs import arrays  # noqa: E402
from edgecnn.tasks.detection.targets import encoder  # noqa: E402
from edgecnn.tasks.localization.losses import encode, encoded_iou, loss_weights, losses  # noqa: E402
from edgecnn_exporters import CalibrationImages, QuantizationConfig, export  # noqa: E402
from edgecnn_exporters.proof.gates import RESULT_BUDGETS  # noqa: E402
from edgecnn_exporters.proof.synthetic import synthetic_images, synthetic_proposals, synthetic_questions  # noqa: E402
from edgecnn_runtime import Predictor  # noqa: E402
from edgecnn_runtime.inputs import Batch, Inputs, join  # noqa: E402
from edgecnn_runtime.preprocessing import Placement  # noqa: E402
from edgecnn_runtime.proposals import windows_over  # noqa: E402
from edgecnn_runtime.tasks.table import decode, get_task  # noqa: E402

LIGHT = 2_000_000  # parameters; heavier rows take seconds to build, so their tests are slow
NARROW = 0.25
PROVEN_ON = 8  # images, two of each kind; an export takes up to 32
MOST_EPOCHS = 100  # until a row knows its pictures by heart
LABELS = ("zero", "one", "two")
ROWS = [
    pytest.param(spec, id=spec.name, marks=[pytest.mark.slow] if spec.parameters > LIGHT else [])
    for spec in CATALOG.values()
]


@pytest.fixture(scope="module", params=ROWS)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return request.param


@pytest.fixture(scope="module")
def published(spec: ModelSpec) -> keras.Model:
    """At the published size; read only."""
    return with_scores(build_model(spec.name, seed=1))


@pytest.fixture(scope="module")
def narrow(spec: ModelSpec) -> keras.Model:
    """At a small size, and narrow where the row allows it; read only."""
    return with_scores(new_narrow(spec))


def new_narrow(spec: ModelSpec, image_size: tuple[int, int] | None = None) -> keras.Model:
    size = image_size or small_size(spec)
    return build_model(spec.name, image_size=size, num_classes=len(LABELS), width=width(spec), seed=1)


def with_scores(model: keras.Model) -> keras.Model:
    """Gives layers whose weights begin as zeros others: a network that answers with zeros alone would show nothing."""
    random = np.random.default_rng(2)
    for layer in model.layers:
        if (weights := layer.get_weights()) and not any(weight.any() for weight in weights):
            layer.set_weights([random.normal(0, 0.3, weight.shape) for weight in weights])
    return model


def small_size(spec: ModelSpec) -> tuple[int, int]:
    # of 32 pixels a deep network's last map has one cell: nine values, all but the same, for batch norm to divide by
    least = 64 if spec.parameters > LIGHT else 28
    side = min(spec.image_size[0], max(spec.smallest_size, least))
    whole = -(-side // spec.multiple_of) * spec.multiple_of
    return whole, whole


def width(spec: ModelSpec) -> float:
    return NARROW if spec.scalable else 1.0


def batch_of(spec: ModelSpec, count: int, image_size: tuple[int, int] | None = None) -> np.ndarray:
    shape = (count, *(image_size or small_size(spec)), spec.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def fed(spec: ModelSpec, pixels: np.ndarray, first_words: np.ndarray | None = None) -> object:
    """What a model takes: pixels, and seeded questions of 1 to 50 words, which may begin so, or windows."""
    manifest = build_manifest(spec, None)
    text, regions = manifest.text_input, manifest.proposals_input
    if regions is not None:
        return [pixels, looked_at(regions.count, [windows_over(pixels.shape[1:3])[:6]] * len(pixels))]
    if text is None:
        return pixels
    random, ids = np.random.default_rng(0), np.zeros((len(pixels), text.length), np.int32)
    for row in ids:
        words = random.integers(1, 50, random.integers(1, 50))
        row[: len(words)] = words
    if first_words is not None:
        ids[:, 0] = 2 + first_words
    return [pixels, ids]


def looked_at(count: int, boxes: list[np.ndarray]) -> np.ndarray:
    """The boxes of each picture in as many places, zeros behind."""
    taken = np.zeros((len(boxes), count, 4), np.float32)
    for row, some in zip(taken, boxes, strict=True):
        row[: len(some)] = some
    return taken


def digits(spec: ModelSpec) -> tuple[np.ndarray, np.ndarray]:
    """Twelve real zeros, ones and twos at the row's small size, and their class ids."""
    height, width_px = small_size(spec)
    images, class_ids = (array[:30] for array in load_digits(return_X_y=True))
    chosen = np.flatnonzero(class_ids < len(LABELS))[:12]
    pixels = (images[chosen].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    resized = [np.asarray(Image.fromarray(image).resize((width_px, height))) for image in pixels]
    return np.repeat(np.stack(resized)[..., np.newaxis], spec.channels, axis=-1), class_ids[chosen]


class Lesson:
    """What a model is taught by: itself, from pictures alone, unless a lesson says otherwise."""

    spec: ModelSpec
    first_words: np.ndarray | None = None  # of the questions about `pictures`

    def learner(self, model: keras.Model) -> keras.Model:
        return model

    def taken(self, pixels: np.ndarray) -> object:
        """What it takes while it learns."""
        return self.asked(pixels)

    def asked(self, pixels: np.ndarray) -> object:
        """What it takes to answer."""
        return fed(self.spec, pixels, self.first_words)


class Classifying(Lesson):
    """What a classifier is taught in these tests, and whether it knows it."""

    most_epochs = MOST_EPOCHS

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.image_size = spec, small_size(spec)
        self.sign = -1 if build_manifest(spec, None).decoder.kind == "distance" else 1  # the smallest scores highest
        self.output = build_manifest(spec, None).decoder.output

    def pictures(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        pixels, class_ids = digits(self.spec)
        return pixels, self.truths(class_ids, self.image_size)

    def truths(self, class_ids: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        del image_size
        return {self.output: class_ids}

    def losses(self) -> tuple[dict[str, object], dict[str, float]]:
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return {self.output: lambda class_ids, outputs: entropy(class_ids, self.sign * outputs)}, {self.output: 1.0}

    def knows(self, outputs: dict[str, np.ndarray], truths: dict[str, np.ndarray]) -> bool:
        return bool((np.argmax(self.sign * outputs[self.output], axis=1) == truths[self.output]).all())


def boxes_of_classes(class_ids: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """A box an image: each class stands in a place of its own."""
    left, top = 0.1 + 0.2 * class_ids, 0.3 - 0.1 * class_ids
    return np.stack([left, top, left + 0.4, top + 0.5], axis=1) * np.array(image_size[::-1] * 2)


class Locating(Lesson):
    """What a localizer is taught."""

    most_epochs = MOST_EPOCHS

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.image_size = spec, small_size(spec)

    def pictures(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        pixels, class_ids = digits(self.spec)
        return pixels, self.truths(class_ids, self.image_size)

    def truths(self, class_ids: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        boxes = boxes_of_classes(class_ids, image_size)
        return {
            name: np.asarray(values)
            for name, values in encode({"class_ids": class_ids, "boxes": boxes}, image_size).items()
        }

    def losses(self) -> tuple[dict[str, object], dict[str, float]]:
        return losses(), loss_weights()

    def knows(self, outputs: dict[str, np.ndarray], truths: dict[str, np.ndarray]) -> bool:
        right = (np.argmax(outputs["logits"], axis=1) == truths["logits"]).all()
        return bool(right and (np.asarray(encoded_iou(truths["boxes"], outputs["boxes"])) > 0.75).all())


class Detecting(Lesson):
    """What a detector is taught: all shapes in four pictures."""

    most_epochs = 400
    most = 6  # objects in a picture

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.image_size = spec, (96, 128)  # of the pictures
        self.manifest = build_manifest(spec, LABELS, image_size=self.image_size, width=width(spec))
        self.scales = getattr(self.manifest.decoder, "scales", ())

    def pictures(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        scenes = [scene_of("train", index, self.most) for index in range(4)]
        self.objects = [
            Objects.of(boxes_of(scene).tolist(), [KINDS.index(shape.kind) % len(LABELS) for shape in scene.shapes])
            for scene in scenes
        ]
        self.places = [Placement(self.image_size, (1.0, 1.0), (0.0, 0.0))] * len(scenes)
        return np.stack([render(scene) for scene in scenes]), self._encoded(
            arrays(Boxes(tuple(self.objects)), self.places), self.image_size
        )

    def truths(self, class_ids: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        boxes = boxes_of_classes(class_ids, image_size)[:, np.newaxis]
        return self._encoded({"boxes": boxes, "class_ids": class_ids[:, np.newaxis]}, image_size)

    def _encoded(self, taught: dict[str, np.ndarray], image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {name: np.asarray(rows) for name, rows in encoder(self.scales)(taught, image_size).items()}

    def losses(self) -> tuple[dict[str, object], dict[str, float]]:
        return {scale.output: YoloLoss(scale) for scale in self.scales}, {scale.output: 1.0 for scale in self.scales}

    def knows(self, outputs: dict[str, np.ndarray], truths: dict[str, np.ndarray]) -> bool:
        del truths
        metric = AveragePrecision(self.manifest)
        metric.update(decode(metric.manifest, outputs, self.places), self.objects)
        return metric.value() == 1.0


class Proposing(Detecting):
    """The same of a detector that proposes regions: another model on its layers learns, from the objects themselves.

    In a cell of 16 pixels two of the smallest objects, of 8, have one best anchor, so the pictures show fewer.
    """

    most = 2

    def learner(self, model: keras.Model) -> keras.Model:
        return faster_rcnn.that_learns(model, len(LABELS))

    def taken(self, pixels: np.ndarray) -> object:
        return [pixels, self.given["boxes"], self.given["class_ids"]]

    def _encoded(self, taught: dict[str, np.ndarray], image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        del image_size
        self.given = taught
        return {"proposing": np.zeros(len(taught["boxes"])), "deciding": np.zeros(len(taught["boxes"]))}

    def losses(self) -> tuple[dict[str, object], dict[str, float]]:
        return {"proposing": OwnCost(), "deciding": OwnCost()}, {"proposing": 1.0, "deciding": 1.0}


class Regarding(Proposing):
    """The same of a detector that looks at given regions: some that are a tenth beside the objects, and windows."""

    def learner(self, model: keras.Model) -> keras.Model:
        return rcnn.that_learns(model, len(LABELS))

    def asked(self, pixels: np.ndarray) -> object:
        boxes = [one.boxes for one in self.objects]
        beside = [some + 0.1 * np.tile(some[:, 2:] - some[:, :2], 2) * [1, -1, 1, -1] for some in boxes]
        return [pixels, looked_at(300, [np.concatenate([some, windows_over(self.image_size)[:59]]) for some in beside])]

    def losses(self) -> tuple[dict[str, object], dict[str, float]]:
        return {"deciding": OwnCost()}, {"deciding": 1.0}


class Segmenting(Lesson):
    """What a network is taught that answers for every pixel: quarters and halves of four pictures, a tone a class."""

    most_epochs = MOST_EPOCHS * 2
    tones = np.array([(60, 90, 120), (230, 200, 40), (140, 20, 200)])  # of the ground and of two classes

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.image_size = spec, (64, 64)

    def pictures(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        maps = np.zeros((4, *self.image_size), np.int64)
        maps[0, :32, :32], maps[0, 32:, 32:] = 1, 2
        maps[1, :32, 32:], maps[1, 32:, 32:] = 2, 1
        maps[2, 32:, :32], maps[3, :32] = 1, 2
        noise = np.random.default_rng(0).normal(0, 12, (*maps.shape, 3))
        pixels = np.clip(self.tones[maps] + noise, 0, 255)
        pixels = pixels.mean(axis=-1, keepdims=True) if self.spec.channels == 1 else pixels
        return pixels.astype(np.uint8), {"logits": maps}

    def truths(self, class_ids: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """A map an image: its class on the left, ground on the right."""
        height, width_px = image_size
        maps = np.zeros((len(class_ids), height, width_px), np.int64)
        maps[:, :, : width_px // 2] = class_ids[:, np.newaxis, np.newaxis]
        return {"logits": maps}

    def losses(self) -> tuple[dict[str, object], dict[str, float]]:
        return {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}, {"logits": 1.0}

    def knows(self, outputs: dict[str, np.ndarray], truths: dict[str, np.ndarray]) -> bool:
        answers, maps = np.argmax(outputs["logits"], axis=-1), truths["logits"]
        both = [((answers == c) & (maps == c)).sum() for c in range(len(LABELS))]
        either = [((answers == c) | (maps == c)).sum() for c in range(len(LABELS))]
        return bool(np.mean(np.divide(both, either)) > 0.999)  # int8 must give the same, pixel by pixel


class Answering(Classifying):
    """What a network is taught that answers questions: what is to be counted on from the digit, the first word says."""

    most_epochs = 2 * MOST_EPOCHS

    def pictures(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        pixels, class_ids = digits(self.spec)
        self.first_words = np.arange(len(class_ids)) // 3 % len(LABELS)
        return pixels, self.truths((class_ids + self.first_words) % len(LABELS), self.image_size)


LESSONS = {
    "classification": Classifying,
    "question": Answering,
    "localization": Locating,
    "detection": Detecting,
    "segmentation": Segmenting,
}


def lesson_of(spec: ModelSpec) -> Lesson:
    if spec.learns_from:
        return Regarding(spec) if build_manifest(spec, None).proposals_input else Proposing(spec)
    return LESSONS[spec.task](spec)


def by_name(model: keras.Model, outputs: object) -> dict[str, object]:
    return dict(zip(model.output_names, keras.tree.flatten(outputs), strict=True))


def test_build_model_has_the_published_parameters(spec: ModelSpec, published: keras.Model) -> None:
    assert published.count_params() == spec.parameters
    trainable = sum(int(np.prod(weight.shape)) for weight in published.trainable_weights)
    assert trainable == spec.trainable_parameters


def test_build_model_begins_with_pixels_and_ends_with_the_declared_outputs(
    spec: ModelSpec, published: keras.Model
) -> None:
    manifest = build_manifest(spec, None)
    assert [tensor.name for tensor in published.inputs] == [one.name for one in manifest.inputs]
    assert published.inputs[0].name == "image"
    assert published.inputs[0].dtype == "uint8"
    assert "normalization" in [layer.name for layer in published.layers]
    assert published.output_names == [output.name for output in manifest.outputs]
    assert [tuple(tensor.shape[1:]) for tensor in published.outputs] == [output.shape for output in manifest.outputs]


def test_build_model_builds_at_its_smallest_size_and_not_below(spec: ModelSpec) -> None:
    smallest = (spec.smallest_size, spec.smallest_size)
    model = build_model(spec.name, image_size=smallest, num_classes=2, width=width(spec))
    declared = build_manifest(spec, None, image_size=smallest, num_classes=2, width=width(spec)).outputs
    answers = by_name(model, model(fed(spec, batch_of(spec, 1, smallest))))
    assert {name: tuple(values.shape) for name, values in answers.items()} == {
        output.name: (1, *output.shape) for output in declared
    }
    with pytest.raises(UsageError, match="expected an image size of at least"):
        build_model(spec.name, image_size=(spec.smallest_size - 1, spec.smallest_size))


def test_build_model_gives_the_same_names_and_weights_for_the_same_seed(spec: ModelSpec, narrow: keras.Model) -> None:
    again = with_scores(new_narrow(spec))
    assert [layer.name for layer in again.layers] == [layer.name for layer in narrow.layers]
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), narrow.get_weights(), strict=True))


def begins_bilinear(layer: keras.Layer) -> bool:
    return isinstance(getattr(layer, "kernel_initializer", None), BilinearUp)


def test_build_model_begins_no_two_layers_with_the_same_numbers(narrow: keras.Model) -> None:
    """Also not of other sizes or scales: layers that share a seed begin with one row of numbers, cut and scaled."""
    kernels = {
        layer.name: layer.get_weights()[0].reshape(-1)[:64].astype(np.float64)
        for layer in narrow.layers
        if layer.get_weights() and not begins_bilinear(layer)
    }
    rows = [(name, row) for name, row in kernels.items() if len(row) == 64 and row.std() > 0]
    alike = np.corrcoef([row for _, row in rows]) if len(rows) > 1 else np.eye(len(rows))
    pairs = np.argwhere(np.triu(np.abs(alike), k=1) > 0.9)  # of independent ones it is seven deviations
    assert [(rows[first][0], rows[second][0]) for first, second in pairs] == []


def test_build_model_ends_its_backbone_with_a_map_before_the_head(spec: ModelSpec, narrow: keras.Model) -> None:
    if spec.backbone is None:
        with pytest.raises(UsageError, match="has no backbone"):
            backbone_layers(narrow, spec)
    else:
        backbone = backbone_layers(narrow, spec)
        assert len(backbone[-1].output.shape) == 4
        assert not any(isinstance(layer, keras.layers.Dense) for layer in backbone)


def test_build_model_takes_another_width_only_where_the_row_says_so(spec: ModelSpec, narrow: keras.Model) -> None:
    if spec.scalable:
        assert narrow.count_params() < spec.parameters
    else:
        with pytest.raises(UsageError, match=r"expected a width multiplier of 1\.0, received 0\.25"):
            build_model(spec.name, width=0.25)


def test_build_model_gives_a_gradient_for_every_variable(spec: ModelSpec, narrow: keras.Model) -> None:
    import tensorflow as tf

    lesson = lesson_of(spec)
    (taught, weights), truths = lesson.losses(), lesson.truths(np.array([0, 1, 2, 1]), small_size(spec))
    learner = lesson.learner(narrow)
    assert {id(variable) for variable in learner.variables} >= {id(variable) for variable in narrow.variables}
    with tf.GradientTape() as tape:
        outputs = by_name(learner, learner(lesson.taken(batch_of(spec, 4)), training=True))
        loss = sum(weights[name] * taught[name](truths[name], outputs[name]) for name in weights)
    gradients = tape.gradient(loss, [variable.value for variable in narrow.trainable_variables])
    assert not any(gradient is None for gradient in gradients)
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


def test_build_model_survives_the_keras_round_trip(spec: ModelSpec, narrow: keras.Model, tmp_path) -> None:
    narrow.save(tmp_path / "model.keras")
    taken = fed(spec, batch_of(spec, 2))
    before, after = (by_name(model, model(taken)) for model in (narrow, load_keras(tmp_path / "model.keras")))
    assert all(np.array_equal(before[name], after[name]) for name in before | after)


@pytest.fixture(scope="module")
def learned(spec: ModelSpec) -> tuple[keras.Model, Lesson, np.ndarray, dict[str, np.ndarray]]:
    """A model after its lesson, which ends once it knows all of it: the model, the lesson, its pictures, the truths."""
    keras.utils.set_random_seed(1)
    lesson = lesson_of(spec)
    model = new_narrow(spec, lesson.image_size)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8  # its statistics must settle: after 50 steps 1e-5 is left of those at first
    # without batch norm a deep network bears no more
    rate = 1e-4 if spec.application in ("VGG16", "VGG19") else 1e-3
    taught, weights = lesson.losses()
    learner = lesson.learner(model)
    losses, loss_weights = ([by_output[name] for name in learner.output_names] for by_output in (taught, weights))
    learner.compile(optimizer=keras.optimizers.Adam(rate), loss=losses, loss_weights=loss_weights)
    pixels, truths = lesson.pictures()
    taken = lesson.taken(pixels)
    for _ in range(lesson.most_epochs // 10):
        learner.fit(taken, [truths[name] for name in learner.output_names], batch_size=12, epochs=10, verbose=0)
        if lesson.knows(answers_of(model, lesson.asked(pixels)), truths):
            break
    return model, lesson, pixels, truths


def answers_of(model: keras.Model, asked: object) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in by_name(model, model(asked)).items()}


@pytest.mark.slow
def test_build_model_learns_pictures_by_heart(learned: tuple) -> None:
    model, lesson, pixels, truths = learned
    assert lesson.knows(answers_of(model, lesson.asked(pixels)), truths)


class Agreeing:
    """A metric: how many results are like the source's own, which stand for what the data say."""

    name = "agreement"

    def __init__(self, manifest: object) -> None:
        self.manifest, self._same = manifest, []

    def update(self, results: list, truths: list) -> None:
        agreement = get_task(self.manifest.task).agreement
        self._same += [float(agreement(*pair).same) for pair in zip(truths, results, strict=True)]

    def value(self) -> float:
        return float(np.mean(self._same))

    def scores(self) -> np.ndarray:
        return np.array(self._same)


@pytest.mark.slow
def test_build_model_in_int8_answers_what_it_learned(spec: ModelSpec, learned: tuple, tmp_path) -> None:
    model, lesson, pixels, _ = learned
    labels = [f"class {number}" for number in range(len(LABELS))]
    manifest = build_manifest(spec, labels, image_size=lesson.image_size, width=width(spec))
    asked = lesson.asked(pixels)
    feeds = dict(zip(manifest.inputs, asked if isinstance(asked, list) else [asked], strict=True))
    feeds = {one.name: values for one, values in feeds.items()}
    places = [Placement(lesson.image_size, (1.0, 1.0), (0.0, 0.0))] * len(pixels)
    reference = KerasModel(model, manifest)
    own = reference.results(reference.run(feeds), places)
    export(
        model,
        manifest,
        tmp_path / "model.onnx",
        reference=reference,
        evaluation=[Batch(feeds, places, own)],
        metric=lambda: Agreeing(manifest),
        golden_samples=0,  # pictures in JPEG, of which it has learned nothing
        calibration=CalibrationImages([feeds]),
        quantization=QuantizationConfig("int8", max_drop=0.25, min_speedup=0.0),
    )
    predictor = Predictor.load(tmp_path / "model.onnx", device="cpu")
    assert predictor.evidence.precision == "int8"
    answers = get_task(spec.task).decode(manifest, predictor.run(feeds), places)
    metric = Agreeing(manifest)
    metric.update(own, answers)
    assert metric.value() >= 0.75


def test_build_model_exports_to_a_file_that_answers_alike(spec: ModelSpec, narrow: keras.Model, tmp_path) -> None:
    manifest = build_manifest(spec, LABELS, image_size=small_size(spec), width=width(spec))
    assert_exported_alike(spec, narrow, manifest, tmp_path)


@pytest.mark.slow
def test_build_model_exports_at_its_published_size(spec: ModelSpec, published: keras.Model, tmp_path) -> None:
    assert_exported_alike(spec, published, build_manifest(spec, None), tmp_path)


def assert_exported_alike(spec: ModelSpec, model: keras.Model, manifest: object, folder) -> None:
    path, inputs = folder / "model.onnx", Inputs(manifest)
    reference = KerasModel(model, manifest)
    pixels = np.concatenate(list(synthetic_images(manifest.image_input, count=PROVEN_ON)))
    questions = None if manifest.text_input is None else synthetic_questions(manifest.text_input, 2)
    regions = None if manifest.proposals_input is None else synthetic_proposals(pixels.shape[1:3])
    prepared = [one for image in pixels for one in inputs.of_questions(image, questions, proposals=regions)]
    batch = Batch(join([one.feeds for one in prepared]), [one.placement for one in prepared])
    export(model, manifest, path, reference=reference, evaluation=[batch])
    assert not {node.op_type for node in onnx.load(path).graph.node} & {"Loop", "If", "Scan"}
    predictor, task = Predictor.load(path, device="cpu"), get_task(spec.task)
    photo, question = load_sample_image("china.jpg"), questions and questions[1]  # 427 x 640
    looked_at = None if regions is None else synthetic_proposals(photo.shape[:2])
    shown = predictor.inputs(photo, question, proposals=looked_at)
    expected, received = reference.run(shown.feeds), predictor.session.run(shown.feeds)
    assert list(received) == list(expected) == [output.name for output in manifest.outputs]
    if manifest.decoder.ranks():
        received = task.aligned(manifest, expected, received, exact=True)
    for name, values in expected.items():
        assert np.abs(received[name] - values).max() <= 1e-4 * np.abs(values).max()
    (own,) = reference.results(expected, [shown.placement])
    found = task.agreement(own, predictor.predict(photo, question, proposals=looked_at))
    assert found.same
    assert all(value <= RESULT_BUDGETS[name] for name, value in found.relative.items())


BUILT_ELSEWHERE = """
import hashlib, json, sys
from edgecnn.models import build_model
for name, size, width in json.loads(sys.argv[1]):
    model = build_model(name, image_size=tuple(size), num_classes=3, width=width, seed=1)
    print(hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest())
"""


@pytest.mark.slow
def test_build_model_gives_the_same_weights_for_the_same_seed_in_another_process() -> None:
    """Of each module of builders one row; here all modules have been loaded before the seed is set."""
    rows = {spec.builder.split(":")[0]: spec for spec in CATALOG.values()}.values()
    for spec in rows:
        importlib.import_module(spec.builder.split(":")[0])
    asked = json.dumps([(spec.name, small_size(spec), width(spec)) for spec in rows])
    command = [sys.executable, "-c", BUILT_ELSEWHERE, asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here = [hashlib.sha256(b"".join(w.tobytes() for w in new_narrow(spec).get_weights())).hexdigest() for spec in rows]
    assert dict(zip([spec.name for spec in rows], done.stdout.split(), strict=True)) == dict(
        zip([spec.name for spec in rows], here, strict=True)
    )


def test_catalog_rows_are_named_once_and_cite_a_reference() -> None:
    assert all(name == spec.name and spec.reference and spec.summary for name, spec in CATALOG.items())


def test_get_spec_lists_near_names_when_unknown() -> None:
    with pytest.raises(UnknownModelError, match="did you mean mnist_convnet"):
        get_spec("mnist_convnett")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_classes": 0}, "at least 2 classes"), ({"width": 0.0}, "above 0"), ({"width": float("nan")}, "above 0")],
)
def test_build_model_refuses_impossible_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model("mnist_convnet", **options)  # type: ignore[arg-type]
