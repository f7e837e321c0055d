import json
import urllib.error
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import imagenet_utils
from keras.src.utils import file_utils

from edgecnn.errors import KerasFileError, PretrainedWeightsError, UsageError
from edgecnn.models import CATALOG, build_model
from edgecnn.models.backbone import build_transfer_model
from edgecnn.models.keras_names import own_names
from edgecnn.models.weights import imagenet_labels, load_weights
from edgecnn_runtime.pixel_scaling import IMAGENET_DEVIATIONS, IMAGENET_MEANS

ALEXNET = CATALOG["alexnet"]


def narrow(*, classes: int = 3, width: float = 0.05, seed: int = 1) -> keras.Model:
    return build_model("alexnet", image_size=(67, 67), num_classes=classes, width=width, seed=seed)


def pixels(size: int = 67, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), "uint8")


def saved(model: keras.Model, path: Path) -> Path:
    model.save(path) if path.suffix == ".keras" else model.save_weights(path)
    return path


def assert_refused(model: keras.Model, source: Path, message: str, error: type = PretrainedWeightsError) -> None:
    """The error is one line, and the model is as it was."""
    before = model.get_weights()
    with pytest.raises(error, match=message) as raised:
        load_weights(model, CATALOG[model.name], source)
    assert "\n" not in str(raised.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["trained.weights.h5", "trained.keras"])
def test_load_weights_gives_a_model_the_answers_of_the_file(name: str, tmp_path: Path) -> None:
    trained, model = narrow(), narrow(seed=2)
    loaded = load_weights(model, ALEXNET, saved(trained, tmp_path / name))
    assert np.array_equal(model(pixels()), trained(pixels()))
    assert (loaded.layers, loaded.left_out, loaded.labels) == (8, (), None)


def test_load_weights_none_leaves_the_model_alone() -> None:
    model = narrow()
    before = model.get_weights()
    assert load_weights(model, ALEXNET, "none").layers == 0
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_load_weights_leaves_another_head_out_and_says_so(tmp_path: Path) -> None:
    trained, model = narrow(classes=3), narrow(classes=5, seed=2)
    head = model.get_layer("fc6").get_weights()
    loaded = load_weights(model, ALEXNET, saved(trained, tmp_path / "trained.keras"))
    assert (loaded.layers, loaded.left_out) == (5, ("fc6", "fc7", "logits"))
    assert np.array_equal(model.get_layer("conv5").get_weights()[0], trained.get_layer("conv5").get_weights()[0])
    assert np.array_equal(model.get_layer("fc6").get_weights()[0], head[0])


def test_load_weights_gives_a_transfer_model_its_backbone(tmp_path: Path) -> None:
    trained = narrow()
    model = build_transfer_model("alexnet", image_size=(67, 67), num_classes=5, width=0.05, seed=2)
    loaded = load_weights(model, ALEXNET, saved(trained, tmp_path / "trained.weights.h5"))
    assert (loaded.layers, loaded.left_out) == (5, ("logits",))


def test_load_weights_names_the_first_layer_that_differs(tmp_path: Path) -> None:
    path = saved(narrow(width=0.1), tmp_path / "wide.weights.h5")
    message = (
        r"wide.*layer 'conv1': expected shapes \(11, 11, 3, 5\), \(5,\), received shapes \(11, 11, 3, 10\), \(10,\)"
    )
    assert_refused(narrow(), path, message)


def test_load_weights_names_a_layer_that_the_file_lacks(tmp_path: Path) -> None:
    path = saved(build_model("mnist_convnet", width=0.1), tmp_path / "other.weights.h5")
    assert_refused(narrow(), path, "layer 'conv1': expected shapes .*, received shapes")
    path = saved(build_model("lenet5"), tmp_path / "lenet5.weights.h5")
    assert_refused(narrow(), path, "layer 'conv1': expected shapes .*, received no such layer")


def test_load_weights_refuses_a_further_convolution_as_another_architecture(tmp_path: Path) -> None:
    options = {"image_size": (32, 32), "num_classes": 3, "width": 0.05}
    path = saved(build_model("se_googlenet", **options), tmp_path / "se.weights.h5")
    for classes in (3, 4):
        model = build_model("googlenet", **options | {"num_classes": classes})
        assert_refused(model, path, "layer 'inception_.*(squeeze|excite)': expected no such layer, received shapes")


def test_load_weights_takes_all_or_nothing_where_there_is_no_backbone(tmp_path: Path) -> None:
    path = saved(build_model("mnist_convnet", num_classes=4, width=0.1), tmp_path / "four.weights.h5")
    model = build_model("mnist_convnet", num_classes=3, width=0.1)
    assert_refused(model, path, r"layer 'logits': expected shapes \(6, 3\), \(3,\), received shapes \(6, 4\), \(4,\)")


