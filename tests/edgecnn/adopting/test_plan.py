import json
import re
import shlex
from types import MappingProxyType

import keras
import pytest
from keras import layers
from own_models import LABELS, colour_model, logits_of_colours

from edgecnn.adopting.config import AdoptConfig
from edgecnn.adopting.model_file import ModelFile
from edgecnn.adopting.plan import Plan, make_plan
from edgecnn.errors import KerasFileError, UsageError
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScaling


@pytest.fixture
def planned(tmp_path):
    def plan(model: keras.Model, **said) -> Plan:
        model.save(tmp_path / "own.keras")
        imports = said.pop("imports", ())
        if "outputs" in said:
            said["outputs"] = MappingProxyType(said["outputs"])
        return make_plan(AdoptConfig(ModelFile(tmp_path / "own.keras", imports=imports), **said))

    return plan


def refused(planned, model: keras.Model, **said) -> str:
    with pytest.raises(UsageError) as caught:
        planned(model, **said)
    return str(caught.value)


def several_outputs() -> keras.Model:
    image = keras.Input((12, 12, 3))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, [layers.Dense(4, name="kinds")(x), layers.Dense(4, name="places")(x)])


def test_a_model_that_says_everything_needs_labels_alone(planned):
    plan = planned(colour_model(), labels=LABELS)
    assert (plan.image_size, plan.layout, plan.color, plan.scaling) == (
        (12, 12),
        "channels_last",
        "rgb",
        PIXEL_SCALINGS["raw"],
    )
    assert not plan.warnings


def test_everything_that_is_missing_comes_in_one_message_with_the_command(planned):
    message = refused(planned, colour_model(inside=False, side=None), color="gray")
    listed = re.findall(r"\((\d)\) ", message)
    assert listed == ["1", "2", "3", "4"]
    for problem in (
        "--color gray: expected rgb or bgr",
        "images of any size",
        "is not in the model: say unit",
        "names of",
    ):
        assert problem in message
    command = shlex.split(message.split("Type: ")[1])
    assert command[:2] == ["edgecnn", "adopt"]
    assert command[3:] == [
        *("--image-size", "H,W"),
        *("--pixels", "unit|signed|caffe|torch|raw"),
        *("--labels", "FILE|A,B,…"),
    ]


def test_the_command_keeps_what_was_given(planned):
    message = refused(planned, colour_model(inside=False), labels=LABELS, color="bgr", resize="letterbox")
    assert message.endswith(
        "--labels red,green,blue,dark --color bgr --resize letterbox --pixels 'unit|signed|caffe|torch|raw'"
    ) or message.endswith(
        "--labels red,green,blue,dark --color bgr --resize letterbox --pixels unit|signed|caffe|torch|raw"
    )


def test_pixels_that_would_be_scaled_twice_are_refused(planned):
    message = refused(planned, colour_model(), labels=LABELS, pixels="unit")
    assert "it scales pixels itself (Rescaling" in message
    assert "scaled twice" in message
    assert planned(colour_model(), labels=LABELS, pixels="raw").scaling == PIXEL_SCALINGS["raw"]
    plan = planned(colour_model(), labels=LABELS, std=(255.0,))  # numbers are believed, and it is said
    assert plan.scaling == PixelScaling((0.0,), (255.0,))
    assert "scaled twice" in plan.warnings[0]


def test_what_keras_applications_takes_is_said_and_not_chosen(planned):
    body = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(3)], name="resnet50v2")
    message = refused(planned, body, labels=("a", "b", "c"))
    assert "of keras.applications, resnet50v2 takes signed" in message
    assert message.endswith("--pixels signed")
    twice = keras.Input((12, 12, 3))
    model = keras.Model(twice, logits_of_colours(layers.Rescaling(2.0, offset=-1)(twice)))
    assert "fits pixels that were scaled before: unit or signed or torch" in refused(planned, model, labels=LABELS)


