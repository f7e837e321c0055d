"""Every row of the catalogue, by existing: a new row is tested without a new test."""

import numpy as np
import onnx
import pytest

keras = pytest.importorskip("keras")

from edgecnn.errors import UnknownModelError, UsageError  # noqa: E402
from edgecnn.models import CATALOG, ModelSpec, build_manifest, build_model, get_spec  # noqa: E402
from edgecnn.models.adapter import KerasModel  # noqa: E402
from edgecnn.models.backbone import backbone_layers  # noqa: E402
from edgecnn.models.loading import load_keras  # noqa: E402
from edgecnn_exporters import export  # noqa: E402
from edgecnn_runtime import Predictor  # noqa: E402

LIGHT = 2_000_000  # parameters; heavier rows take seconds to build, so their tests are slow
NARROW = 0.25
ROWS = [
    pytest.param(spec, id=spec.name, marks=[pytest.mark.slow] if spec.parameters > LIGHT else [])
    for spec in CATALOG.values()
]


def small_size(spec: ModelSpec) -> tuple[int, int]:
    side = min(spec.image_size[0], max(spec.smallest_size, 28))
    return side, side


def width(spec: ModelSpec) -> float:
    return NARROW if spec.scalable else 1.0


def narrow(spec: ModelSpec) -> keras.Model:
    return build_model(spec.name, image_size=small_size(spec), num_classes=3, width=width(spec), seed=1)


def batch_of(spec: ModelSpec, count: int, image_size: tuple[int, int] | None = None) -> np.ndarray:
    shape = (count, *(image_size or small_size(spec)), spec.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def scores(spec: ModelSpec, outputs: object) -> object:
    """What cross-entropy takes: the smallest distance scores highest."""
    return -outputs if spec.decoder == "distance" else outputs


def cross_entropy(spec: ModelSpec):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return lambda class_ids, outputs: loss(class_ids, scores(spec, outputs))


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
    model = build_model(spec.name, image_size=smallest, num_classes=2, width=width(spec))
    assert model(batch_of(spec, 1, smallest)).shape == (1, 2)
    with pytest.raises(UsageError, match="expected an image size of at least"):
        build_model(spec.name, image_size=(spec.smallest_size - 1, spec.smallest_size))


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_names_every_layer(spec: ModelSpec) -> None:
    first, second = narrow(spec), narrow(spec)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_ends_its_backbone_with_a_map_before_the_head(spec: ModelSpec) -> None:
    if spec.backbone is None:
        with pytest.raises(UsageError, match="has no backbone"):
            backbone_layers(narrow(spec), spec)
    else:
        backbone = backbone_layers(narrow(spec), spec)
        assert len(backbone[-1].output.shape) == 4
        assert not any(isinstance(layer, keras.layers.Dense) for layer in backbone)


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_takes_another_width_only_where_the_row_says_so(spec: ModelSpec) -> None:
    if spec.scalable:
        assert narrow(spec).count_params() < spec.parameters
    else:
        with pytest.raises(UsageError, match=r"expected a width multiplier of 1\.0, received 0\.25"):
            build_model(spec.name, width=0.25)


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_gives_the_same_weights_for_the_same_seed(spec: ModelSpec) -> None:
    weights = [narrow(spec).get_weights() for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_gives_a_gradient_for_every_variable(spec: ModelSpec) -> None:
    import tensorflow as tf

    model = narrow(spec)
    with tf.GradientTape() as tape:
        outputs = model(batch_of(spec, 4), training=True)
        loss = cross_entropy(spec)(np.array([0, 1, 2, 1]), outputs)
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
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # its statistics must settle within the few steps
    rate = 1e-4 if spec.name.startswith("vgg") else 1e-3  # without batch norm a deep network bears no more
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=cross_entropy(spec))
    pixels, class_ids = batch_of(spec, 12), np.arange(12) % 3
    model.fit(pixels, class_ids, batch_size=12, epochs=100, verbose=0)
    assert (np.argmax(scores(spec, np.asarray(model(pixels))), axis=1) == class_ids).all()


@pytest.mark.parametrize("spec", ROWS)
def test_build_model_exports_to_a_file_that_answers_alike(spec: ModelSpec, tmp_path) -> None:
    model = narrow(spec)
    manifest = build_manifest(spec, ("a", "b", "c"), image_size=small_size(spec), width=width(spec))
    assert_exported_alike(spec, model, manifest, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ROWS)
def test_build_model_exports_at_its_published_size(spec: ModelSpec, tmp_path) -> None:
    assert_exported_alike(spec, build_model(spec.name, seed=1), build_manifest(spec, None), tmp_path)


def assert_exported_alike(spec: ModelSpec, model: keras.Model, manifest: object, folder) -> None:
    path = folder / "model.onnx"
    reference = KerasModel(model, manifest)
    export(model, manifest, path, reference=reference, evaluation=None)
    assert not {node.op_type for node in onnx.load(path).graph.node} & {"Loop", "If", "Scan"}
    pixels = batch_of(spec, 1, tuple(model.inputs[0].shape[1:3]))
    (expected,) = reference.run({"image": pixels}).values()
    predictor = Predictor.load(path, device="cpu")
    (received,) = predictor.session.run({"image": pixels}).values()
    assert np.abs(received - expected).max() <= 1e-4 * np.abs(expected).max()
    assert predictor.predict(pixels[0]).class_id == np.argmax(scores(spec, expected))


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
