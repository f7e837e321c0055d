from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from edgecnn.data.narrowing import largest_boxes  # noqa: E402
from edgecnn.data.shapes import read_shapes  # noqa: E402
from edgecnn.data.targets import Boxes, ClassIds, Objects  # noqa: E402
from edgecnn.models import build_manifest, get_spec  # noqa: E402
from edgecnn.tasks.localization.losses import encode, encoded_iou, loss_weights, losses, metrics  # noqa: E402
from edgecnn.tasks.localization.outputs import arrays  # noqa: E402
from edgecnn_runtime.preprocessing import Placement, Preprocessor  # noqa: E402
from edgecnn_runtime.tasks.boxes import iou  # noqa: E402
from edgecnn_runtime.tasks.table import decode  # noqa: E402

SIZE = (40, 60)
SPEC = get_spec("resnet34_localizer")


def test_arrays_gives_classes_and_boxes_in_pixels_of_the_input():
    targets = Boxes((Objects.of([(10, 20, 30, 40)], [1]), Objects.of([(0, 0, 5, 10)], [0])))
    placements = [Placement((80, 60), (0.5, 0.5), (0.0, 5.0)), Placement((10, 10), (4.0, 6.0), (0.0, 0.0))]
    found = arrays(targets, placements)
    assert (found["class_ids"].tolist(), found["class_ids"].dtype) == ([1, 0], np.int64)
    assert (found["boxes"].tolist(), found["boxes"].dtype) == ([[10, 10, 20, 20], [0, 0, 30, 40]], np.float32)


def test_arrays_takes_no_images():
    assert {name: array.shape for name, array in arrays(Boxes(()), []).items()} == {"class_ids": (0,), "boxes": (0, 4)}


@pytest.mark.parametrize("image", [Objects.of([], []), Objects.of([(0, 0, 1, 1)] * 2, [0, 0])])
def test_arrays_refuses_images_without_one_object(image):
    with pytest.raises(ValueError, match="expected one object an image"):
        arrays(Boxes((image,)), [Placement((10, 10), (1.0, 1.0), (0.0, 0.0))])


def test_arrays_refuses_classes():
    with pytest.raises(TypeError, match="expected boxes, received ClassIds"):
        arrays(ClassIds(np.array([0])), [])


