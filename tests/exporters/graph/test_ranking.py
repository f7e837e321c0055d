"""TensorFlow's suppression of many images in ONNX's operators: against TensorFlow, whatever is to be kept."""

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx

from edgecnn_exporters.graph.ranking import ranking_handlers

BOXES, COUNT = 30, 8


def suppressed(boxes, scores):
    return tf.image.combined_non_max_suppression(
        boxes[:, :, tf.newaxis], scores[..., tf.newaxis], COUNT, COUNT, 0.5, 0.0, clip_boxes=False
    )


@pytest.fixture(scope="module")
def converted():
    signature = [tf.TensorSpec((None, BOXES, 4)), tf.TensorSpec((None, BOXES))]
    function = tf.function(lambda boxes, scores: list(suppressed(boxes, scores)))
    model, _ = tf2onnx.convert.from_function(function, signature, opset=17, custom_op_handlers=ranking_handlers())
    return model


def drawn(images, likely):
    """Boxes and scores, of which a part is below the threshold."""
    random = np.random.default_rng(images)
    corners = random.uniform(0, 40, (images, BOXES, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 30, (images, BOXES, 2))], axis=-1).astype(np.float32)
    ranks = random.permuted(np.arange(images * BOXES)).reshape(images, BOXES) + 1
    return boxes, np.where(random.uniform(size=ranks.shape) < likely, ranks, -1).astype(np.float32)


def test_there_is_no_loop_and_few_operators(converted):
    names = [node.op_type for node in converted.graph.node]
    assert not {"Loop", "If", "Scan"} & set(names)
    assert names.count("NonMaxSuppression") == 1
    assert len(names) < 30


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("likely", [1.0, 0.2, 0.0])
def test_the_graph_keeps_what_tensorflow_keeps(converted, images, likely):
    boxes, scores = drawn(images, likely)
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    received = session.run(None, dict(zip(names, (boxes, scores), strict=True)))
    for found, expected in zip(received, suppressed(boxes, scores), strict=True):
        assert np.array_equal(found, expected)
    assert (received[3] > 0).all() == (likely > 0)


@pytest.mark.parametrize("classes", [1, 3])
def test_clipped_boxes_and_several_classes_are_left_to_tf2onnx(classes):
    boxes, _ = drawn(2, 1.0)
    boxes, scores = boxes / 70, np.random.default_rng(0).uniform(size=(2, BOXES, classes)).astype(np.float32)

    def suppress(boxes, scores):
        return list(tf.image.combined_non_max_suppression(boxes[:, :, tf.newaxis], scores, COUNT, COUNT, 0.5, 0.1))

    signature = [tf.TensorSpec((None, BOXES, 4)), tf.TensorSpec((None, BOXES, classes))]
    model, _ = tf2onnx.convert.from_function(
        tf.function(suppress), signature, opset=17, custom_op_handlers=ranking_handlers()
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    received = session.run(None, dict(zip([one.name for one in session.get_inputs()], (boxes, scores), strict=True)))
    for found, expected in zip(received, suppress(boxes, scores), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
