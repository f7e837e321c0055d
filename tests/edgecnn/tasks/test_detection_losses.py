from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from edgecnn.data.shapes import read_shapes  # noqa: E402
from edgecnn.data.targets import Boxes, ClassIds, Objects  # noqa: E402
from edgecnn.models.layers import image_input, scaled_around_zero  # noqa: E402
from edgecnn.tasks.detection.first_anchors import fit  # noqa: E402
from edgecnn.tasks.detection.losses import SharedIoU, YoloLoss, parts_of_loss  # noqa: E402
from edgecnn.tasks.detection.outputs import arrays  # noqa: E402
from edgecnn.tasks.detection.targets import encoder  # noqa: E402
from edgecnn.tasks.detection.trainee import trainee  # noqa: E402
from edgecnn.training.augmenting import with_boxes  # noqa: E402
from edgecnn.training.config import TrainConfig  # noqa: E402
from edgecnn_runtime.decoders import OutputSpec, YoloDecoder, YoloScale  # noqa: E402
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo  # noqa: E402
from edgecnn_runtime.preprocessing import Placement  # noqa: E402
from edgecnn_runtime.tasks.boxes import iou  # noqa: E402
from edgecnn_runtime.tasks.table import decode  # noqa: E402

SIZE = (64, 96)
CLASSES = 3
SCALES = (
    YoloScale("scale_8", 8, ((6.0, 7.0), (12.0, 8.0))),
    YoloScale("scale_16", 16, ((18.0, 30.0), (40.0, 22.0), (50.0, 60.0))),
)


def random_arrays(random, *, images=4, places=12):
    """Boxes of all sizes, some of them on the same centre, some not learned, and empty places."""
    first = random.uniform(0, 0.8, (images, places, 2)) * SIZE[::-1]
    last = first + np.exp(random.uniform(0.5, 4, (images, places, 2)))
    boxes = np.concatenate([first, np.minimum(last, SIZE[::-1])], axis=2).astype(np.float32)
    boxes[:, 1] = boxes[:, 0]
    class_ids = random.integers(-1, CLASSES, (images, places))
    boxes[:, -2:], class_ids[:, -2:] = 0, 0
    boxes[-1], class_ids[-1] = 0, 0
    return {"boxes": boxes, "class_ids": class_ids}


