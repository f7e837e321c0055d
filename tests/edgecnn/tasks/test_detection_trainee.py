"""How a detector is taught: in which sizes, and whether a model of another size than its input is what is saved."""

import numpy as np
import pytest

from edgecnn.errors import UsageError
from edgecnn.models import build_manifest, get_spec
from edgecnn.models.build import build_model
from edgecnn.tasks.detection.outputs import input_sizes
from edgecnn.tasks.detection.trainee import trainee
from edgecnn.training.config import TrainConfig
from edgecnn.training.network import inference_model


def manifest_of(size=(96, 128)):
    return build_manifest(get_spec("yolov3_tiny"), ("a", "b"), image_size=size, width=0.05)


@pytest.mark.parametrize(
    ("size", "sides", "expected"),
    [
        ((416, 416), (320, 608), [(side, side) for side in range(320, 609, 32)]),
        ((416, 416), (321, 383), [(352, 352)]),
        ((96, 128), (64, 192), [(64, 64), (64, 96), (96, 128), (128, 160), (128, 192)]),
        ((32, 128), (32, 64), [(32, 32), (32, 64)]),
    ],
)
def test_sizes_are_multiples_of_the_coarsest_cell_and_about_the_inputs_proportion(size, sides, expected):
    assert input_sizes(manifest_of(size), sides) == expected


def test_sides_without_a_multiple_of_the_coarsest_cell_are_refused():
    with pytest.raises(UsageError, match=r"multi_scale: expected sides with a multiple of 32 .*, received 33,63"):
        input_sizes(manifest_of(), (33, 63))


@pytest.mark.slow
def test_a_trainee_of_many_sizes_learns_from_each_of_them_and_is_saved_in_the_manifests():
    manifest, config = manifest_of(), TrainConfig("yolov3_tiny", "unused", multi_scale=(64, 192))
    model = build_model("yolov3_tiny", image_size=(96, 128), num_classes=2, width=0.05, seed=0)
    taught = trainee(model, get_spec("yolov3_tiny"), manifest, config)
    taught.compile("sgd")
    boxes = np.float32([[[8, 8, 40, 40]]])
    for size in taught.sizes:
        targets = taught.targets({"boxes": boxes, "class_ids": np.array([[1]])}, size)
        before = [weight.copy() for weight in model.get_weights()]
        logs = taught.model.train_on_batch(np.full((1, *size, 3), 9, np.uint8), targets, return_dict=True)
        assert np.isfinite(logs["loss"])
        assert any((one != other).any() for one, other in zip(before, model.get_weights(), strict=True))
    saved = inference_model(taught.model, manifest)
    assert [shape[1:] for shape in saved.output_shape] == [spec.shape for spec in manifest.outputs]
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    for given, expected in zip(saved(image), model(image), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-5)
