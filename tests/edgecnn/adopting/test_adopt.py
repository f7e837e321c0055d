import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np
import pytest
from keras import layers
from own_models import LABELS, SIDE, colour_model, colours, logits_of_colours, taught, write_colours

from edgecnn.adopting import adopt as adopting
from edgecnn.adopting.adopt import Adoption, adopt
from edgecnn.adopting.config import AdoptConfig
from edgecnn.adopting.model_file import ModelFile
from edgecnn.adopting.plan import make_plan
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.evaluation.feature_maps import feature_maps
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.export import export_source
from edgecnn.trained import open_trained
from edgecnn_exporters.errors import ParityError
from edgecnn_runtime import Predictor
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS

PIXELS, CLASSES = colours(8, seed=5)


@pytest.fixture
def adopted(tmp_path):
    """Adopts a model, and gives what it came to."""

    def run(model: keras.Model | Path, **said) -> Adoption:
        path = model if isinstance(model, Path) else tmp_path / "own.keras"
        if isinstance(model, keras.Model):
            model.save(path)
        file = ModelFile(path, said.pop("architecture", None), said.pop("imports", ()))
        if "outputs" in said:
            said["outputs"] = MappingProxyType(said["outputs"])
        said.setdefault("labels", LABELS)
        return adopt(make_plan(AdoptConfig(file, **said)), tmp_path / "run")

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return str(write_colours(tmp_path_factory.mktemp("data") / "colours.npz"))


def answered(adoption: Adoption, pixels=PIXELS, **options) -> list:
    """Returns what the exported file answers."""
    path = adoption.run_dir.with_suffix(".onnx")
    export_source(ExportConfig(str(adoption.run_dir), **options), path)
    predictor = Predictor.load(path, device="cpu")
    return [predictor.predict(picture) for picture in pixels]


def scores(adoption: Adoption, pixels=PIXELS) -> np.ndarray:
    return np.array([result.scores for result in answered(adoption, pixels)])


@pytest.mark.parametrize(
    ("activation", "decoder"),
    [("softmax", "probabilities"), pytest.param(None, "softmax", marks=pytest.mark.slow), ("sigmoid", "probabilities")],
)
def test_a_file_answers_as_the_model_itself_does(adopted, activation, decoder):
    model = colour_model(activation=activation)
    adoption = adopted(model)
    assert adoption.fitted.manifest.decoder.kind == decoder
    expected = model.predict(PIXELS.astype(np.float32), verbose=0)
    if activation is None:
        expected = np.asarray(keras.ops.softmax(expected))
    np.testing.assert_allclose(scores(adoption), expected, atol=2e-6)
    assert (adoption.run_dir / "source.keras").read_bytes() == (adoption.run_dir.parent / "own.keras").read_bytes()


@pytest.mark.parametrize(
    "name", ["caffe", *(pytest.param(name, marks=pytest.mark.slow) for name in ("unit", "signed", "torch"))]
)
def test_pixels_become_what_keras_applications_makes_of_them(adopted, name):
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    model = keras.Model(image, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))
    modes = {"signed": "tf", "caffe": "caffe", "torch": "torch"}
    pixels = PIXELS.astype(np.float32)
    own = (
        pixels / 255 if name == "unit" else keras.applications.imagenet_utils.preprocess_input(pixels, mode=modes[name])
    )
    np.testing.assert_allclose(scores(adopted(model, pixels=name)), model.predict(own, verbose=0), atol=5e-5)


def test_numbers_and_blue_first_are_taken_in_the_networks_order(adopted):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Flatten(), layers.Dense(4, activation="softmax")])
    adoption = adopted(model, mean=(10.0, 20.0, 30.0), std=(200.0,), color="bgr")
    own = (PIXELS[..., ::-1] - np.array([10.0, 20.0, 30.0])) / 200
    np.testing.assert_allclose(scores(adoption), model.predict(own.astype(np.float32), verbose=0), atol=5e-6)


