"""Every row of the catalogue, by existing: a new row is tested without a new test."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from edgecnn.errors import UnknownModelError, UsageError  # noqa: E402
from edgecnn.models import CATALOG, ModelSpec, build_manifest, build_model, get_spec  # noqa: E402
from edgecnn.models.adapter import KerasModel  # noqa: E402
from edgecnn.models.loading import load_keras  # noqa: E402
from edgecnn_exporters import export  # noqa: E402
from edgecnn_runtime import Predictor  # noqa: E402

ROWS = [pytest.param(spec, id=spec.name) for spec in CATALOG.values()]
NARROW = 0.25


def narrow(spec: ModelSpec, *, classes: int = 3) -> keras.Model:
    return build_model(spec.name, num_classes=classes, width=NARROW, seed=1)


def batch_of(spec: ModelSpec, count: int, image_size: tuple[int, int] | None = None) -> np.ndarray:
    shape = (count, *(image_size or spec.image_size), spec.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_has_the_published_parameters(spec: ModelSpec) -> None:
    model = build_model(spec.name)
    assert model.count_params() == spec.parameters
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == spec.trainable_parameters


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_begins_with_pixels_and_ends_with_the_declared_outputs(spec: ModelSpec) -> None:
    model = build_model(spec.name)
    manifest = build_manifest(spec, None)
    assert model.inputs[0].name == "image"
    assert model.inputs[0].dtype == "uint8"
    assert "normalization" in [layer.name for layer in model.layers]
    assert model.output_names == [output.name for output in manifest.outputs]
    assert [tuple(tensor.shape[1:]) for tensor in model.outputs] == [output.shape for output in manifest.outputs]


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_builds_at_its_smallest_size_and_not_below(spec: ModelSpec) -> None:
    smallest = (spec.smallest_size, spec.smallest_size)
    model = build_model(spec.name, image_size=smallest, num_classes=2, width=NARROW)
    assert model(batch_of(spec, 1, smallest)).shape == (1, 2)
    with pytest.raises(UsageError, match="expected an image size of at least"):
        build_model(spec.name, image_size=(spec.smallest_size - 1, spec.smallest_size))


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_names_every_layer(spec: ModelSpec) -> None:
    first, second = build_model(spec.name, width=NARROW), build_model(spec.name, width=NARROW)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_gives_the_same_weights_for_the_same_seed(spec: ModelSpec) -> None:
    weights = [narrow(spec).get_weights() for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_gives_a_gradient_for_every_variable(spec: ModelSpec) -> None:
    import tensorflow as tf

    model = narrow(spec)
    with tf.GradientTape() as tape:
        logits = model(batch_of(spec, 4), training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([0, 1, 2, 1]), logits)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_survives_the_keras_round_trip(spec: ModelSpec, tmp_path) -> None:
    model = narrow(spec)
    model.save(tmp_path / "model.keras")
    pixels = batch_of(spec, 2)
    assert np.array_equal(model(pixels), load_keras(tmp_path / "model.keras")(pixels))


@pytest.mark.slow
@pytest.mark.parametrize("spec", ROWS)
def test_build_model_overfits_one_batch(spec: ModelSpec) -> None:
    keras.utils.set_random_seed(1)
    model = narrow(spec)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    pixels, class_ids = batch_of(spec, 12), np.arange(12) % 3
    model.fit(pixels, class_ids, batch_size=12, epochs=150, verbose=0)
    assert (np.argmax(model(pixels), axis=1) == class_ids).all()


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_exports_to_a_file_that_answers_alike(spec: ModelSpec, tmp_path) -> None:
    model = narrow(spec)
    manifest = build_manifest(spec, ("a", "b", "c"), width=NARROW)
    reference = KerasModel(model, manifest)
    export(model, manifest, tmp_path / "model.onnx", reference=reference, evaluation=None)
    pixels = batch_of(spec, 1)
    expected = reference.run({"image": pixels})["logits"]
    received = Predictor.load(tmp_path / "model.onnx", device="cpu").session.run({"image": pixels})["logits"]
    assert np.abs(received - expected).max() <= 1e-4 * np.abs(expected).max()


def test_catalog_rows_are_named_once_and_cite_a_reference() -> None:
    assert all(name == spec.name and spec.reference and spec.summary for name, spec in CATALOG.items())


def test_get_spec_lists_near_names_when_unknown() -> None:
    with pytest.raises(UnknownModelError, match="did you mean mnist_convnet"):
        get_spec("mnist_convnett")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_classes": 0}, "at least 1 class"), ({"width": 0.0}, "above 0"), ({"width": float("nan")}, "above 0")],
)
def test_build_model_refuses_impossible_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model("mnist_convnet", **options)  # type: ignore[arg-type]