def test_options_that_contradict_the_model_are_named(planned):
    model = colour_model()
    assert "--image-size 8,8: expected 12,12" in refused(planned, model, labels=LABELS, image_size=(8, 8))
    assert "--labels: expected 4 names" in refused(planned, model, labels=LABELS[:3])
    assert "received some of them twice" in refused(planned, model, labels=("a", "a", "b", "c"))
    assert "--output logits=x: expected one of scores" in refused(
        planned, model, labels=LABELS, outputs={"logits": "x"}
    )
    assert "--decoder softmax: it ends in a softmax" in refused(planned, model, labels=LABELS, decoder="softmax")
    gray = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2)])
    assert "it is for three channels" in refused(planned, gray, labels=("a", "b"), pixels="torch")


def test_several_outputs_are_asked_for_and_several_inputs_refused(planned):
    message = refused(planned, several_outputs(), labels=LABELS)
    assert "it has 2 outputs, kinds, places" in message
    assert "--output logits=kinds" in message
    planned(several_outputs(), labels=LABELS, outputs={"logits": "kinds", "boxes": "places"})

    first, second = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    model = keras.Model([first, second], layers.Dense(2)(layers.Flatten()(layers.Add()([first, second]))))
    message = refused(planned, model, labels=("a", "b"))
    assert "it takes 2 inputs, left (8, 8, 3), right (8, 8, 3)" in message
    assert "no task takes others" in message


@pytest.mark.parametrize(
    ("shape", "message"), [((8, 8, 4), "has 4 channels"), ((6,), "expected an image as its input")]
)
def test_inputs_that_are_no_pictures_are_refused(planned, shape, message):
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(2)])
    assert message in refused(planned, model, labels=("a", "b"), pixels="raw")


def test_a_number_that_is_predicted_is_refused_and_one_softmax_too(planned):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1)])
    model.compile(loss="mse")
    assert "it predicts a number" in refused(planned, model, labels=("a", "b"), pixels="unit")
    one = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1, activation="softmax")])
    assert "1.0 for every image" in refused(planned, one, labels=("a", "b"), pixels="unit")


def test_an_ending_that_is_not_known_is_asked_for(planned):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3, activation="tanh")])
    message = refused(planned, model, labels=("a", "b", "c"), pixels="unit")
    assert "not known to give scores or logits" in message
    assert "--decoder softmax|sigmoid|probabilities" in message
    planned(model, labels=("a", "b", "c"), pixels="unit", decoder="softmax")


def test_code_of_ones_own_is_asked_for_by_its_name(planned):
    @keras.saving.register_keras_serializable(package="plan_test")
    class Doubled(layers.Layer):
        def call(self, x):
            return x * 2

    model = keras.Sequential([keras.Input((8, 8, 3)), Doubled(), layers.Flatten(), layers.Dense(2)])
    message = refused(planned, model, labels=("a", "b"), pixels="unit")
    assert "Doubled (plan_test>Doubled) is code of your own" in message
    assert "--import MODULE" in message
    planned(model, labels=("a", "b"), pixels="unit", imports=("anything",))  # nothing is imported yet


def test_a_loss_of_ones_own_is_not_needed_and_an_activation_is(planned):
    def strict(true, answered):
        return keras.ops.mean(true - answered)

    @keras.saving.register_keras_serializable(package="plan_test")
    def bent(x):
        return keras.ops.relu(x) + 1

    model = colour_model()
    model.compile(loss=strict, metrics=[strict])
    planned(model, labels=LABELS)
    bending = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3, activation=bent), layers.Flatten(), layers.Dense(2)]
    )
    message = refused(planned, bending, labels=("a", "b"), pixels="unit")
    assert "bent" in message
    assert "is code of your own" in message