def reshaped(shape: tuple[int, ...], *inner: keras.Layer, **options) -> keras.Model:
    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input(shape, **options), *inner, layers.Flatten(), layers.Dense(4)])


def nested() -> keras.Model:
    keras.utils.set_random_seed(2)
    inner = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(2, 3, name="normalization")], name="image")
    image, shared = keras.Input((SIDE, SIDE, 3), name="logits"), layers.Conv2D(2, 3, padding="same")
    x = shared(shared(inner(image)))
    return keras.Model(image, layers.Dense(4, name="question")(layers.Flatten()(x)))


def with_random_layers() -> keras.Model:
    keras.utils.set_random_seed(2)
    return reshaped((SIDE, SIDE, 3), layers.RandomFlip(seed=1), layers.RandomContrast(0.5, seed=1), layers.Dropout(0.5))


FORMS = {
    "channels_first": (
        lambda: reshaped((3, SIDE, SIDE), layers.Permute((2, 3, 1)), layers.Conv2D(2, 3)),
        lambda pixels: pixels.transpose(0, 3, 1, 2),
        {},
    ),
    "any_size": (lambda: colour_model(inside=False, side=None), lambda pixels: pixels, {"image_size": (SIDE, SIDE)}),
    "uint8": (
        lambda: reshaped((SIDE, SIDE, 3), layers.Rescaling(1 / 255), dtype="uint8"),
        lambda pixels: pixels.astype(np.uint8),
        {"pixels": None},
    ),
    "nested": (nested, lambda pixels: pixels, {}),
    "random": (with_random_layers, lambda pixels: pixels, {}),
    "mixed": (
        lambda: reshaped((SIDE, SIDE, 3), layers.Conv2D(4, 3, dtype="mixed_float16")),
        lambda pixels: pixels,
        {},
    ),
}

OTHERS = ("any_size", "uint8", "random", "mixed")


@pytest.mark.parametrize(
    "form", ["channels_first", "nested", *(pytest.param(form, marks=pytest.mark.slow) for form in OTHERS)]
)
def test_every_form_of_input_and_layers_answers_alike(adopted, form):
    build, own, said = FORMS[form]
    model = build()
    adoption = adopted(model, **{"pixels": "raw", "decoder": "softmax" if form != "any_size" else None, **said})
    expected = model.predict(own(PIXELS.astype(np.float32)), verbose=0)
    if form != "any_size":
        expected = np.asarray(keras.ops.softmax(expected))
    np.testing.assert_allclose(scores(adoption), expected, atol=2e-2 if form == "mixed" else 2e-5)


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (SIDE * SIDE,)])
def test_rows_of_gray_pixels_are_taken(adopted, shape):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(4, activation="softmax")])
    adoption = adopted(model, pixels="unit", image_size=(SIDE, SIDE))
    gray = PIXELS[..., 0]
    np.testing.assert_allclose(
        scores(adoption, gray), model.predict(gray.reshape(-1, *shape) / np.float32(255), verbose=0), atol=5e-6
    )


def test_one_sigmoid_unit_scores_two_classes(adopted):
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    adoption = adopted(model, pixels="unit", labels=("cat", "dog"))
    own = model.predict(PIXELS / np.float32(255), verbose=0)
    np.testing.assert_allclose(scores(adoption), np.concatenate([1 - own, own], axis=1), atol=5e-6)


