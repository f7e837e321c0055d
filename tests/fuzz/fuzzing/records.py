"""Data sets, lists and reports: what is read without TensorFlow."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import model_files
import numpy as np
from fuzzing.harness import Target
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from edgecnn.benchmarking import (
    BenchConfig,
    BenchReport,
    Conditions,
    FileBench,
    Latency,
    Proof,
    check_comparable,
    compare,
)
from edgecnn.benchmarking import read_report as read_bench_report
from edgecnn.data.bad_pictures import BadPicture, bad_pictures_csv, bad_pictures_from_csv
from edgecnn.data.cache import cached_pixels
from edgecnn.data.coco import read_coco
from edgecnn.data.npz import read_npz
from edgecnn.data.samples import Samples
from edgecnn.data.targets import ClassIds
from edgecnn.data.voc import read_voc
from edgecnn.data.yolo import read_yolo
from edgecnn.machine import Machine
from edgecnn.outputs import recorded_data
from edgecnn.reads_and_writes import TRIES_COLUMNS, is_tries_of, tries_paths, tries_title
from edgecnn_runtime.evidence import MetricParity
from edgecnn_runtime.lock import Lock
from edgecnn_runtime.manifest import ImageInput, ModelInfo
from edgecnn_runtime.report_file import read_report, report_path
from edgecnn_runtime.sources import iter_sources

_ZIP_TOKENS = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"x_train.npy", b"\x93NUMPY\x01\0", b"|O", b"<U9", b"(9,)")
_NPY_TOKENS = (b"\x93NUMPY", b"'descr': '|O'", b"'shape': (", b"9" * 30, b"True", b"|u1", b"<f8", b"(3, 4, 4, 1)")


def targets(folder: Path) -> Iterator[Target]:
    yield Target("npz", _data_sets(), _file(folder / "set.npz", read_npz), 5_000, tokens=_ZIP_TOKENS)
    cache = _cache(folder / "cache")
    yield Target("cache", [cache.read_bytes()], _cache_reader(cache), 3_000, tokens=_NPY_TOKENS)
    yield from _boxes(folder / "boxes")
    yield Target(
        "list",
        [b"first picture.png\nsecond one.jpg\r\n\nthird.png\n", b"\xef\xbb\xbfa picture.png\n"],
        _listed(folder),
        4_000,
    )
    yield Target(
        "skipped",
        [_skipped()],
        _file(folder / "skipped.csv", bad_pictures_from_csv),
        3_000,
        tokens=(b'"', b"\0", b"\r"),
    )
    yield Target("report", [_report()], _report_reader(folder / "model.onnx"), 3_000, is_json=True)
    yield Target("tries", _tries(folder / "m.onnx"), _tries_reader(folder / "m.onnx"), 2_000)
    bench = json.dumps(_bench_report().to_dict()).encode()
    yield Target("bench-report", [bench], _bench_reader(folder / "bench.json"), 4_000, is_json=True)
    yield Target("run-config", [b'{"data": {"location": "digits"}}'], _run_config(folder / "run"), 2_000, is_json=True)
    yield Target("lock", [_lock()], _lock_reader(folder / "lock"), 2_000, is_json=True)


def _file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def reader(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return reader


_XML = b"""<annotation><size><width>20</width><height>12</height></size><object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"""
_COCO = b"""{"images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 12}], "annotations": [{"id": 1,
"image_id": 1, "category_id": 3, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}], "categories": [{"id": 3, "name": "cat"}]}"""
_YAML = b"path: .\ntrain: images\nval: [images]\nnc: 2\nnames: {0: cat, 1: 'dog'}\n"
_ROWS = b"0 0.5 0.5 0.25 0.25\n1 .1 .1 .1 .1\n"
_XML_TOKENS = (b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<object>", b"<part>", b"]]>", b"<!--", b"nan", b"1e999")


def _boxes(folder: Path) -> Iterator[Target]:
    for name in ("voc", "coco", "yolo/images", "yolo/labels", "rows/images", "rows/labels"):
        (folder / name).mkdir(parents=True)
    for name in ("voc", "coco", "yolo/images", "rows/images"):
        Image.new("RGB", (20, 12)).save(folder / name / "a.png")
    (folder / "rows" / "data.yaml").write_bytes(_YAML)
    xml, rows = folder / "voc" / "a.xml", folder / "rows" / "labels" / "a.txt"
    yield Target("voc", [_XML], _file(xml, lambda path: read_voc(path.parent)), 2_000, tokens=_XML_TOKENS)
    yield Target("coco", [_COCO], _file(folder / "coco" / "a.json", read_coco), 2_000, is_json=True)
    yield Target(
        "yolo", [_YAML], _file(folder / "yolo" / "data.yaml", read_yolo), 2_000, tokens=(b"&a", b"*a", b"!!", b"- ")
    )
    yield Target("yolo-rows", [_ROWS], _file(rows, lambda path: read_yolo(path.parents[1])), 2_000)


def _data_sets() -> list[bytes]:
    random = np.random.default_rng(0)
    pixels, classes = random.integers(0, 255, (6, 4, 4), dtype=np.uint8), np.array([0, 1, 2] * 2)
    kinds = ({"labels": np.array(["a", "b", "c"])}, {"x_test": pixels, "y_test": classes})
    seeds = []
    for kind in kinds:
        for save in (np.savez, np.savez_compressed):
            stream = io.BytesIO()
            save(stream, x_train=pixels, y_train=classes, **kind)
            seeds.append(stream.getvalue())
    return seeds


_PART = Samples(np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1), ClassIds(np.array([0, 1, 0])), ("a", "b"), "train")
_INPUT = ImageInput("image", 4, 4, "gray")


def _cache(folder: Path) -> Path:
    cached_pixels([_PART], _INPUT, folder, fingerprint="f")
    (path,) = folder.glob("*.npy")
    return path


def _cache_reader(path: Path) -> Callable[[bytes], object]:
    """Reads through a cache file that something has damaged: made anew, or as good as whole."""

    def read(data: bytes) -> object:
        path.write_bytes(data)
        (part,) = cached_pixels([_PART], _INPUT, path.parent, fingerprint="f")
        if part.pixels.dtype != np.uint8 or part.pixels.shape != (3, 4, 4, 1):
            raise AssertionError(f"pixels of {part.pixels.dtype} {part.pixels.shape}")
        return int(np.sum(part.pixels))

    return read


def _listed(folder: Path) -> Callable[[bytes], object]:
    path, empty = folder / "list.txt", folder / "empty"
    empty.mkdir()

    def read(data: bytes) -> object:
        path.write_bytes(data)
        with contextlib.chdir(empty):
            return list(iter_sources([f"@{path}"]))

    return read


def _skipped() -> bytes:
    return bad_pictures_csv(
        [BadPicture("train", index, "a", f"{index}.png", 'truncated, "so"') for index in range(3)]
    ).encode()


def _report() -> bytes:
    return json.dumps({"file": "model.onnx", "passed": True, "parity": {}, "evidence": {}, "file_sha256": "0"}).encode()


def _report_reader(model: Path) -> Callable[[bytes], object]:
    model.write_bytes(b"")
    return _file(report_path(model), lambda _: read_report(model))


def _tries(model: Path) -> list[bytes]:
    title = PngInfo()
    title.add_text("Title", tries_title(model))
    picture = model_files.encode(model_files.photo(9, 14), pnginfo=title)
    return [f"# {model.name}\n\n| {' | '.join(TRIES_COLUMNS)} |\n".encode(), picture]


def _tries_reader(model: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        for path in tries_paths(model):
            path.write_bytes(data)
        return [is_tries_of(path, model) for path in tries_paths(model)]

    return read


def _bench_report() -> BenchReport:
    machine = Machine("Linux", "Chip", "x86-64-avx2", 8, 4, "3.11.7", {"onnxruntime": "1.30.0"})
    conditions = Conditions(9.0, 0.1, 0.2, 0.0, 0.0, None, None, None, None, None, ())
    spread = Latency(100, 2.0, 2.2, 3.0)
    startup = None
    metric = MetricParity("accuracy", 100, 0.9, 0.9)
    own = (ModelInfo("a", 1.0), Proof("float32", "0" * 64), None)
    file = FileBench("a.onnx", "CPUExecutionProvider", 2, metric, startup, *(spread,) * 5, *own)
    return BenchReport("method", BenchConfig(threads=2), True, machine, conditions, (file,))


def _bench_reader(path: Path) -> Callable[[bytes], object]:
    """Reads an earlier report and compares with it, as `edgecnn bench --compare` does."""
    now = _bench_report()

    def read(data: bytes) -> object:
        path.write_bytes(data)
        earlier = read_bench_report(path)
        check_comparable(earlier, [file.file for file in now.files], now.config, now.machine)
        compared = replace(now, comparison=compare(earlier, now, path=str(path), max_regression=0.05))
        return json.dumps(compared.to_dict(), allow_nan=False)

    return read


def _run_config(folder: Path) -> Callable[[bytes], object]:
    folder.mkdir()
    return _file(folder / "config.json", lambda path: recorded_data(path.parent))


def _lock() -> bytes:
    return json.dumps({"edgecnn": "lock", "pid": 4_000_000, "host": "a", "started": "now", "namespace": ""}).encode()


def _lock_reader(path: Path) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        path.write_bytes(data)
        lock = Lock.take(path)
        lock.release()
        assert not path.exists()
        return lock.left_by

    return read