def test_layers_of_edgecnn_and_operations_of_keras_are_no_code_of_ones_own(planned):
    image = keras.Input((16, 16, 3))
    x = keras.ops.mean(keras.ops.relu(image / 255), axis=(1, 2))
    planned(keras.Model(image, layers.Dense(2)(x)), labels=("a", "b"))


def test_random_layers_and_fewer_bits_are_said(planned):
    image = keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 255)(layers.RandomRotation(0.1, name="turned")(image))
    plan = planned(keras.Model(image, logits_of_colours(layers.Conv2D(3, 1, dtype="mixed_float16")(x))), labels=LABELS)
    assert "turned: changes images at random" in plan.warnings[0]
    assert "it computes in mixed_float16" in plan.warnings[1]


def test_rows_and_flat_inputs_are_gray_pictures(planned):
    rows = keras.Sequential([keras.Input((28, 14)), layers.Flatten(), layers.Dense(2)])
    plan = planned(rows, labels=("a", "b"), pixels="unit")
    assert (plan.image_size, plan.layout, plan.color) == ((28, 14), "reshaped", "gray")
    flat = keras.Sequential([keras.Input((28 * 14,)), layers.Dense(2)])
    plan = planned(flat, labels=("a", "b"), pixels="unit", image_size=(28, 14))
    assert (plan.image_size, plan.layout) == ((28, 14), "reshaped")
    assert "row of 392 numbers" in refused(planned, flat, labels=("a", "b"), pixels="unit", image_size=(28, 28))


def test_what_keras_2_wrote_is_read(tmp_path, monkeypatch):
    dense = {"name": "d", "units": 2, "activation": "softmax"}
    config = {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, 8, 8, 3], "dtype": "float32", "name": "i"},
                    "name": "i",
                    "inbound_nodes": [],
                },
                {
                    "class_name": "Rescaling",
                    "config": {"name": "r", "scale": 1 / 255, "offset": 0.0},
                    "name": "r",
                    "inbound_nodes": [[["i", 0, 0, {}]]],
                },
                {"class_name": "Dense", "config": dense, "name": "d", "inbound_nodes": [[["r", 0, 0, {}]]]},
            ],
            "input_layers": [["i", 0, 0]],
            "output_layers": [["d", 0, 0]],
        },
    }
    monkeypatch.setattr(ModelFile, "read_config", lambda _: json.loads(json.dumps(config)))
    plan = make_plan(AdoptConfig(ModelFile(tmp_path / "old.h5"), labels=("a", "b")))
    assert (plan.image_size, plan.scaling) == ((8, 8), PIXEL_SCALINGS["raw"])
    assert (plan.architecture.heads[0].activation, plan.architecture.heads[0].units) == ("softmax", 2)


@pytest.mark.parametrize("config", [None, [], {}, {"class_name": "Functional", "config": {"layers": [{}]}}])
def test_a_configuration_that_is_none_is_refused_in_a_line(tmp_path, monkeypatch, config):
    monkeypatch.setattr(ModelFile, "read_config", lambda _: config)
    with pytest.raises(KerasFileError, match="no configuration of a Keras model"):
        make_plan(AdoptConfig(ModelFile(tmp_path / "odd.keras")))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"pixels": "unit", "mean": (1.0,)}, "says mean and std already"),
        ({"mean": (1.0, 2.0)}, "expected a number, or three"),
        ({"std": (0.0,)}, "expected numbers above 0"),
        ({"std": (float("nan"),)}, "expected a number, or three"),
        ({"color": "bgr", "pixels": "caffe"}, "blue first already"),
        ({"crop_fraction": 0.5}, "needs --resize center_crop"),
        ({"resize": "center_crop", "crop_fraction": 0.0}, "expected .01 to 1"),
        ({"pad_value": 1}, "needs --resize letterbox"),
        ({"outputs": {"masks": "x"}}, "expected logits, boxes or scale_N"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, said, message):
    with pytest.raises(UsageError, match=message):
        AdoptConfig(ModelFile(tmp_path / "a.keras"), **said)
