"""Reading a .keras file that may come from anywhere: no code of it runs and no other file is opened.

Keras' own safe mode refuses lambdas, foreign modules and HDF5 links; the checks of `edgecnn.models.keras_archive` come
before it, so that a hostile or damaged archive is refused before anything of it is built, in one line.
"""

import warnings
from pathlib import Path
from typing import cast

import keras

import edgecnn.models.layers  # noqa: F401 - registers the layers that a file may name
from edgecnn.errors import KerasFileError
from edgecnn.models.keras_archive import check_archive


def load_keras(path: str | Path, *, compiled: bool = False) -> keras.Model:
    """Loads a model from a file that `model.save("x.keras")` wrote.

    Args:
        path: a .keras file (a zip archive). The older HDF5 format is refused, since it can hide links and code.
        compiled: whether its loss, metrics and optimizer come with it, the optimizer's state too, to train on.

    Returns:
        The model, for inference unless `compiled`.

    Raises:
        KerasFileError: missing, not a .keras file, truncated, a zip bomb, with code or links in it, or with a layer
            that is not registered.
    """
    path = Path(path)
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns when layers keep their fresh weights
            return cast("keras.Model", keras.saving.load_model(path, compile=compiled, safe_mode=True))
    except Exception as error:  # Keras, h5py and the layers have each their own, of a deep configuration RecursionError
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> KerasFileError:
    """Returns the error about a file that Keras cannot read.

    Args:
        path: of the file.
        error: what Keras, h5py or a layer raised.
    """
    return KerasFileError(
        f"{path}: Keras cannot read it: {_reason(error)} Save it again with model.save('NAME.keras'); layers of "
        "your own need keras.saving.register_keras_serializable and an import before loading, as edgecnn adopt "
        "--import MODULE does."
    )


def _reason(error: Exception) -> str:
    """The first sentence of what went wrong inside; Keras wraps it in the whole configuration."""
    text = str(error).split("Exception encountered: ")[-1].strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0][:300].rstrip(".") + "."
