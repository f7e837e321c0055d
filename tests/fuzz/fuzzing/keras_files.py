"""What training reads and leaves: Keras files, weights, the files of a run folder, labels. Loads TensorFlow."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
from fuzzing.harness import Target

from edgecnn.exporting.source import read_labels
from edgecnn.models import CATALOG, build_manifest, build_model
from edgecnn.models.loading import check_archive
from edgecnn.models.weights import load_weights
from edgecnn.trained import open_trained
from edgecnn.training import TrainConfig
from edgecnn.training.history import EpochMetrics, history_from_csv, history_to_csv
from edgecnn.training.record import DataRecord, RunRecord

_HDF5 = (b"\x89HDF\r\n\x1a\n", b"TREE", b"SNOD", b"HEAP", b"OHDR", b"vars", b"layers", b"name", b"GCOL")
_ZIP = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"config.json", b"model.weights.h5")
_CSV = (b",", b"\n", b"\r", b'"', b"\0", b"inf", b"1_0", b"\xef\xbb\xbf", b"\x1b[31m")


def targets(folder: Path) -> Iterator[Target]:
    model = build_model("simple_cnn", image_size=(12, 12), num_classes=3, width=0.05, seed=1)
    whole, weights = folder / "seed.keras", folder / "seed.weights.h5"
    model.save(whole)
    model.save_weights(weights)
    config, manifest = (
        _config(whole),
        build_manifest(CATALOG["simple_cnn"], ["a", "b", "c"], image_size=(12, 12), width=0.05),
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    loaded = _file(folder / "a.keras", lambda path: open_trained(path).load())
    yield Target("keras-archive", [whole.read_bytes()], _file(folder / "b.keras", check_archive), 3_000, tokens=_ZIP)
    yield Target("keras", [whole.read_bytes()], loaded, 200, tokens=(*_ZIP, *_HDF5), memory_mb=500)
    yield Target("keras-config", [config], _with_config(whole, loaded), 200, is_json=True, memory_mb=500)
    yield Target(
        "weights", [weights.read_bytes()], _weights(folder / "c.weights.h5", model), 1_500, tokens=_HDF5, memory_mb=2100
    )
    earlier = _record().replace(b'"schema_version": 2', b'"schema_version": 1')
    yield Target("run-record", [_record(), earlier], _text(RunRecord.from_json), 5_000, is_json=True)
    yield Target("history", [_history()], _text(history_from_csv), 5_000, tokens=_CSV)
    yield Target("labels", [b"cat\ndog\r\nowl\n"], _file(folder / "l.txt", read_labels), 2_000, tokens=_CSV)


def _file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def reader(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return reader


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "replace"))


def _config(whole: Path) -> bytes:
    with zipfile.ZipFile(whole) as archive:
        return archive.read("config.json")


def _with_config(whole: Path, read: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Reads the archive with another config.json."""
    with zipfile.ZipFile(whole) as archive:
        others = {name: archive.read(name) for name in archive.namelist() if name != "config.json"}

    def reader(data: bytes) -> object:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in {**others, "config.json": data}.items():
                archive.writestr(name, content)
        return read(stream.getvalue())

    return reader


def _weights(path: Path, model: keras.Model) -> Callable[[bytes], object]:
    def reader(data: bytes) -> object:
        path.write_bytes(data)
        return load_weights(model, CATALOG["simple_cnn"], path)

    return reader


def _record() -> bytes:
    config = TrainConfig("simple_cnn", "digits", augment=("shift",), image_size=(12, 12), width=0.5)
    return RunRecord(config, DataRecord("digits", "0" * 64, 1438, 359), {"keras": "3.15.1"}).to_json().encode()


def _history() -> bytes:
    later = EpochMetrics(2, 0.4, {"accuracy": 0.8}, 0.45, {"accuracy": 0.7})
    return history_to_csv([EpochMetrics(1, 0.5, {"accuracy": 0.75}), later]).encode()
