"""The ways of `peers.py` to run one Keras model: what each is made of, and the function that answers with it."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgecnn.data import Samples, load_dataset
from edgecnn.models import build_manifest, build_model, get_spec
from edgecnn.models.pretrained import RANDOM_SEED
from edgecnn.tasks.segmentation.targets import arrays
from edgecnn.trained import open_trained
from edgecnn_runtime import Preprocessor
from edgecnn_runtime.machine import has_amx

CALIBRATION_IMAGES = 300
TUNED = "edgecnn int8 for AMX"
PEERS = {"LiteRT": ("ai_edge_litert",), "OpenVINO": ("openvino", "nncf")}  # installs of the benchmark alone
Pixels = npt.NDArray[np.uint8]
Outputs = Mapping[str, npt.NDArray[np.float32]]  # by the names of the manifest
Answer = Callable[[Pixels], Outputs]


@dataclass(frozen=True, slots=True)
class Case:
    """A model, its files, and the images to answer.

    Attributes:
        name: in the catalogue.
        model: in Keras.
        folder: of the files.
        outputs: the shapes of the outputs by name, without the batch axis.
        images: (N, H, W, C) uint8, of the test part or of all, ready for the network.
        truths: (N,) classes of the images, of a detector all 0; or (N, H, W) classes of their pixels.
        trained: whether the accuracy means anything.
        train: what the int8 ways calibrate on.
        preprocess: an image to what the network takes.
        sizes: bytes of each way's file.
    """

    name: str
    model: keras.Model
    folder: Path
    outputs: Mapping[str, tuple[int | None, ...]]
    images: Pixels
    truths: npt.NDArray[Any]
    trained: bool
    train: Samples
    preprocess: Preprocessor
    sizes: dict[str, int] = field(default_factory=dict)


def prepare(name: str, data: Path, train: Sequence[str] | None, folder: Path, *, images: int) -> Case:
    """Makes every way's file that is not there yet, and reads the test images; takes what `export_case` takes."""
    case = export_case(name, data, train, folder, images=images)
    calibration = _calibration(case)
    _make_plain(case, calibration)
    if is_installed("LiteRT"):
        _make_lite(case, calibration)
    if is_installed("OpenVINO"):
        _make_openvino(case, calibration)
        case.sizes["OpenVINO int8"] = (folder / "OpenVINO int8.bin").stat().st_size
    case.sizes.update({path.stem: path.stat().st_size for path in folder.iterdir() if path.suffix in _SUFFIXES})
    return case


_SUFFIXES = {".onnx", ".tflite"}


def export_case(name: str, data: Path, train: Sequence[str] | None, folder: Path, *, images: int) -> Case:
    """Makes those of edgecnn's files that are not there yet, and reads the test images.

    Args:
        name: in the catalogue.
        data: what `edgecnn train --data` takes.
        train: options of the training; None for random weights at the published size.
        folder: for the files.
        images: how many of the test part, evenly spread.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset(str(data), skip_bad=True)
    labels = folder / "labels.txt"
    labels.write_text("\n".join(dataset.labels) + "\n")
    if train is None:
        source = [name, "--weights", "none", "--labels", labels]
        model = build_model(name, num_classes=len(dataset.labels), seed=RANDOM_SEED)
        manifest = build_manifest(get_spec(name), dataset.labels)
    else:
        if not (folder / "run" / "model.keras").exists():
            edgecnn("train", name, "--data", data, "-o", folder / "run", "--overwrite", "--validation", "0", *train)
        source = [folder / "run"]
        trained = open_trained(folder / "run")
        model, manifest = trained.load(), trained.manifest  # the weights that edgecnn's own files have
    budget = ("--max-drop", "1", "--min-speedup", "0") if train is None else ("--min-speedup", "0")
    int8 = ("--quantize", "int8", *budget)
    recipes = {"edgecnn fp32": (), "edgecnn int8": int8, TUNED: (*int8, "--tune-for", "amx")}
    for way in own_ways():
        if not (folder / f"{way}.onnx").exists():
            edgecnn("export", *source, "-o", folder / f"{way}.onnx", "--data", data, "--skip-bad", *recipes[way])
    preprocess = Preprocessor(manifest.image_input)
    shown = dataset.select(None)
    chosen = np.unique(np.linspace(0, len(shown) - 1, images).astype(int))
    rows, placements = zip(*(preprocess(shown[index][0]) for index in chosen), strict=True)
    pixels, targets = np.concatenate(rows), shown.targets.subset(chosen)
    is_map = manifest.task == "segmentation"
    truths = arrays(targets, placements, pixels.shape[1:3])["masks"] if is_map else targets.classes()
    outputs = {spec.name: spec.shape for spec in manifest.outputs}
    return Case(name, model, folder, outputs, pixels, truths, train is not None, dataset.train, preprocess)


def own_ways() -> tuple[str, ...]:
    """Returns edgecnn's files that make sense on this machine."""
    return ("edgecnn fp32", "edgecnn int8", *((TUNED,) if has_amx() else ()))