@pytest.mark.parametrize("suffix", [".h5", pytest.param(".weights.h5", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_hdf5_files_are_adopted_and_proven_from_their_copy(adopted, tmp_path, suffix):
    from keras.src.legacy.saving import legacy_h5_format

    model, path = colour_model(), tmp_path / f"own{suffix}"
    said = {}
    if suffix == ".h5":
        legacy_h5_format.save_model_to_hdf5(model, path, include_optimizer=False)
    else:
        model.save_weights(path)
        said["architecture"] = tmp_path / "own.json"
        said["architecture"].write_text(model.to_json())
    adoption = adopted(path, **said)
    path.unlink()
    np.testing.assert_allclose(scores(adoption), model.predict(PIXELS.astype(np.float32), verbose=0), atol=2e-6)


@pytest.mark.slow
def test_layers_of_ones_own_need_their_module_every_time(tmp_path):
    module = tmp_path / "mine.py"
    module.write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable(package='adopt_test')\n"
        "class Tripled(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return 3 * x\n"
        "@keras.saving.register_keras_serializable(package='adopt_test')\n"
        "class Own(keras.Model):\n"
        "    def __init__(self, **options):\n"
        "        super().__init__(**options)\n"
        "        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(4)\n"
        "    def call(self, x):\n"
        "        return self.dense(self.flat(x))\n"
    )
    scope: dict = {}
    exec(compile(module.read_text(), str(module), "exec"), scope)
    keras.utils.set_random_seed(5)
    tripled = keras.Sequential([keras.Input((SIDE, SIDE, 3)), scope["Tripled"](), layers.Flatten(), layers.Dense(4)])
    own_class = scope["Own"]()
    own_class(np.zeros((1, SIDE, SIDE, 3), np.float32))
    for number, model in enumerate((tripled, own_class)):
        expected = np.asarray(keras.ops.softmax(model.predict(PIXELS / np.float32(255), verbose=0)))
        model.save(tmp_path / f"m{number}.keras")
        file = ModelFile(tmp_path / f"m{number}.keras", imports=(str(module),))
        plan = make_plan(AdoptConfig(file, labels=LABELS, pixels="unit", image_size=(SIDE, SIDE)))
        adoption = adopt(plan, tmp_path / f"run{number}")
        with pytest.raises(UsageError, match=r"code of somebody's own.*give --import .*mine\.py"):
            answered(adoption)
        results = answered(adoption, imports=(str(module),))
        np.testing.assert_allclose([result.scores for result in results], expected, atol=5e-6)


def several(*heads: keras.KerasTensor, image: keras.KerasTensor) -> keras.Model:
    return keras.Model(image, list(heads))


def test_a_localizer_with_a_softmax_answers_with_its_classes_and_boxes(adopted):
    keras.utils.set_random_seed(6)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    model = keras.Model(
        image,
        [layers.Dense(4, activation="sigmoid", name="where")(x), layers.Dense(4, activation="softmax", name="what")(x)],
    )
    adoption = adopted(model, outputs={"boxes": "where", "logits": "what"})
    where, what = model.predict(PIXELS.astype(np.float32), verbose=0)
    for result, box, own in zip(answered(adoption), where, what, strict=True):
        np.testing.assert_allclose(result.scores, own, atol=5e-6)
        half = box[2:] ** 2 * SIDE / 2
        np.testing.assert_allclose(result.box, [*(box[:2] * SIDE - half), *(box[:2] * SIDE + half)], atol=1e-4)


@pytest.mark.parametrize(
    ("units", "activation"),
    [pytest.param(3, "softmax", marks=pytest.mark.slow), (1, "sigmoid"), pytest.param(3, None, marks=pytest.mark.slow)],
)
def test_a_segmenter_answers_with_the_class_of_every_pixel(adopted, units, activation):
    keras.utils.set_random_seed(7)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Conv2D(units, 3, padding="same", activation=activation)(x))
    adoption = adopted(model, labels=("none", "some") if units == 1 else ("a", "b", "c"))
    own = model.predict(PIXELS.astype(np.float32), verbose=0)
    expected = (own[..., 0] > 0.5) if units == 1 else own.argmax(axis=-1)
    for result, mask in zip(answered(adoption), expected, strict=True):
        np.testing.assert_array_equal(result.class_map, mask)
    kind = "score_map" if activation else "class_map"
    assert adoption.fitted.manifest.decoder.kind == kind


@pytest.mark.slow
def test_a_yolo_network_answers_by_its_anchors(adopted):
    from edgecnn.models import build_manifest, build_model, get_spec

    ours = build_model("yolov3_tiny", image_size=(64, 64), num_classes=2, width=0.125, seed=0)
    image = keras.Input((64, 64, 3))
    grids = [layers.Reshape((*grid.shape[1:3], 3 * 7))(grid) for grid in ours(keras.ops.cast(image, "uint8"))]
    model = keras.Model(image, grids)
    manifest = build_manifest(get_spec("yolov3_tiny"), ("a", "b"), image_size=(64, 64))
    anchors = tuple(anchor for scale in manifest.decoder.scales for anchor in scale.anchors)
    adoption = adopted(model, labels=("a", "b"), anchors=anchors, pixels="raw")
    assert adoption.fitted.manifest.decoder == manifest.decoder
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    answered(adoption, pixels)  # the proof of the export compares boxes with those of the model itself


@pytest.mark.slow
def test_a_model_that_answers_questions_takes_its_vocabulary(adopted):
    keras.utils.set_random_seed(8)
    words, image = keras.Input((5,), dtype="int32", name="words"), keras.Input((SIDE, SIDE, 3), name="picture")
    text = layers.Flatten()(layers.Embedding(6, 4)(words))
    seen = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    joined = layers.Concatenate()([layers.Dense(8)(seen), text])
    model = keras.Model([words, image], layers.Dense(3, activation="softmax")(joined))
    adoption = adopted(model, labels=("yes", "no", "maybe"), vocabulary=("what", "is", "this", "there"))
    path = adoption.run_dir.with_suffix(".onnx")
    export_source(ExportConfig(str(adoption.run_dir)), path)
    predictor = Predictor.load(path, device="cpu")
    result = predictor.predict(PIXELS[0], question="Is there a house?")
    own = model.predict([np.array([[3, 5, 1, 1, 0]]), PIXELS[:1].astype(np.float32)], verbose=0)[0]
    np.testing.assert_allclose(result.scores, own, atol=5e-6)


@pytest.mark.parametrize(
    ("model", "said", "expected"),
    [
        ({"inside": False}, {"pixels": "signed"}, "--pixels unit"),
        pytest.param({"inside": False}, {"pixels": "raw"}, "--pixels unit", marks=pytest.mark.slow),
        pytest.param({"inside": False}, {"pixels": "unit", "color": "bgr"}, "--pixels unit", marks=pytest.mark.slow),
        ({"inside": True}, {"color": "bgr"}, "--pixels raw"),
        ({"inside": True}, {"labels": ("green", "red", "blue", "dark")}, "--labels red,green,blue,dark"),
    ],
)
def test_what_would_answer_better_is_named(adopted, data, model, said, expected):
    adoption = adopted(colour_model(**model), data=data, **said)
    assert adoption.evaluation is not None
    assert adoption.evaluation.accuracy < 0.8
    (warning,) = [text for text in adoption.warnings if "Type: " in text]
    assert warning.endswith(expected) or f"{expected} " in f"{warning} ", warning
    assert "1.0000 with" in warning


def test_nothing_is_named_where_the_model_is_asked_rightly(data):
    for number, (model, said) in enumerate(
        [({"inside": True}, {"labels": None}), ({"inside": False}, {"pixels": "unit", "labels": None})]
    ):
        model = colour_model(**model)
        model.save(Path(data).parent / f"{number}.keras")
        file = ModelFile(Path(data).parent / f"{number}.keras")
        adoption = adopt(make_plan(AdoptConfig(file, data=data, **said)), Path(data).parent / f"run{number}")
        assert adoption.evaluation.accuracy == 1
        assert not adoption.warnings


def test_where_nobody_says_how_pixels_are_scaled_the_ways_are_tried_and_none_is_taken(adopted, data, tmp_path):
    with pytest.raises(UsageError, match=r"--pixels unit fits best\. Type: .*--pixels unit$") as caught:
        adopted(colour_model(inside=False), data=data)
    assert "1.0000 with --pixels unit" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_labels_that_do_not_fit_are_refused(adopted, data):
    with pytest.raises(UsageError, match=r"the data's labels do not fit the model"):
        adopted(colour_model(), data=data, labels=("a", "b", "c", "d"))
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)]
    )
    with pytest.raises(UsageError, match="expected 3 labels, one a class of its output, received 4 by the classes of"):
        adopted(model, data=data, labels=None)