def test_load_weights_refuses_what_is_no_weights_file(tmp_path: Path) -> None:
    model = narrow()
    assert_refused(model, tmp_path / "absent.weights.h5", "received nothing")
    assert_refused(model, tmp_path / "absent.keras", "received nothing", KerasFileError)
    assert_refused(model, tmp_path / "model.onnx", "expected weights from imagenet, none, or a", UsageError)
    (tmp_path / "text.weights.h5").write_text("no weights")
    assert_refused(model, tmp_path / "text.weights.h5", "expected weights that model.save_weights")
    h5py.File(tmp_path / "empty.weights.h5", "w").close()
    assert_refused(model, tmp_path / "empty.weights.h5", "refused|expected weights that")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_load_weights_refuses_a_truncated_file(part: float, tmp_path: Path) -> None:
    path = saved(narrow(), tmp_path / "trained.weights.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert_refused(narrow(), path, "expected weights that model.save_weights")


def test_load_weights_opens_no_other_file(tmp_path: Path) -> None:
    path = saved(narrow(), tmp_path / "trained.weights.h5")
    with h5py.File(tmp_path / "outside.h5", "w") as outside:
        outside["secret"] = np.zeros((5,), "float32")
    for replacement in (h5py.ExternalLink("outside.h5", "/secret"), h5py.SoftLink("/layers/dense/vars/1")):
        with h5py.File(path, "a") as file:
            del file["layers/conv2d/vars/1"]
            file["layers/conv2d/vars/1"] = replacement
        assert_refused(narrow(), path, "refused, .* is a link or missing")
    with h5py.File(path, "a") as file:
        del file["layers/conv2d/vars/1"]
        layout = h5py.VirtualLayout((5,), "float32")
        layout[:] = h5py.VirtualSource(str(tmp_path / "outside.h5"), "secret", shape=(5,))
        file["layers/conv2d/vars"].create_virtual_dataset("1", layout)
    assert_refused(narrow(), path, "reads another file")


def test_load_weights_reads_nothing_of_a_claimed_size(tmp_path: Path) -> None:
    path = saved(narrow(), tmp_path / "trained.weights.h5")
    with h5py.File(path, "a") as file:
        del file["layers/conv2d/vars/1"]
        file["layers/conv2d/vars"].create_dataset("1", (2**45,), "float32", chunks=(2**20,))  # 128 TiB of nothing
    assert_refused(narrow(), path, "layer 'conv1': expected shapes .*35184372088832")


def test_load_weights_refuses_a_keras_file_that_could_run_code(tmp_path: Path) -> None:
    path = saved(narrow(), tmp_path / "trained.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/code.py", "")
    assert_refused(narrow(), path, "expected the members", KerasFileError)


def test_load_weights_names_the_rows_that_have_imagenet_weights() -> None:
    message = (
        "alexnet has no ImageNet weights: expected one of vgg16, vgg19, resnet50, xception, mobilenet_v2, "
        "mobilenet_v3_small, mobilenet_v3_large, efficientnet_b0, xception_localizer, "
        "mobilenet_v2_localizer, faster_rcnn_vgg16, fcn32s, fcn8s, or a weights file"
    )
    assert_refused(narrow(), "imagenet", message, UsageError)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def urlretrieve(*_: object) -> None:
        raise urllib.error.URLError(OSError(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr(file_utils, "urlretrieve", urlretrieve)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", None)


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_load_weights_says_what_to_do_without_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    model = build_model("resnet50", image_size=(32, 32), num_classes=3)
    message = (
        "ImageNet weights of resnet50: expected a network or Keras' cached file, received .*name resolution.*run "
        r"keras.applications.ResNet50\(\).save_weights\('resnet50.weights.h5'\), and give that"
    )
    assert_refused(model, "imagenet", message)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("no_network")
def test_imagenet_labels_say_what_to_do_without_a_network() -> None:
    with pytest.raises(PretrainedWeightsError, match=r"ImageNet's classes.*Copy imagenet_class_index\.json"):
        imagenet_labels()


@pytest.fixture
def class_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    names = [f"class_{number}" for number in range(1000)]
    names[134] = names[517] = "crane"
    path = tmp_path / "imagenet_class_index.json"
    path.write_text(json.dumps({str(number): [f"n{number:08}", name] for number, name in enumerate(names)}))
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", None)
    monkeypatch.setattr(imagenet_utils.file_utils, "get_file", lambda *_, **__: str(path))
    return path


@pytest.mark.usefixtures("class_index")
def test_imagenet_labels_are_those_of_keras_told_apart_where_two_are_equal() -> None:
    labels = imagenet_labels()
    assert (labels[0], labels[1], labels[999]) == ("class_0", "class_1", "class_999")
    assert (labels[134], labels[517]) == ("crane (n00000134)", "crane (n00000517)")
    assert len(set(labels)) == 1000


def seeded(application: str, **options: object) -> keras.Model:
    """A network of Keras' with random weights and statistics, behind ImageNet's normalisation where it has its own."""
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    model = getattr(keras.applications, application)(weights=None, classifier_activation=None, **options)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.array(IMAGENET_MEANS), np.array(IMAGENET_DEVIATIONS), np.array(7)])
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("resnet50", keras.applications.resnet50.preprocess_input),
        ("xception", keras.applications.xception.preprocess_input),
        ("mobilenet_v2", keras.applications.mobilenet_v2.preprocess_input),
        ("mobilenet_v3_small", keras.applications.mobilenet_v3.preprocess_input),
        ("mobilenet_v3_large", keras.applications.mobilenet_v3.preprocess_input),
        ("efficientnet_b0", keras.applications.efficientnet.preprocess_input),
    ],
)
def test_load_weights_of_keras_answer_as_keras_does(
    name: str, preprocess: object, class_index: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seeded weights stand in for what is downloaded; by the file and by the download alike."""
    spec = CATALOG[name]
    path = saved(seeded(spec.application), tmp_path / f"{name}.weights.h5")
    downloaded = {"imagenet_class_index.json": str(class_index)}
    monkeypatch.setattr(file_utils, "get_file", lambda asked, *_, **__: downloaded.get(asked, str(path)))
    theirs = getattr(keras.applications, spec.application)(
        weights="imagenet", classifier_activation=None, input_shape=(*spec.image_size, 3)
    )
    images = pixels(spec.image_size[0], count=1)
    expected = theirs(preprocess(images.astype("float32")))
    model = build_model(name, seed=2)
    assert load_weights(model, spec, path).labels is None
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)
    model = build_model(name, seed=3)
    assert len(load_weights(model, spec, "imagenet").labels) == 1000
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)


def test_load_weights_reads_the_convolutions_of_a_head_as_dense_layers(tmp_path: Path) -> None:
    spec, size = CATALOG["mobilenet_v3_small"], (32, 32)
    path = saved(seeded(spec.application, alpha=0.25, classes=3), tmp_path / "theirs.weights.h5")
    with_head, other = (build_model(spec.name, image_size=size, num_classes=n, width=0.25, seed=2) for n in (3, 5))
    loaded = load_weights(with_head, spec, path)
    assert (loaded.left_out, loaded.head_classes) == ((), 3)
    assert load_weights(other, spec, path).left_out == ("conv_2", "logits")
    transferred = build_transfer_model(spec.name, image_size=size, num_classes=5, width=0.25, seed=2)
    loaded = load_weights(transferred, spec, path)
    assert (loaded.left_out, loaded.head_classes) == (("logits",), 3)
    for layer in ("conv", "conv_1_bn"):
        kernels = [model.get_layer(layer).get_weights()[0] for model in (with_head, other, transferred)]
        assert all(np.array_equal(kernel, kernels[0]) for kernel in kernels)


def test_load_weights_gives_a_classifiers_features_to_what_is_built_on_it(tmp_path: Path) -> None:
    name = "mobilenet_v2_localizer"
    options = {"image_size": (64, 64), "num_classes": 3, "width": 0.25}
    trained, model = build_model("mobilenet_v2", **options, seed=1), build_model(name, **options, seed=2)
    loaded = load_weights(model, CATALOG[name], saved(trained, tmp_path / "trained.keras"))
    features = [keras.Model(one.input, one.get_layer("out_relu").output)(pixels(64)) for one in (trained, model)]
    assert np.array_equal(*features)
    assert set(loaded.left_out) == {layer.name for layer in model.layers if layer.weights} - {
        layer.name for layer in trained.layers if layer.name != "logits"
    }


@pytest.mark.parametrize(
    ("weights", "received"),
    [
        ((np.zeros(3), np.ones(3), 0), r"\[0., 0., 0.\] and \[1., 1., 1.\]"),
        (
            (IMAGENET_MEANS, np.square(IMAGENET_DEVIATIONS), 0),
            r"\[0.485, 0.456, 0.406\] and \[0.0524, 0.0502, 0.0506\]",
        ),
    ],
    ids=["not adapted", "variances"],
)
def test_load_weights_refuses_what_was_learned_behind_another_normalization(
    weights: tuple[object, ...], received: str, tmp_path: Path
) -> None:
    theirs = seeded("EfficientNetB0", include_top=False, input_shape=(32, 32, 3))
    (normalization,) = (layer for layer in theirs.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([np.array(values) for values in weights])
    path = saved(theirs, tmp_path / "theirs.weights.h5")
    model = build_transfer_model("efficientnet_b0", image_size=(32, 32), num_classes=2)
    assert_refused(model, path, rf"layer 'normalization': expected ImageNet's means .* received {received}\. Give")


def test_load_weights_reads_no_normalization_of_a_claimed_size(tmp_path: Path) -> None:
    path = saved(seeded("EfficientNetB0", include_top=False, input_shape=(32, 32, 3)), tmp_path / "theirs.weights.h5")
    with h5py.File(path, "a") as file:
        del file["layers/normalization/vars/1"]
        file["layers/normalization/vars"].create_dataset("1", (2**45,), "float32", chunks=(2**20,))
    model = build_transfer_model("efficientnet_b0", image_size=(32, 32), num_classes=2)
    assert_refused(model, path, r"'normalization': expected .* received shapes \(3,\), \(35184372088832,\)")


@pytest.mark.slow
def test_load_weights_of_imagenet_leave_out_a_head_of_other_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def vgg16(*, weights: str, include_top: bool) -> keras.Model:
        asked.update(weights=weights, include_top=include_top)
        return keras.applications.vgg16.VGG16(weights=None, include_top=include_top)

    model = build_transfer_model("vgg16", image_size=(32, 32), num_classes=3)
    monkeypatch.setattr(keras.applications, "VGG16", vgg16)
    loaded = load_weights(model, CATALOG["vgg16"], "imagenet")
    assert asked == {"weights": "imagenet", "include_top": False}
    assert (loaded.layers, loaded.left_out, loaded.labels) == (13, ("logits",), None)


def test_own_names_keep_all_others_of_keras() -> None:
    assert own_names("ResNet50", ["conv1_conv", "predictions"]) == {"conv1_conv": "conv1_conv", "predictions": "logits"}


def test_own_names_follow_the_numbers_of_keras_whatever_the_first_one_is() -> None:
    names = own_names("Xception", [f"add_{number}" for number in range(95, 107)])
    assert names["add_95"] == "block2_add"
    assert names["add_106"] == "block13_add"


ODD_WEIGHTS = {
    "texts": np.array([b"a"] * 5),
    "texts of any length": np.array(["a"] * 5, dtype=object),
    "truths": np.ones(5, bool),
    "complex numbers": np.ones(5, complex),
    "integers": np.ones(5, np.int64),
    "records": np.zeros(5, [("a", "f4"), ("b", "i4")]),
    "raw bytes": np.zeros(5, "V2"),
    "references": None,
    "nothing": h5py.Empty("float32"),
}


@pytest.mark.parametrize("kind", ODD_WEIGHTS)
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_load_weights_refuses_what_is_no_floating_point(kind: str, suffix: str, tmp_path: Path) -> None:
    path = put_weight(tmp_path, suffix, ODD_WEIGHTS[kind])
    assert_refused(narrow(), path, r"refused, .*/1: expected weights in floating point \(float16, float32, float64\)")


@pytest.mark.parametrize("value", [np.float32(1), np.ones((5, 1), np.float32)])
def test_load_weights_refuses_another_shape(value: np.ndarray, tmp_path: Path) -> None:
    assert_refused(narrow(), put_weight(tmp_path, ".weights.h5", value), "layer 'conv1': expected shapes")


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", "<f2"])
def test_load_weights_takes_floats_of_any_width_and_byte_order(dtype: str, tmp_path: Path) -> None:
    model = narrow()
    load_weights(model, ALEXNET, put_weight(tmp_path, ".weights.h5", np.arange(5).astype(dtype)))
    assert np.array_equal(model.get_layer("conv1").get_weights()[1], np.arange(5))


def test_load_weights_takes_a_backbone_whose_head_has_no_shape(tmp_path: Path) -> None:
    path = put_weight(tmp_path, ".weights.h5", np.float32(1), layer="dense_2", only=True)
    assert load_weights(narrow(), ALEXNET, path).head_classes is None


def put_weight(folder: Path, suffix: str, value: object, *, layer: str = "conv2d", only: bool = False) -> Path:
    """A whole file but for one weight."""
    path = saved(narrow(), folder / "trained.weights.h5")
    with h5py.File(path, "a") as file:
        variables = file[f"layers/{layer}/vars"]
        name = "0" if only else "1"
        for key in list(variables) if only else [name]:
            del variables[key]
        if value is None:
            variables.create_dataset(name, data=np.array([file.ref] * 5, h5py.ref_dtype), dtype=h5py.ref_dtype)
        else:
            variables[name] = value
    if suffix == ".weights.h5":
        return path
    archive = saved(narrow(), folder / "trained.keras")
    with zipfile.ZipFile(archive) as whole:
        config = whole.read("config.json")
    with zipfile.ZipFile(archive, "w") as changed:
        changed.writestr("config.json", config)
        changed.writestr("model.weights.h5", path.read_bytes())
    return archive
