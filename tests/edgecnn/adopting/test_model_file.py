import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from own_models import SIDE, colour_model, colours

from edgecnn.adopting.model_file import ModelFile
from edgecnn.errors import KerasFileError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


def save_h5(model: keras.Model, path: Path) -> Path:
    from keras.src.legacy.saving import legacy_h5_format

    legacy_h5_format.save_model_to_hdf5(model, path, include_optimizer=False)
    return path


def test_every_form_gives_the_model(tmp_path):
    model = colour_model()
    model.save(tmp_path / "a.keras")
    save_h5(model, tmp_path / "b.h5")
    model.save_weights(tmp_path / "c.weights.h5")
    (tmp_path / "c.json").write_text(model.to_json())
    pixels = colours(8)[0].astype(np.float32)

    for file in (
        ModelFile(tmp_path / "a.keras"),
        ModelFile(tmp_path / "b.h5"),
        ModelFile(tmp_path / "c.weights.h5", tmp_path / "c.json"),
    ):
        assert file.read_config()["class_name"] == "Functional"
        np.testing.assert_array_equal(file.load().predict(pixels, verbose=0), model.predict(pixels, verbose=0))
        folder = tmp_path / f"of_{file.path.stem}"
        folder.mkdir()
        file.copy(folder)
        np.testing.assert_array_equal(
            file.copied(folder).load().predict(pixels, verbose=0), model.predict(pixels, verbose=0)
        )


def test_code_in_an_hdf5_file_is_refused_before_it_is_built(tmp_path):
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Lambda(lambda x: x * 2), layers.Flatten()])
    with pytest.raises(KerasFileError, match="is a Lambda, which can run code"):
        ModelFile(save_h5(model, tmp_path / "code.h5")).read_config()


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/model_weights")])
def test_links_in_an_hdf5_file_are_refused(tmp_path, link):
    path = save_h5(colour_model(), tmp_path / "links.h5")
    with h5py.File(path, "a") as file:
        file["model_weights/more"] = link
    with pytest.raises(KerasFileError, match="model_weights/more is a link"):
        ModelFile(path).read_config()


def test_an_hdf5_file_that_holds_itself_is_read(tmp_path):
    path = save_h5(colour_model(), tmp_path / "round.h5")
    with h5py.File(path, "a") as file:
        file["model_weights/round"] = file["model_weights"]
    assert ModelFile(path).read_config()["class_name"] == "Functional"


def test_damaged_files_are_refused_in_a_line(tmp_path):
    path = save_h5(colour_model(), tmp_path / "whole.h5")
    content = path.read_bytes()
    for length in (0, 7, 100, len(content) // 2):
        damaged = tmp_path / f"{length}.h5"
        damaged.write_bytes(content[:length])
        with pytest.raises(KerasFileError, match="damaged or truncated"):
            ModelFile(damaged).read_config()
    (tmp_path / "nothing.weights.h5").write_bytes(b"")
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(KerasFileError, match="damaged or truncated"):
        ModelFile(tmp_path / "nothing.weights.h5", tmp_path / "model.json").read_config()
    colour_model().save_weights(tmp_path / "good.weights.h5")
    with pytest.raises(KerasFileError, match=r"expected the JSON of model\.to_json"):
        ModelFile(tmp_path / "good.weights.h5", tmp_path / "model.json").read_config()


def test_what_is_no_keras_model_is_refused_with_what_to_do(tmp_path):
    saved = tmp_path / "saved"
    colour_model().export(saved, verbose=False)
    for name in ("a.tflite", "b.onnx", "c.pt", "d.pb"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    expected = {
        "saved": r"a SavedModel.*model\.save\('NAME\.keras'\)",
        "a.tflite": "TensorFlow Lite file.*Adopt the Keras model",
        "b.onnx": "needs no adoption",
        "c.pt": r"PyTorch file\. torch\.onnx\.export",
        "d.pb": "a TensorFlow graph",
        "run": "a run folder: evaluate and export take it",
    }
    for name, message in expected.items():
        with pytest.raises(UsageError, match=message):
            ModelFile(tmp_path / name).read_config()
    with pytest.raises(KerasFileError, match="received nothing"):
        ModelFile(tmp_path / "missing.keras").read_config()
    with pytest.raises(KerasFileError, match="received nothing there"):
        ModelFile(tmp_path / "missing.h5").read_config()


def test_weights_alone_ask_for_their_architecture(tmp_path):
    model = colour_model()
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(UsageError, match=r"holds weights alone.*--architecture MODEL\.json"):
        ModelFile(tmp_path / "a.weights.h5").read_config()
    (tmp_path / "a.weights.h5").rename(tmp_path / "a.h5")
    with pytest.raises(KerasFileError, match=r"received weights alone\. Rename"):
        ModelFile(tmp_path / "a.h5").read_config()
    model.save(tmp_path / "b.keras")
    with pytest.raises(UsageError, match="--architecture: it cannot take effect"):
        ModelFile(tmp_path / "b.keras", tmp_path / "c.json").read_config()


def test_weights_of_another_model_are_refused(tmp_path):
    colour_model().save_weights(tmp_path / "a.weights.h5")
    other = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Flatten(), layers.Dense(3), layers.Dense(2)])
    (tmp_path / "other.json").write_text(other.to_json())
    with pytest.raises(KerasFileError, match="Keras cannot read it"):
        ModelFile(tmp_path / "a.weights.h5", tmp_path / "other.json").load()


OWN = """
import keras

@keras.saving.register_keras_serializable(package="{package}")
class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2
"""


def test_layers_of_ones_own_are_imported_from_a_file_or_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for package, module in (("by_file", "mine_by_file.py"), ("by_name", "mine_by_name")):
        code = tmp_path / (module if module.endswith(".py") else f"{module}.py")
        code.write_text(OWN.format(package=package))
        scope: dict = {}
        exec(compile(code.read_text(), str(code), "exec"), scope)
        model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), scope["Halved"](), layers.Flatten()])
        model.save(tmp_path / f"{package}.keras")
        keras.saving.get_custom_objects().pop(f"{package}>Halved")

        with pytest.raises(KerasFileError, match="--import MODULE"):
            ModelFile(tmp_path / f"{package}.keras").load()
        file = ModelFile(tmp_path / f"{package}.keras", imports=(module,))
        assert file.load().predict(np.ones((1, SIDE, SIDE, 3)), verbose=0)[0, 0] == 0.5


@pytest.mark.parametrize(
    ("code", "message"),
    [("import missing_module", "ModuleNotFoundError"), ("1 / 0", "ZeroDivisionError"), ("def", "SyntaxError")],
)
def test_modules_that_cannot_be_imported_are_named(tmp_path, code, message):
    colour_model().save(tmp_path / "a.keras")
    path = tmp_path / "broken.py"
    path.write_text(code)
    for _ in range(2):  # the second time too
        with pytest.raises(UsageError, match=rf"--import .*broken\.py: it cannot be imported: {message}"):
            ModelFile(tmp_path / "a.keras", imports=(str(path),)).load()


def test_no_module_is_imported_to_read_a_configuration(tmp_path):
    marker = tmp_path / "ran"
    code = tmp_path / "marks.py"
    code.write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()")
    colour_model().save(tmp_path / "a.keras")
    ModelFile(tmp_path / "a.keras", imports=(str(code),)).read_config()
    assert not marker.exists()


def test_a_zip_that_is_no_model_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Functional"}))
    with pytest.raises(KerasFileError, match="expected the members"):
        ModelFile(tmp_path / "a.keras").read_config()