def test_a_copy_that_answers_otherwise_is_not_written(adopted, tmp_path, monkeypatch):
    right = adopting.copied_model
    monkeypatch.setattr(
        adopting,
        "copied_model",
        lambda model, mounting, manifest: right(model, replace(mounting, scaling=PIXEL_SCALINGS["unit"]), manifest),
    )
    with pytest.raises(ParityError, match="does not answer like the model itself"):
        adopted(colour_model())
    assert not (tmp_path / "run").exists()


def test_an_export_is_proven_with_the_model_itself_and_not_with_its_copy(adopted):
    adoption = adopted(colour_model())
    other = taught(colour_model())
    dense = other.layers[-1]
    dense.set_weights([2 * weight for weight in dense.get_weights()])
    other.save(adoption.run_dir / "source.keras")  # the copy stays as it is
    with pytest.raises(ParityError):
        answered(adoption)


def test_an_adopted_folder_opens_and_says_what_is_damaged(adopted, data):
    adoption = adopted(colour_model(), data=data, labels=None)
    trained = open_trained(adoption.run_dir)
    assert trained.data is not None
    assert trained.data.location == data
    assert trained.trained_on is None
    with pytest.raises(UsageError, match="which was adopted"):
        open_trained(adoption.run_dir, checkpoint="best")
    maps = feature_maps(trained.load(), trained.manifest, PIXELS[0], layer="normalization")
    assert maps.activations.shape == (SIDE, SIDE, 3)

    config = adoption.run_dir / "config.json"
    tree = json.loads(config.read_text())
    tree["adopted"]["file"] = "../own.keras"
    config.write_text(json.dumps(tree))
    with pytest.raises(RunFolderError, match="expected a file's name"):
        open_trained(adoption.run_dir)
    config.write_text('{"schema_version": 1, "adopted": {}}')
    with pytest.raises(RunFolderError, match="is damaged"):
        open_trained(adoption.run_dir)


