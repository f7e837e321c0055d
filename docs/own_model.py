"""Builds and trains two ordinary Keras classifiers, as one does without knowing of edgecnn, and saves them.

`uv run python docs/own_model.py DIR` writes DIR/pictures (scikit-learn's handwritten digits, a folder a class) and
photos/ (windows of its two photographs), trains a network with Rescaling and softmax on the one and one with a single
sigmoid unit on the other, and saves digits.keras and photos.keras. With `--predict MODEL.keras PICTURE ...` it prints
what the model itself answers, by Keras alone.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

WINDOW, STEP = 64, 32  # pixels of a photograph


def main(arguments: list[str]) -> None:
    """Trains, or prints a model's own answers."""
    if arguments[0] == "--predict":
        predict(Path(arguments[1]), arguments[2:])
        return
    folder = Path(arguments[0])
    keras.utils.set_random_seed(0)
    write_digits(folder / "pictures")
    write_windows(folder / "photos")
    train(digits_model(), folder / "pictures", "grayscale", (32, 32), "sparse_categorical_crossentropy", epochs=8).save(
        folder / "digits.keras"
    )
    train(photos_model(), folder / "photos", "rgb", (64, 64), "binary_crossentropy", epochs=5).save(
        folder / "photos.keras"
    )


def digits_model() -> keras.Model:
    """Returns ten classes, by a softmax; the pixels are scaled by a layer."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )


def photos_model() -> keras.Model:
    """Returns one of two classes, by the sigmoid of one unit; while it learns, windows are mirrored at random."""
    image = keras.Input((64, 64, 3))
    x = layers.RandomFlip("horizontal")(image)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for filters in (8, 16, 32):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


def train(
    model: keras.Model, folder: Path, color_mode: str, size: tuple[int, int], loss: str, *, epochs: int
) -> keras.Model:
    """Returns the model after a few epochs over the pictures of a folder, a folder a class."""
    data = keras.utils.image_dataset_from_directory(
        folder / "train",
        label_mode="binary" if loss == "binary_crossentropy" else "int",
        color_mode=color_mode,
        image_size=size,
        seed=0,
        verbose=False,
    )
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(data, epochs=epochs, verbose=0)
    print(f"{folder.name}: accuracy {model.evaluate(data, verbose=0)[1]:.4f} on its training part")
    return model


def predict(path: Path, pictures: list[str]) -> None:
    """Prints what `model.predict` says of pictures that have the size of its input."""
    model = keras.models.load_model(path)
    gray = model.inputs[0].shape[-1] == 1
    for picture in pictures:
        pixels = np.asarray(Image.open(picture).convert("L" if gray else "RGB"), np.float32)
        scores = model.predict(pixels.reshape(1, *model.inputs[0].shape[1:]), verbose=0)[0]
        print(picture, " ".join(f"{score:.4f}" for score in scores))


def write_digits(folder: Path) -> None:
    """Writes 32x32 pictures of handwritten digits: folder/train/7/0001.png, and a fifth of them in folder/test."""
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        part = folder / ("test" if number % 5 == 0 else "train") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        pixels = Image.fromarray((image * 255 / 16).astype(np.uint8))
        pixels.resize((32, 32), Image.Resampling.BILINEAR).save(part / f"{number:04d}.png")


def write_windows(folder: Path) -> None:
    """Writes windows of two photographs: folder/train/flower/0000.png, and those on the right in folder/test."""
    for name, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        number = 0
        for top in range(0, photograph.shape[0] - WINDOW, STEP):
            for left in range(0, photograph.shape[1] - WINDOW, STEP):
                part = folder / ("test" if left >= photograph.shape[1] * 3 // 4 else "train") / name
                part.mkdir(parents=True, exist_ok=True)
                window = photograph[top : top + WINDOW, left : left + WINDOW]
                Image.fromarray(window).save(part / f"{number:04d}.png")
                number += 1


if __name__ == "__main__":
    main(sys.argv[1:])