@given(
    size=st.tuples(st.integers(16, 300), st.integers(16, 300)),
    fit=st.sampled_from(["stretch", "letterbox", "center_crop"]),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_encode_is_undone_by_the_runtime(size, fit, corners):
    """A network that gives what it was taught finds the box in the displayed image, as far as it was shown."""
    options = {"letterbox": {"pad_value": 0}, "center_crop": {"crop_fraction": 0.875}}.get(fit, {})
    manifest = build_manifest(SPEC, None, image_size=SIZE, num_classes=2)
    image = replace(manifest.image_input, resize=fit, **options)
    manifest = replace(manifest, inputs=(image,))
    (height, width), (left, right), (top, bottom) = size, sorted(corners[:2]), sorted(corners[2:])
    box = np.float32([left * width, top * height, right * width, bottom * height])
    _, placement = Preprocessor(image)(np.zeros((*size, 3), np.uint8))
    taught = arrays(Boxes((Objects.of([box], [1]),)), [placement])
    seen = placement.to_image(taught["boxes"].reshape(2, 2).clip(0, SIZE[::-1])).reshape(4)
    if min(seen[2:] - seen[:2]) < 1:
        return  # of less than a pixel, which becomes one
    answers = {name: np.asarray(values) for name, values in encode(taught, SIZE).items()}
    outputs = {"logits": np.eye(2, dtype=np.float32)[answers["logits"]], "boxes": answers["boxes"]}
    (result,) = decode(manifest, outputs, [placement])
    np.testing.assert_allclose(result.box, seen, atol=1e-3 * max(size))
    if fit != "center_crop":
        np.testing.assert_allclose(result.box, box, atol=1e-3 * max(size))


def test_encode_gives_hand_computed_numbers_for_one_image_and_for_many():
    boxes = tf.constant([[15.0, 0.0, 30.0, 20.0], [-30.0, 10.0, 30.0, 400.0]])
    many = encode({"class_ids": tf.constant([1, 0]), "boxes": boxes}, SIZE)
    expected = [[0.375, 0.25, 0.5, 0.5**0.5], [0.25, 0.625, 0.5**0.5, 0.75**0.5]]
    np.testing.assert_allclose(many["boxes"], expected, rtol=1e-6)
    one = encode({"class_ids": tf.constant(1), "boxes": boxes[0]}, SIZE)
    np.testing.assert_allclose(one["boxes"], expected[0], rtol=1e-6)
    assert (many["logits"].numpy().tolist(), int(one["logits"])) == ([1, 0], 1)


def test_encode_of_a_box_that_the_input_does_not_show_is_finite():
    found = encode({"class_ids": tf.constant(0), "boxes": tf.constant([-9.0, 50.0, -3.0, 70.0])}, SIZE)["boxes"]
    assert found.numpy().tolist() == [0, 1, 0, 0]


def test_encoded_iou_is_that_of_the_boxes():
    random = np.random.default_rng(0)
    centers, sides = random.uniform(0.3, 0.7, (50, 2, 2)), random.uniform(0.1, 0.6, (50, 2, 2))
    first, second = (
        np.concatenate([centers[:, i] - sides[:, i] / 2, centers[:, i] + sides[:, i] / 2], -1) for i in (0, 1)
    )
    encoded = [np.concatenate([centers[:, i], np.sqrt(sides[:, i])], -1) for i in (0, 1)]
    np.testing.assert_allclose(encoded_iou(*encoded), iou(first, second), atol=1e-6)
    empty = np.float32([[0.5, 0.5, 0, 0]])
    assert float(encoded_iou(empty, empty)[0]) == 0


@pytest.mark.parametrize("class_weight", [-0.1, 1.1, float("nan")])
def test_loss_weights_refuses_what_is_no_part(class_weight):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        loss_weights(class_weight)


def test_the_loss_is_the_weighted_sum_of_cross_entropy_and_squared_error():
    image = keras.Input((4,), name="image")
    outputs = [keras.layers.Dense(2, name="logits")(image), keras.layers.Dense(4, name="boxes")(image)]
    model = keras.Model(image, outputs)
    model.compile(loss=losses(), loss_weights=loss_weights(), metrics=metrics())
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    truths = {"logits": np.arange(8) % 2, "boxes": np.random.default_rng(1).uniform(size=(8, 4)).astype(np.float32)}
    logits, boxes = (np.asarray(values) for values in model(x))
    likelihood = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropy = -np.log(likelihood[np.arange(8), truths["logits"]]).mean()
    found = model.evaluate(x, truths, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(0.8 * entropy + 0.2 * np.square(boxes - truths["boxes"]).mean(), rel=1e-5)
    assert found["logits_accuracy"] == pytest.approx((logits.argmax(axis=1) == truths["logits"]).mean())
    assert found["boxes_mean_iou"] == pytest.approx(float(np.mean(encoded_iou(truths["boxes"], boxes))), rel=1e-5)


def test_what_shapes_teach_is_what_their_boxes_say():
    part = largest_boxes(read_shapes(1)).test
    placements = [Placement((96, 128), (40 / 96, 60 / 128), (0.0, 0.0))] * len(part)
    taught = encode(arrays(part.targets, placements), SIZE)
    center_x, _, root_width, _ = taught["boxes"].numpy()[7]
    box = part.targets.images[7].boxes[0]
    assert center_x == pytest.approx((box[0] + box[2]) / 2 / 128, rel=1e-5)
    assert root_width**2 == pytest.approx((box[2] - box[0]) / 128, rel=1e-5)