def test_int8_takes_the_data_of_the_adoption(adopted, data):
    adoption = adopted(colour_model(), data=data, labels=None)
    path = adoption.run_dir.with_suffix(".int8.onnx")
    report = export_source(ExportConfig(str(adoption.run_dir), quantize="int8", min_speedup=0), path)
    assert report.evidence.parity.metric.file == 1
    assert report.evidence.provenance.data_fingerprint is None  # nobody knows what it was trained on


def test_int8_without_data_is_refused_before_keras_is_loaded(adopted):
    from edgecnn.exporting.source import check_source

    adoption = adopted(colour_model())
    with pytest.raises(UsageError, match="was adopted without any"):
        check_source(ExportConfig(str(adoption.run_dir), quantize="int8"))


def test_logits_of_colours_keeps_a_name_that_is_ours(adopted):
    image = keras.Input((SIDE, SIDE, 3))
    model = taught(
        keras.Model(image, logits_of_colours(layers.Rescaling(1 / 255)(image), activation=None, name="logits"))
    )
    adoption = adopted(model)
    names = [layer.name for layer in open_trained(adoption.run_dir).load().layers]
    assert "mean" in names
    assert "logits" in names
    np.testing.assert_allclose(
        scores(adoption), np.asarray(keras.ops.softmax(model.predict(PIXELS.astype(np.float32), verbose=0))), atol=5e-6
    )
