"""Networks of keras.applications as their users save them: adopted, exported in float32 and int8, run and verified.

Each is built with seeded weights for ten classes, trained for a few steps on scikit-learn's handwritten digits as RGB
pictures of 80x80, so that its batch normalisation has seen pictures, and saved with `model.save`. Some scale pixels
inside the model, some outside, as their documentation says. Then the command line takes over.

`uv run python benchmarks/zoo.py [NAME ...]` writes results/zoo/NAME.json; `tables.py` makes the table of
docs/own-model.md of them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIDE, CLASSES = 80, 10
_BATCH = 16
_MOMENTUM = 0.8  # of batch normalisation, so that a few steps settle its averages


@dataclass(frozen=True, slots=True)
class Network:
    """A network of keras.applications.

    Attributes:
        name: there.
        module: with its `preprocess_input`.
        inside: whether that is part of the saved model.
        options: of `edgecnn adopt` where it is not.
        steps: of training.
        rate: of its optimizer, Adam.
    """

    name: str
    module: str
    inside: bool = True
    options: tuple[str, ...] = ()
    steps: int = 60
    rate: float = 0.001


ZOO = {
    network.name: network
    for network in (
        Network("MobileNetV2", "mobilenet_v2"),
        Network("MobileNetV3Small", "mobilenet_v3", steps=90),
        Network("MobileNetV3Large", "mobilenet_v3", steps=90),
        Network("EfficientNetB0", "efficientnet"),
        Network("EfficientNetV2B0", "efficientnet_v2"),
        Network("DenseNet121", "densenet", inside=False, options=("--pixels", "torch")),
        Network("NASNetMobile", "nasnet", inside=False, options=("--pixels", "signed")),
        Network("InceptionV3", "inception_v3", inside=False, options=("--pixels", "signed")),
        Network("ConvNeXtTiny", "convnext", rate=0.0003),
        Network("ResNet50V2", "resnet_v2"),
    )
}


def pictures() -> tuple[Any, Any]:
    """Returns the digits as (1797, 80, 80, 3) uint8, and their classes."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    drawn = [Image.fromarray((image * 255 / 16).astype(np.uint8)).resize((SIDE, SIDE)) for image in digits.images]
    return np.stack([np.asarray(image.convert("RGB")) for image in drawn]), digits.target


def write_pictures(folder: Path) -> None:
    """Writes them as PNG files: folder/train/7/0001.png, and a fifth of them in folder/test."""
    from PIL import Image

    for number, (pixels, label) in enumerate(zip(*pictures(), strict=True)):
        part = folder / ("test" if number % 5 == 0 else "train") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(part / f"{number:04d}.png")


def save_network(network: Network, path: Path) -> None:
    """Builds, trains and saves a network, as its user would."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    applications = keras.applications
    body = getattr(applications, network.name)(weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES)
    for layer in body._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    preprocess = getattr(applications, network.module).preprocess_input
    model = body
    if network.inside:
        image = keras.Input((SIDE, SIDE, 3))
        model = keras.Model(image, body(preprocess(image)))
    model.compile(keras.optimizers.Adam(network.rate), "sparse_categorical_crossentropy", jit_compile=False)
    pixels, labels = pictures()
    train = np.flatnonzero(np.arange(len(labels)) % 5)
    order = np.random.default_rng(0)
    for _ in range(network.steps):
        chosen = order.choice(train, _BATCH, replace=False)
        shown = pixels[chosen].astype(np.float32)
        model.train_on_batch(shown if network.inside else preprocess(shown), labels[chosen])
    model.save(path)