def is_installed(peer: str) -> bool:
    """Returns whether all that a peer of `PEERS` takes is there."""
    return all(find_spec(module) is not None for module in PEERS[peer])


def ways(case: Case, threads: int) -> dict[str, Answer]:
    """Returns what answers one image, (1, H, W, C) uint8, for each way on so many threads."""
    onnx = {
        way: _onnxruntime(case.folder / f"{way}.onnx", threads) for way in ("plain fp32", "plain int8", *own_ways())
    }
    peers: dict[str, Answer] = {}
    if is_installed("LiteRT"):
        peers |= {way: _lite(case, case.folder / f"{way}.tflite", threads) for way in ("LiteRT fp32", "LiteRT int8")}
    if is_installed("OpenVINO"):
        peers["OpenVINO fp32"] = _openvino(case.folder / "plain fp32.onnx", threads)
        peers["OpenVINO int8"] = _openvino(case.folder / "OpenVINO int8.xml", threads)
    return {**onnx, **peers, "Keras predict": _keras(case)}


def edgecnn(*command: Any) -> None:
    """Runs the command line; all that it says goes to stderr."""
    words = [str(Path(sys.executable).with_name("edgecnn")), *map(str, command)]
    print("+ edgecnn", *words[1:], file=sys.stderr, flush=True)
    subprocess.run(words, check=True, stdout=sys.stderr)


def _calibration(case: Case) -> Pixels:
    """Returns the first images of a seeded order, (N, H, W, C); the same for every way but edgecnn's own."""
    order = np.random.default_rng(0).permutation(len(case.train))[:CALIBRATION_IMAGES]
    return np.concatenate([case.preprocess(case.train[index][0])[0] for index in order])


def _make_plain(case: Case, calibration: Pixels) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from edgecnn_exporters.graph.convert import convert
    from edgecnn_exporters.graph.writer import write_model

    plain, prepared, quantized = (case.folder / name for name in ("plain fp32.onnx", "prepared", "plain int8.onnx"))
    if not plain.exists():
        with plain.open("xb") as file:
            write_model(convert(case.model, output_names=list(case.outputs)), file)
    if quantized.exists():
        return

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images: Iterator[Pixels] = iter(calibration)

        def get_next(self) -> dict[str, Pixels] | None:
            image = next(self.images, None)
            return None if image is None else {"image": image[np.newaxis]}

    quant_pre_process(plain, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        quantized,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


def _make_lite(case: Case, calibration: Pixels) -> None:
    for way, quantized in (("LiteRT fp32", False), ("LiteRT int8", True)):
        path = case.folder / f"{way}.tflite"
        if path.exists():
            continue
        exported = case.folder / "saved_model"
        if not exported.exists():
            case.model.export(
                exported,
                format="tf_saved_model",
                verbose=False,
                input_signature=[tf.TensorSpec((1, *case.images.shape[1:]), tf.uint8, name="image")],
            )
        converter = tf.lite.TFLiteConverter.from_saved_model(str(exported))
        if quantized:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
        path.write_bytes(converter.convert())


def _make_openvino(case: Case, calibration: Pixels) -> None:
    import nncf
    import openvino

    path = case.folder / "OpenVINO int8.xml"
    if path.exists():
        return
    model = openvino.convert_model(case.folder / "plain fp32.onnx")
    images = [image[np.newaxis] for image in calibration]
    openvino.save_model(
        nncf.quantize(model, nncf.Dataset(images), subset_size=len(images)), path, compress_to_fp16=False
    )


def _keras(case: Case) -> Answer:
    names = list(case.outputs)

    def answer(pixels: Pixels) -> Outputs:
        given = case.model.predict(pixels, verbose=0)
        return dict(zip(names, [given] if len(names) == 1 else given, strict=True))

    return answer


def _onnxruntime(path: Path, threads: int) -> Answer:
    from edgecnn_runtime.session import Session

    session = Session(path.read_bytes(), device="cpu", threads=threads)  # spinning would slow the next way
    return lambda pixels: session.run({"image": pixels})


def _lite(case: Case, path: Path, threads: int) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    shapes = {tuple(asked["shape"][1:].tolist()): asked["index"] for asked in interpreter.get_output_details()}
    places = {name: shapes[shape] for name, shape in case.outputs.items()}  # its names are TensorFlow's own

    def answer(pixels: Pixels) -> Outputs:
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        return {name: np.asarray(interpreter.get_tensor(place)) for name, place in places.items()}

    return answer


def _openvino(path: Path, threads: int) -> Answer:
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    request = compiled.create_infer_request()

    def answer(pixels: Pixels) -> Outputs:
        return {output.any_name: np.asarray(values) for output, values in request.infer({0: pixels}).items()}

    return answer
