import json
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import pytest

from edgecnn.errors import KerasFileError
from edgecnn.models.loading import load_keras


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    image = keras.Input((4, 4, 1), dtype="uint8", name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    path = tmp_path / "model.keras"
    keras.Model(image, keras.layers.Dense(2, name="logits")(x)).save(path)
    return path


def rewritten(path: Path, **replaced: bytes) -> Path:
    """Copies the archive with members replaced or added; "__" in a name stands for "."."""
    target = path.with_name("rewritten.keras")
    members = {name.replace("__", "."): content for name, content in replaced.items()}
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, members.pop(name, None) or source.read(name))
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def test_load_keras_reads_what_keras_saved(saved: Path) -> None:
    assert load_keras(saved).count_params() == 34


def test_load_keras_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KerasFileError, match="received nothing"):
        load_keras(tmp_path / "absent.keras")
    with pytest.raises(KerasFileError, match="received a folder"):
        load_keras(tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_load_keras_refuses_a_truncated_file(saved: Path, part: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(KerasFileError, match="damaged or truncated"):
        load_keras(saved)


def test_load_keras_refuses_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    h5py.File(path, "w").close()
    with pytest.raises(KerasFileError, match="an HDF5 file"):
        load_keras(path)


def test_load_keras_runs_no_code_of_a_lambda(tmp_path: Path) -> None:
    image = keras.Input((4,))
    path = tmp_path / "model.keras"
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2, name="gadget")(image)).save(path)
    with pytest.raises(KerasFileError, match=r"'gadget' is a Lambda"):
        load_keras(path)


def test_load_keras_calls_no_function_that_the_configuration_names(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    witness = tmp_path / "witness"
    config["config"]["layers"][1]["config"]["scale"] = {
        "module": "os",
        "class_name": "system",
        "registered_name": None,
        "config": {"command": f"touch {witness}"},
    }
    with pytest.raises(KerasFileError):
        load_keras(rewritten(saved, config__json=json.dumps(config).encode()))
    assert not witness.exists()


def test_load_keras_names_an_unregistered_layer(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][2] |= {"module": "mine", "class_name": "Flattish", "registered_name": "Mine>Flattish"}
    with pytest.raises(KerasFileError, match="Flattish"):
        load_keras(rewritten(saved, config__json=json.dumps(config).encode()))


def test_load_keras_refuses_an_external_link(saved: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["vars/0"] = [1.0]
    weights = tmp_path / "weights.h5"
    with zipfile.ZipFile(saved) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(weights, "a") as file:
        del file["layers/dense/vars"]
        file["layers/dense/vars"] = h5py.ExternalLink(str(outside), "/vars")
    with pytest.raises(KerasFileError):
        load_keras(rewritten(saved, **{"model.weights.h5": weights.read_bytes()}))


def test_load_keras_refuses_a_zip_bomb(saved: Path) -> None:
    with pytest.raises(KerasFileError, match="zip bomb"):
        load_keras(rewritten(saved, **{"model.weights.h5": bytes(64 * 2**20)}))


def test_load_keras_refuses_unknown_members(saved: Path) -> None:
    with pytest.raises(KerasFileError, match="expected the members"):
        load_keras(rewritten(saved, **{"assets/vocabulary.txt": b"x"}))


def test_load_keras_refuses_weights_of_another_model(saved: Path, tmp_path: Path) -> None:
    image = keras.Input((4,))
    other = tmp_path / "other.keras"
    keras.Model(image, keras.layers.Dense(7)(image)).save(other)
    with zipfile.ZipFile(other) as archive:
        weights = archive.read("model.weights.h5")
    mixed = rewritten(saved, **{"model.weights.h5": weights})
    shutil.copy(mixed, saved)
    with pytest.raises(KerasFileError, match="Keras cannot read it"):
        load_keras(saved)


@pytest.mark.parametrize(
    "error", [RecursionError("maximum recursion depth exceeded"), RuntimeError("no"), MemoryError()]
)
def test_load_keras_refuses_a_file_whatever_keras_raises_on_it(tmp_path, monkeypatch, error):
    path = tmp_path / "deep.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)

    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(keras.saving, "load_model", fail)
    with pytest.raises(KerasFileError, match="Keras cannot read it") as caught:
        load_keras(path)
    assert "\n" not in str(caught.value)
