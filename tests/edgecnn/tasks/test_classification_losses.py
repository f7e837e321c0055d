import keras
import numpy as np
import pytest

from edgecnn.tasks.classification.losses import DistanceCrossentropy, NearestAccuracy

DISTANCES = np.array([[1.0, 3.0], [2.0, 0.0]], np.float32)


def test_distance_crossentropy_is_small_for_the_nearest():
    # softmax(-1, -3) = (0.8808, 0.1192); softmax(-2, 0) = (0.1192, 0.8808)
    loss = DistanceCrossentropy()
    assert float(loss(np.array([0, 1]), DISTANCES)) == pytest.approx(-np.log(0.880797), rel=1e-5)
    assert float(loss(np.array([1, 1]), DISTANCES)) == pytest.approx(-np.log(0.119203 * 0.880797) / 2, rel=1e-5)


def test_nearest_accuracy_counts_the_smallest_distance():
    accuracy = NearestAccuracy(name="accuracy")
    accuracy.update_state(np.array([0, 1]), DISTANCES)
    accuracy.update_state(np.array([1, 0]), DISTANCES)
    accuracy.update_state(np.array([0, 0]), DISTANCES)
    assert float(accuracy.result()) == 0.5


def test_loss_and_metric_come_back_with_a_saved_model(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", loss=DistanceCrossentropy(), metrics=[NearestAccuracy(name="accuracy")])
    model.fit(DISTANCES, np.array([0, 1]), verbose=0)
    before = model.evaluate(DISTANCES, np.array([0, 1]), verbose=0)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").evaluate(DISTANCES, np.array([0, 1]), verbose=0) == before
