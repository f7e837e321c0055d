"""A network that answers questions about images: convolutions for the image, an LSTM for the question.

Reference:
    Antol et al. 2015, "VQA: Visual Question Answering", section 4; the layers are those of Keras' own example of a
    model with two inputs, https://keras.io/guides/functional_api (getting started, before version 2.4).
"""

from collections.abc import Mapping

import keras
from keras import layers

from edgecnn.models.layers import Apart, LastWord, Together, image_input, scaled_to_one, scaled_units
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.questions import FIRST_WORD, TextInput

NUMBERS = 10_000  # that words have, of a model that never saw data
_BLOCKS = ((64, 2), (128, 2), (256, 3))  # filters, convolutions
_UNITS = 256  # of the embedding, the LSTM and the dense layer

_Layers = Mapping[str, keras.Layer]


def vqa_cnn_lstm(
    *, image_size: tuple[int, int], channels: int, num_classes: int, width: float, text: TextInput
) -> keras.Model:
    """Builds seven 3x3 convolutions in three blocks with pooling, an LSTM beside them, and two dense layers over both.

    The first convolution of each block is "same", the others are "valid". The first dense layer, over the flattened
    image and the LSTM's last state side by side, is written as the sum of two, which is the same numbers: so what an
    image comes to, "picture", stands before any question comes in, and can be kept for the next one.

    At 224x224x3, 10,000 words and 1000 answers: convolutions 1,735,488, embedding 2,560,000, lstm 525,312, picture
    40,960,256, words 65,536, logits 257,000; 46,103,592 parameters.

    Args:
        image_size: (height, width) in pixels, each at least 30.
        channels: of the image, 3.
        num_classes: number of answers.
        width: multiplier on filters and units; 1.0 is the published model.
        text: of the question.

    Returns:
        A model from "image", uint8 (N, height, width, channels), and the question, int32 (N, length), to "logits",
        float32 (N, num_classes).

    Reference:
        Antol et al. 2015, "VQA: Visual Question Answering", section 4.
    """
    image = image_input(image_size, channels)
    question = keras.Input((text.length,), dtype="int32", name=text.name)
    numbers = NUMBERS if text.vocabulary is None else FIRST_WORD + len(text.vocabulary)
    made = _new_layers(num_classes, width, numbers)
    picture = _picture(scaled_to_one(image), made)
    return keras.Model([image, question], _answers(picture, _words(question, made), made), name="vqa_cnn_lstm")


def of_many_questions(model: keras.Model) -> keras.Model:
    """Returns the model for any number of questions about each image, on the same layers: it sees an image once.

    Args:
        model: from `vqa_cnn_lstm`.

    Returns:
        A model from "image" and "questions", int32 (N, K, length), to "logits", (N, K, answers).
    """
    made = _layers_of(model)
    image, question = model.inputs
    questions = keras.Input((None, question.shape[-1]), dtype="int32", name="questions")
    rows = _words(Together(name="together")(questions), made)
    words = Apart(name="apart")(rows, questions)
    picture = layers.Reshape((1, made["picture"].units), name="of_each_question")(made["picture"].output)
    return keras.Model([image, questions], _answers(picture, words, made), name=f"{model.name}_training")


def of_one_question(model: keras.Model, manifest: Manifest) -> keras.Model:
    """Returns the model that `of_many_questions` was made of, on the same layers; one of one question as it is.

    Args:
        model: either.
        manifest: of the model.
    """
    if "together" not in [layer.name for layer in model.layers]:
        return model
    made, text = _layers_of(model), manifest.text_input
    assert text is not None, "a model of this task has a question"
    question = keras.Input((text.length,), dtype="int32", name=text.name)
    words = _words(question, made)
    return keras.Model(
        [model.inputs[0], question],
        _answers(made["picture"].output, words, made),
        name=model.name.removesuffix("_training"),
    )


def _new_layers(num_classes: int, width: float, numbers: int) -> _Layers:
    """Returns all layers with weights, and those between them, by name."""
    units = scaled_units(_UNITS, width)
    made: list[keras.Layer] = []
    for block, (filters, convolutions) in enumerate(_BLOCKS, 1):
        for number in range(1, convolutions + 1):
            padding = "same" if number == 1 else "valid"
            made.append(
                layers.Conv2D(
                    scaled_units(filters, width),
                    3,
                    padding=padding,
                    activation="relu",
                    kernel_initializer="he_normal",
                    name=f"block{block}_conv{number}",
                )
            )
        made.append(layers.MaxPooling2D(name=f"block{block}_pool"))
    made += [
        layers.Flatten(name="flatten"),
        layers.Dense(units, name="picture"),
        layers.Embedding(numbers, units, name="embedding"),
        layers.LSTM(units, return_sequences=True, name="lstm"),
        LastWord(name="last_word"),
        layers.Dense(units, use_bias=False, name="words"),
        layers.Add(name="joined"),
        layers.ReLU(name="joined_relu"),
        layers.Dense(num_classes, name="logits"),
    ]
    return {layer.name: layer for layer in made}


def _layers_of(model: keras.Model) -> _Layers:
    return {layer.name: layer for layer in model.layers}


def _picture(x: keras.KerasTensor, made: _Layers) -> keras.KerasTensor:
    """Returns what an image comes to, (N, units)."""
    for name, layer in made.items():
        x = layer(x)
        if name == "picture":
            break
    return x


def _words(ids: keras.KerasTensor, made: _Layers) -> keras.KerasTensor:
    """Returns what questions come to, (rows, units)."""
    states = made["lstm"](made["embedding"](ids))
    return made["words"](made["last_word"](states, ids))


def _answers(picture: keras.KerasTensor, words: keras.KerasTensor, made: _Layers) -> keras.KerasTensor:
    """Returns the logits of what an image and a question come to together."""
    return made["logits"](made["joined_relu"](made["joined"]([picture, words])))
