"""The file's scores against plain `model.predict`, for each way a Keras model can end."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from edgecnn.data.samples import Samples
from edgecnn.data.targets import ClassIds
from edgecnn.errors import UsageError
from edgecnn.evaluation import evaluate
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.export import export_source
from edgecnn.models.adapter import KerasModel
from edgecnn.models.head import read_head
from edgecnn_exporters import ParityError, export
from edgecnn_runtime import Placement, Predictor, decoders
from edgecnn_runtime import manifest as parts
from edgecnn_runtime.errors import ManifestError

SIZE = (6, 5)
SOFTMAX, SIGMOID = decoders.SoftmaxDecoder, decoders.SigmoidDecoder
PROBABILITIES, DISTANCE = decoders.ProbabilitiesDecoder, decoders.DistanceDecoder


def by_softmax(outputs):
    exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def by_sigmoid(outputs):
    return 1 / (1 + np.exp(-outputs))


def as_they_are(outputs):
    return outputs


@keras.saving.register_keras_serializable("test")
class SoftmaxByHand(layers.Layer):
    def call(self, x):
        exponentials = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
        return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)


def nested(x):
    features = keras.Input((x.shape[-1],))
    head = keras.Model(features, layers.Dense(3, activation="softmax")(features))
    return layers.Dropout(0.5)(head(x))


def activation_layer(x):
    return layers.Activation("softmax", dtype="float32")(layers.Activation("linear")(layers.Dense(3)(x)))


def sequential(x):
    return keras.Sequential([layers.Dense(3), layers.Activation("sigmoid"), layers.Reshape((3,))])(x)


# what stands on the features; the decoder that fits; what makes scores of what model.predict gives
HEADS = {
    "dense softmax": (layers.Dense(3, activation="softmax"), PROBABILITIES, as_they_are),
    "activation softmax": (activation_layer, PROBABILITIES, as_they_are),
    "ops softmax": (lambda x: ops.softmax(layers.Dense(3)(x)), PROBABILITIES, as_they_are),
    "nested softmax": (nested, PROBABILITIES, as_they_are),
    "one sigmoid": (layers.Dense(1, activation="sigmoid"), PROBABILITIES, as_they_are),
    "three sigmoids": (sequential, PROBABILITIES, as_they_are),
    "linear softmax": (layers.Dense(3), SOFTMAX, by_softmax),
    "linear sigmoid": (layers.Dense(1), SIGMOID, by_sigmoid),
}
# further heads of which the decoder must be "probabilities"
SCORING = {
    **{name: head for name, head in HEADS.items() if head[1] is PROBABILITIES and name != "one sigmoid"},
    "softmax layer": (lambda x: layers.Identity()(layers.Softmax()(layers.Dense(3)(x))),),
    "mean of softmaxes": (lambda x: ops.mean(layers.Dense(3, activation="softmax")(layers.Reshape((2, -1))(x)), 1),),
    "joined sigmoids": (lambda x: layers.Concatenate()([layers.Dense(1, activation="sigmoid")(x) for _ in "ab"]),),
    "clipped softmax": (lambda x: ops.clip(layers.Dense(3, activation="softmax")(x), 1e-7, 1 - 1e-7),),
}


def build(head, seed=0):
    """A model whose answers differ from image to image, and are sure of some."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((*SIZE, 1), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 25, offset=-5, name="normalization")(image)
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(image, layers.Identity(name="scores")(head(x)))


def describe(model, decoder, labels=None):
    image = parts.ImageInput("image", *SIZE, "gray")
    outputs = (decoders.OutputSpec("scores", model.output_shape[1:]),)
    return parts.Manifest("classification", parts.ModelInfo("m", 1.0), (image,), labels, decoder("scores"), outputs)


def draw(count=12):
    return np.random.default_rng(1).integers(0, 256, (count, *SIZE, 1), dtype=np.uint8)


def expected_scores(model, activation):
    outputs = activation(model.predict(draw(), verbose=0).astype(np.float64))
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


@pytest.mark.parametrize("name", HEADS)
def test_a_file_gives_the_scores_that_the_model_itself_gives(name, tmp_path):
    head, decoder, activation = HEADS[name]
    model = build(head)
    manifest = describe(model, decoder)
    report = export(model, manifest, tmp_path / "m.onnx", reference=KerasModel(model, manifest), golden_samples=1)
    predictor = Predictor.load(report.path, device="cpu")
    scores = np.array([predictor.predict(image).scores for image in draw()])
    np.testing.assert_allclose(scores, expected_scores(model, activation), atol=1e-5)
    assert np.ptp(scores, axis=0).max() > 0.1  # or else the comparison says nothing