def placed(boxes, class_ids):
    """Returns {(scale's output, row, column, anchor): index of the box}, of one image, by loops."""
    answers = {}
    for index, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        if x2 <= x1 or class_ids[index] < 0:
            continue
        width, height, best = np.float32(x2) - np.float32(x1), np.float32(y2) - np.float32(y1), (-1.0,)
        for scale in SCALES:
            for anchor, (w, h) in enumerate(scale.anchors):
                shared = min(width, w) * min(height, h)
                overlap = shared / (width * height + w * h - shared)
                if overlap > best[0]:
                    column, row = (x1 + x2) / 2 // scale.stride, (y1 + y2) / 2 // scale.stride
                    row, column = (
                        min(int(row), SIZE[0] // scale.stride - 1),
                        min(int(column), SIZE[1] // scale.stride - 1),
                    )
                    best = (overlap, (scale.output, row, column, anchor))
        answers[best[1]] = index
    return answers


def random_outputs(random, images=4):
    return {
        scale.output: random.normal(
            0, 1, (images, SIZE[0] // scale.stride, SIZE[1] // scale.stride, len(scale.anchors), 5 + CLASSES)
        ).astype(np.float32)
        for scale in SCALES
    }


def test_arrays_fills_places_and_marks_what_is_not_learned():
    targets = Boxes(
        (
            Objects.of([(10, 20, 30, 40)], [1]),
            Objects.of([(0, 0, 5, 10), (1, 1, 2, 2), (0, 0, 10, 10)], [2, 0, 1], difficult=[False, True, False],
                       crowd=[False, False, True]),
            Objects.of([], []),
        )
    )  # fmt: skip
    places = [Placement((80, 60), (0.5, 0.5), (0.0, 5.0)), Placement((10, 10), (4.0, 6.0), (1.0, 0.0))]
    found = arrays(targets, [*places, places[0]])
    assert (found["boxes"].dtype, found["class_ids"].dtype) == (np.float32, np.int64)
    zeros = [0, 0, 0, 0]
    assert found["boxes"].tolist() == [
        [[10, 10, 20, 20], zeros, zeros],
        [[0, 1, 30, 41], [6, 5, 12, 9], [0, 1, 60, 41]],
        [zeros] * 3,
    ]
    assert found["class_ids"].tolist() == [[1, 0, 0], [2, -1, -1], [0, 0, 0]]


def test_arrays_takes_images_without_objects_and_refuses_classes():
    empty = arrays(Boxes((Objects.of([], []),)), [Placement((8, 8), (1.0, 1.0), (0.0, 0.0))])
    assert {name: array.shape for name, array in empty.items()} == {"boxes": (1, 1, 4), "class_ids": (1, 1)}
    assert arrays(Boxes(()), [])["boxes"].shape == (0, 1, 4)
    with pytest.raises(TypeError, match="expected boxes, received ClassIds"):
        arrays(ClassIds(np.array([0])), [])


def test_arrays_go_through_the_augmentation_of_boxes():
    box = [20.0, 10.0, 50.0, 40.0]
    found = {name: tf.constant(array) for name, array in arrays(
        Boxes((Objects.of([box, box], [1, 2], crowd=[False, True]), Objects.of([], []))),
        [Placement(SIZE, (1.0, 1.0), (0.0, 0.0))] * 2).items()}  # fmt: skip
    pixels = tf.zeros((2, *SIZE, 3), tf.uint8)
    change = with_boxes(("flip", "scale"), np.zeros((0,)))(np.random.default_rng(3))
    _, changed = change(pixels, found, tf.constant(0, tf.int64))
    assert changed["boxes"].shape == found["boxes"].shape
    assert not np.allclose(changed["boxes"][0], found["boxes"][0])
    np.testing.assert_allclose(changed["boxes"][0, 0], changed["boxes"][0, 1])
    assert not np.any(changed["boxes"][1])
    assert changed["class_ids"].numpy().tolist() == [[1, -1], [0, 0]]


@pytest.mark.parametrize("seed", range(6))
def test_encoder_places_boxes_as_loops_do_within_tf_data(seed):
    given = random_arrays(np.random.default_rng(seed))
    encode = encoder(SCALES)
    pipeline = tf.data.Dataset.from_tensors(given).map(lambda batch: encode(batch, SIZE))
    (targets,) = pipeline
    for index in range(len(given["boxes"])):
        found = {}
        for scale in SCALES:
            rows = targets[scale.output][index].numpy()
            assert rows.dtype == np.float32
            np.testing.assert_array_equal(rows[:, :4], given["boxes"][index])
            np.testing.assert_array_equal(rows[:, 4], given["class_ids"][index])
            found |= {(scale.output, *map(int, row[5:])): box for box, row in enumerate(rows) if (row[5:] >= 0).all()}
            assert ((rows[:, 5:] == -1).all(axis=1) | (rows[:, 5:] >= 0).all(axis=1)).all()
        assert found == placed(given["boxes"][index], given["class_ids"][index])
        assert not found or index < 3


def test_the_last_of_two_boxes_with_one_place_is_learned_whatever_the_scale():
    boxes = np.float32([[[8, 8, 14, 15], [9, 9, 15, 16], [9, 9, 29, 39], [0, 0, 0, 0]]])
    targets = encoder(SCALES)({"boxes": boxes, "class_ids": np.array([[0, 1, 2, 0]])}, SIZE)
    assert targets["scale_8"][0, :, 5:].numpy().tolist() == [[-1, -1, -1], [1, 1, 0], [-1, -1, -1], [-1, -1, -1]]
    assert targets["scale_16"][0, :, 5:].numpy().tolist() == [[-1, -1, -1], [-1, -1, -1], [1, 1, 0], [-1, -1, -1]]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def crossentropy(target, logit):
    target = float(target)
    return -target * np.log(sigmoid(logit)) - (1 - target) * np.log(1 - sigmoid(logit))


def expected_parts(given, outputs, scale, index):
    """Darknet's loss of one image and scale, by loops over cells."""
    raw, boxes, class_ids = (
        outputs[scale.output][index].astype(np.float64),
        given["boxes"][index],
        given["class_ids"][index],
    )
    places = placed(boxes, class_ids)
    parts = {"box": 0.0, "objectness": 0.0, "class": 0.0}
    for row, column, anchor in np.ndindex(raw.shape[:3]):
        tx, ty, tw, th, objectness, *classes = raw[row, column, anchor]
        width, height = scale.anchors[anchor]
        box = places.get((scale.output, row, column, anchor))
        if box is not None:
            x1, y1, x2, y2 = boxes[box].astype(np.float64)
            weight = 2 - (x2 - x1) * (y2 - y1) / (SIZE[0] * SIZE[1])
            parts["box"] += weight * crossentropy((x1 + x2) / 2 / scale.stride - column, tx)
            parts["box"] += weight * crossentropy((y1 + y2) / 2 / scale.stride - row, ty)
            parts["box"] += weight * (tw - np.log((x2 - x1) / width)) ** 2 / 2
            parts["box"] += weight * (th - np.log((y2 - y1) / height)) ** 2 / 2
            parts["objectness"] += crossentropy(1, objectness)
            parts["class"] += sum(crossentropy(class_ids[box] == i, logit) for i, logit in enumerate(classes))
            continue
        x, y = (column + sigmoid(tx)) * scale.stride, (row + sigmoid(ty)) * scale.stride
        w, h = width * np.exp(tw) / 2, height * np.exp(th) / 2
        answer, ignored = np.array([x - w, y - h, x + w, y + h]), False
        for truth, class_id in zip(boxes.astype(np.float64), class_ids, strict=True):
            if class_id >= 0:
                ignored |= bool(iou(answer, truth) > 0.7)
            else:
                inside = np.clip(np.minimum(answer[2:], truth[2:]) - np.maximum(answer[:2], truth[:2]), 0, None).prod()
                ignored |= bool(inside > 0.7 * 4 * w * h)
        if not ignored:
            parts["objectness"] += crossentropy(0, objectness)
    return parts


@pytest.mark.parametrize(("seed", "places"), [(0, 12), (1, 12), (2, 12), (3, 33), (4, 70)])
def test_loss_is_darknets_summed_over_the_image_in_the_mean_of_the_batch(seed, places):
    """Images of many boxes are compared with the predictions in parts."""
    random = np.random.default_rng(seed)
    given, outputs = random_arrays(random, places=places), random_outputs(random)
    targets = encoder(SCALES)(given, SIZE)
    for scale in SCALES:
        expected = [expected_parts(given, outputs, scale, index) for index in range(4)]
        found = parts_of_loss(targets[scale.output], tf.constant(outputs[scale.output]), scale)
        for part, values in found.items():
            np.testing.assert_allclose(values, [each[part] for each in expected], rtol=2e-4, atol=1e-3)
        total = np.mean([sum(each.values()) for each in expected])
        assert float(YoloLoss(scale)(targets[scale.output], outputs[scale.output])) == pytest.approx(total, rel=1e-4)


def test_a_prediction_near_a_box_or_within_a_group_is_not_blamed():
    scale = SCALES[1]
    raw = np.full((1, 4, 6, 3, 8), 0, np.float32)
    whole = float(parts_of_loss(np.zeros((1, 1, 8), np.float32), raw, scale)["objectness"][0])
    assert whole == pytest.approx(4 * 6 * 3 * np.log(2), rel=1e-6)
    near = np.float32([[[15, 9, 33, 39, 1, -1, -1, -1]]])  # the box of cell (1, 1) with anchor (18, 30)
    assert float(parts_of_loss(near, raw, scale)["objectness"][0]) == pytest.approx(whole - np.log(2), rel=1e-6)
    left, right = 1, 95  # one more pixel, and seven tenths of some predictions lay in it: nobody's word is good there
    group = np.float32([[[left, 0, right, 64, -1, -1, -1, -1]]])
    parts = [
        np.prod([
            max(0.0, min(16 * i + 8 + side / 2, last) - max(16 * i + 8 - side / 2, first)) / side
            for i, side, first, last in ((row, height, 0, 64), (column, width, left, right))
        ])
        for row, column in np.ndindex(4, 6)
        for width, height in scale.anchors
    ]  # fmt: skip
    assert min(abs(part - 0.7) for part in parts) > 0.01
    inside = sum(part > 0.7 for part in parts)
    assert 0 < inside < 72
    assert float(parts_of_loss(group, raw, scale)["objectness"][0]) == pytest.approx(
        whole - inside * np.log(2), rel=1e-6
    )


@pytest.mark.parametrize("magnitude", [0.0, 1.0, 300.0])
def test_loss_and_gradient_are_finite_without_boxes_and_with_huge_numbers(magnitude):
    random = np.random.default_rng(0)
    full, empty = random_arrays(random), random_arrays(random)
    empty = {name: np.zeros_like(array) for name, array in empty.items()}
    for given in (full, empty):
        targets = encoder(SCALES)(given, SIZE)
        for scale in SCALES:
            raw = tf.constant(random_outputs(random)[scale.output] * magnitude)
            metric = SharedIoU(scale)
            with tf.GradientTape() as tape:
                tape.watch(raw)
                loss = YoloLoss(scale)(targets[scale.output], raw)
            gradient = tape.gradient(loss, raw)
            metric.update_state(targets[scale.output], raw)
            assert np.isfinite(loss)
            assert np.isfinite(gradient).all()
            assert np.isfinite(metric.result())


def test_mean_iou_sums_over_the_scales_to_the_mean_of_all_objects():
    random = np.random.default_rng(1)
    given, outputs = random_arrays(random), random_outputs(random)
    targets, ious, objects = encoder(SCALES)(given, SIZE), 0.0, 0
    for index, (boxes, class_ids) in enumerate(zip(given["boxes"], given["class_ids"], strict=True)):
        objects += sum(box[2] > box[0] and class_id >= 0 for box, class_id in zip(boxes, class_ids, strict=True))
        for (output, row, column, anchor), box in placed(boxes, class_ids).items():
            (scale,) = (scale for scale in SCALES if scale.output == output)
            tx, ty, tw, th = outputs[output][index, row, column, anchor, :4].astype(np.float64)
            x, y = (column + sigmoid(tx)) * scale.stride, (row + sigmoid(ty)) * scale.stride
            w, h = np.array(scale.anchors[anchor]) * np.exp([tw, th])
            ious += float(iou(np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), boxes[box]))
    shares = []
    for scale in SCALES:
        metric = SharedIoU(scale)
        for half in (slice(0, 1), slice(1, 4)):
            metric.update_state(targets[scale.output][half], outputs[scale.output][half])
        shares.append(float(metric.result()))
    assert sum(shares) == pytest.approx(ious / objects, rel=1e-5)
    assert min(shares) > 0


def manifest_of(size, scales, labels):
    units = 5 + len(labels)
    return Manifest(
        task="detection",
        model=ModelInfo(name="made_up", width=1.0),
        inputs=(ImageInput(name="image", height=size[0], width=size[1], color="rgb"),),
        labels=labels,
        decoder=YoloDecoder(scales),
        outputs=tuple(
            OutputSpec(s.output, (size[0] // s.stride, size[1] // s.stride, len(s.anchors), units)) for s in scales
        ),
    )


STEPS = 600  # with a rate that decays: at a constant one the last steps throw the boxes about


def small_detector(manifest):
    """Three convolutions, the last two of which answer."""
    image = image_input(manifest.image_input.height and (manifest.image_input.height, manifest.image_input.width), 3)
    x, answers = scaled_around_zero(image), []
    for filters, stride, scale in zip((24, 48), (8, 2), manifest.outputs, strict=True):
        x = layers.Conv2D(filters * 2, 2 * stride + 1, stride, "same", activation="leaky_relu")(x)
        y = layers.Conv2D(int(np.prod(scale.shape[2:])), 1)(x)
        answers.append(layers.Reshape(scale.shape, name=scale.name)(y))
    return keras.Model(image, answers)


@pytest.fixture
def learned():
    """Four images, the manifest that fits them, and the arrays that are learned of them."""
    part = read_shapes().train[:4]
    manifest = fit(manifest_of((96, 128), SCALES, part.labels), part, config=TrainConfig("made_up", "shapes"))
    placements = [Placement((96, 128), (1.0, 1.0), (0.0, 0.0))] * 4
    return part, manifest, arrays(part.targets, placements), placements


def taught(manifest):
    made = trainee(small_detector(manifest), None, manifest, TrainConfig("made_up", "shapes"))
    made.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.002, STEPS)))
    return made


@pytest.mark.slow
def test_trainee_shows_the_parts_summed_over_the_scales_and_its_losses_survive_saving(learned, tmp_path):
    part, manifest, given, _ = learned
    made = taught(manifest)
    targets = made.targets({name: tf.constant(array) for name, array in given.items()}, (96, 128))
    logs = made.model.evaluate(part.sources, targets, batch_size=4, verbose=0, return_dict=True)
    shown = made.shown(logs, [output.name for output in manifest.outputs])
    assert list(shown) == ["loss", "mean_iou", "box", "objectness", "class"]
    assert shown["loss"] == pytest.approx(shown["box"] + shown["objectness"] + shown["class"], rel=1e-4)
    assert 0 < shown["mean_iou"] < 1
    made.model.optimizer.build(made.model.trainable_variables)  # as the first step does; Keras asks for them again
    made.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.evaluate(part.sources, targets, batch_size=4, verbose=0, return_dict=True)
    assert again == pytest.approx(logs, rel=1e-5)


@pytest.mark.slow
def test_a_small_detector_learns_four_images_by_heart(learned):
    keras.utils.set_random_seed(0)
    part, manifest, given, placements = learned
    made = taught(manifest)
    targets = made.targets({name: tf.constant(array) for name, array in given.items()}, (96, 128))
    batch = tf.data.Dataset.from_tensors((part.sources, targets)).repeat(STEPS)
    logs = made.model.fit(batch, epochs=1, shuffle=False, verbose=0).history
    raw = dict(zip(made.model.output_names, made.model.predict(part.sources, verbose=0), strict=True))
    strict = replace(manifest, decoder=replace(manifest.decoder, score_threshold=0.5))
    for result, truth in zip(decode(strict, raw, placements), part.targets.images, strict=True):
        overlaps = iou(result.boxes[:, np.newaxis], truth.boxes)
        assert len(result.boxes) == len(truth), logs
        assert sorted(overlaps.argmax(axis=1)) == list(range(len(truth)))
        assert overlaps.max(axis=1).min() > 0.9
        assert result.class_ids.tolist() == truth.class_ids[overlaps.argmax(axis=1)].tolist()
