import numpy as np

from edgecnn.models import CATALOG, build_manifest, build_model
from edgecnn.models.adapter import KerasModel
from edgecnn.models.layers.digit_bitmaps import digit_bitmaps
from edgecnn_runtime.preprocessing import Preprocessor
from edgecnn_runtime.tasks.table import decode

SPEC = CATALOG["lenet5"]


def test_lenet5_has_the_parameters_of_each_layer_of_the_paper() -> None:
    model = build_model("lenet5")
    counts = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164, "distances": 840}


def test_lenet5_connects_each_map_as_the_table_of_the_paper() -> None:
    table = build_model("lenet5").get_layer("c3").table
    assert [len(seen) for seen in table] == [3] * 6 + [4] * 9 + [6]
    assert [sum(source in seen for seen in table) for source in range(6)] == [10] * 6


def test_lenet5_pads_with_background_and_scales_ink() -> None:
    model = build_model("lenet5")
    scaled = model.get_layer("normalization")(model.get_layer("padding")(np.full((1, 28, 28, 1), 255, dtype=np.uint8)))
    scaled = np.asarray(scaled)[0, :, :, 0]
    np.testing.assert_allclose(scaled[[0, 1, 2, 29, 30], 16], [-0.1, -0.1, 1.175, 1.175, -0.1], atol=1e-6)


def test_lenet5_has_digits_as_prototypes_for_ten_classes_and_signs_for_others() -> None:
    (prototypes,) = build_model("lenet5").get_layer("distances").get_weights()
    assert np.array_equal(prototypes, digit_bitmaps())
    first, second = (build_model("lenet5", num_classes=3).get_layer("distances").get_weights()[0] for _ in range(2))
    assert set(np.unique(first)) == {-1.0, 1.0}
    assert np.array_equal(first, second)


def test_lenet5_gives_the_nearest_prototype_the_highest_score() -> None:
    model, manifest = build_model("lenet5", seed=1), build_manifest(SPEC, [str(digit) for digit in range(10)])
    assert (manifest.decoder.kind, manifest.decoder.output) == ("distance", "distances")
    pixels, placement = Preprocessor(manifest.image_input)(np.random.default_rng(0).integers(0, 256, (28, 28), "uint8"))
    outputs = KerasModel(model, manifest).run({"image": pixels})
    (result,) = decode(manifest, outputs, [placement])
    assert result.class_id == np.argmin(outputs["distances"])
    assert np.array_equal(np.argsort(result.scores), np.argsort(-outputs["distances"][0]))