# the decoders that contradict a head, and the one that the message must name
REFUSED = {
    **dict.fromkeys(SCORING, (SOFTMAX, SIGMOID, DISTANCE, '"kind": "probabilities", "output": "scores"')),
    "one sigmoid": (SIGMOID, '"kind": "probabilities", "output": "scores"'),
    "linear softmax": (PROBABILITIES, '"kind": "softmax", "output": "scores"'),
    "linear sigmoid": (PROBABILITIES, '"sigmoid" where each is for itself'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_decoder_that_does_not_fit_the_head_is_refused_with_the_one_that_does(name):
    model = build((HEADS | SCORING)[name][0])
    *decoders, cure = REFUSED[name]
    for decoder in decoders:
        with pytest.raises(ManifestError, match=f"received '{describe(model, decoder).decoder.kind}'") as caught:
            KerasModel(model, describe(model, decoder))
        assert cure in str(caught.value)
        assert "\n" not in str(caught.value)


def test_one_unit_is_refused_under_a_softmax_with_the_decoders_that_take_it():
    model = build(layers.Dense(1, activation="sigmoid"))
    for decoder in (SOFTMAX, DISTANCE):
        with pytest.raises(ManifestError, match=r"2 units or more .* received 1.*\"sigmoid\".*\"probabilities\""):
            describe(model, decoder)


@pytest.mark.filterwarnings("ignore:.*softmax over axis:UserWarning")
def test_a_softmax_of_one_unit_is_refused_whatever_the_decoder():
    model = build(layers.Dense(1, activation="softmax"))
    with pytest.raises(ManifestError, match=r"softmax of one unit.*activation='sigmoid'"):
        KerasModel(model, describe(model, PROBABILITIES))


def test_a_head_that_cannot_be_recognised_is_told_by_its_numbers(tmp_path, caplog):
    model = build(lambda x: SoftmaxByHand()(layers.Dense(3)(x)))
    manifest = describe(model, SOFTMAX)
    with pytest.raises(ManifestError, match=r'sum to 1 on all 32 images.*Write "probabilities"'):
        export(model, manifest, tmp_path / "m.onnx", reference=KerasModel(model, manifest))
    assert list(tmp_path.iterdir()) == []
    assert "it is not known whether the last layer gives scores" in caplog.text


def test_a_softmax_is_refused_until_the_manifest_says_so_and_then_taken_once(tmp_path):
    model = build(layers.Dense(3, activation="softmax"))
    model.save(tmp_path / "model.keras")
    for decoder in (SOFTMAX, PROBABILITIES):
        manifest = describe(model, decoder, ("a", "b", "c"))
        (tmp_path / "manifest.json").write_text(manifest.to_json())
        config = ExportConfig(str(tmp_path / "model.keras"), golden_samples=0)
        if decoder is SOFTMAX:
            with pytest.raises(
                ManifestError, match=r'Write "decoder": \{"kind": "probabilities", "output": "scores"\}'
            ):
                export_source(config, tmp_path / "m.onnx")
            assert not (tmp_path / "m.onnx").exists()
        else:
            export_source(config, tmp_path / "m.onnx")
    predictor = Predictor.load(tmp_path / "m.onnx", device="cpu")
    best = [predictor.predict(image).score for image in draw()]
    np.testing.assert_allclose(best, model.predict(draw(), verbose=0).max(axis=1), atol=1e-5)
    assert max(best) > 0.9


@pytest.mark.parametrize("name", ["dense softmax", "one sigmoid", "linear sigmoid", "linear softmax"])
def test_evaluate_scores_the_classes_that_predict_gives(name):
    head, decoder, activation = HEADS[name]
    model = build(head)
    own = expected_scores(model, activation).argmax(axis=1)
    labels = ("a", "b", "c")[: 2 if model.output_shape[1] == 1 else 3]
    class_ids = np.arange(len(own)) % len(labels)
    manifest = describe(model, decoder, labels)
    evaluation = evaluate(
        KerasModel(model, manifest), manifest, Samples(draw(), ClassIds(class_ids), labels, "test"), batch_size=5
    )
    assert evaluation.accuracy == np.mean(own == class_ids)
    counted = np.zeros((len(labels), len(labels)), int)
    np.add.at(counted, (class_ids, own), 1)
    assert evaluation.confusion.tolist() == counted.tolist()


@pytest.mark.parametrize("name", ["linear softmax", "one sigmoid"])
def test_decoding_that_is_wrong_on_both_sides_fails_the_proof(name, tmp_path, monkeypatch):
    head, decoder, _ = HEADS[name]
    model = build(head)
    manifest = describe(model, decoder)
    step = {"linear softmax": "softmax", "one sigmoid": "two_classes"}[name]
    right = getattr(__import__("edgecnn_runtime.tasks.classification", fromlist=[step]), step)
    wrong = {
        "softmax": lambda logits: right(right(logits)),
        "two_classes": lambda scores: right(scores)[:, ::-1],
    }[step]
    monkeypatch.setattr(f"edgecnn_runtime.tasks.classification.{step}", wrong)
    with pytest.raises(ParityError) as caught:
        export(model, manifest, tmp_path / "m.onnx", reference=KerasModel(model, manifest))
    failed = {gate.name for gate in caught.value.report.gates if not gate.passed}
    assert "parity.scores" in failed
    assert "parity.tensors" not in failed  # the raw outputs are equal
    assert {path.name for path in tmp_path.iterdir()} == {"m.report.json"}


def test_labels_of_another_number_are_refused_with_the_cure():
    model = build(layers.Dense(1, activation="sigmoid"))
    with pytest.raises(ManifestError, match=r"expected 2 labels .* received 1\. Write one label a class"):
        describe(model, PROBABILITIES, ("cat",))


def test_one_label_for_a_catalogue_model_is_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("cat\n")
    config = ExportConfig("mnist_convnet", weights="none", labels=tmp_path / "labels.txt")
    with pytest.raises(UsageError, match="expected at least 2 classes, received 1"):
        export_source(config, tmp_path / "m.onnx")


def test_a_head_is_read_for_the_output_that_the_decoder_reads():
    model = build(layers.Dense(3, activation="softmax"))
    two = keras.Model(model.input, [model.layers[-2].input, model.output])
    manifest = describe(model, PROBABILITIES)
    names = two.output_names
    outputs = tuple(
        decoders.OutputSpec(name, tuple(tensor.shape[1:])) for name, tensor in zip(names, two.outputs, strict=True)
    )
    both = dataclasses.replace(manifest, outputs=outputs)
    outputs = KerasModel(two, both).run({"image": draw()})
    placements = [Placement(SIZE, (1.0, 1.0), (0.0, 0.0))] * len(draw())
    given = [result.scores for result in KerasModel(two, both).results(outputs, placements)]
    np.testing.assert_allclose(given, model.predict(draw(), verbose=0), atol=1e-6)


def test_a_sequential_model_is_exported_as_it_is(tmp_path):
    body = [layers.Rescaling(1 / 255, name="normalization"), layers.Flatten(), layers.Dense(3, name="scores")]
    model = keras.Sequential([keras.Input((*SIZE, 1), dtype="uint8", name="image"), *body])
    manifest = describe(model, SOFTMAX)
    report = export(model, manifest, tmp_path / "m.onnx", reference=KerasModel(model, manifest), golden_samples=0)
    assert report.path.exists()


def test_a_model_without_inputs_is_refused_and_the_cure_works():
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3, name="scores")])
    image = keras.Input((*SIZE, 1), dtype="uint8", name="image")
    wrapped = keras.Model(image, layers.Identity(name="scores")(model(image)))
    manifest = describe(wrapped, SOFTMAX)
    fresh = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3, name="scores")])
    with pytest.raises(ManifestError, match=r"knows its inputs, received a Sequential.*keras\.Model\(image"):
        KerasModel(fresh, manifest)
    assert KerasModel(wrapped, manifest).run({"image": draw(2)})["scores"].shape == (2, 3)


def test_read_head_finds_a_transposed_convolution_linear():
    image = keras.Input((4, 4, 2))
    x = layers.Conv2DTranspose(3, 4, strides=2, padding="same", use_bias=False)(image)
    model = keras.Model(image, x)
    traced = tf.function(lambda x: [model(x)], autograph=False).get_concrete_function(tf.TensorSpec((None, 4, 4, 2)))
    assert read_head(traced, 0) == "linear"
