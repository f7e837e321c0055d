"""How long does a large Keras model take to become ONNX, how much memory, and does it still answer alike?

Keras' own ResNet-50 and VGG-16 with random weights, in three ways:

- plain tf2onnx: `tf2onnx.convert.from_function`, which captures the weights as constants; bytes in memory.
- edgecnn convert: weights as arguments, ONNX Runtime's basic level, names and order; a file.
- edgecnn export: the same, stamped, read back, verified on 32 images, with its report; the file that is published.

Each run is a process of its own, so that its peak memory is its own; the ways take turns. Seconds are of the work
alone, without the imports and the making of the model; peak memory is of the whole process. The difference from Keras
is the largest over 4 images, relative to the largest output.

    uv run python benchmarks/conversion.py [--runs 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAYS = {
    "plain tf2onnx": ("ResNet50",),
    "edgecnn convert": ("ResNet50", "VGG16"),
    "edgecnn export": ("ResNet50", "VGG16"),
}
BUDGET = 1e-4  # difference from Keras, relative to the largest output
SIZE = (224, 224, 3)
CLASSES = 1000


def main() -> int:
    """Runs every way on every model and prints the table; returns 1 when an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=int, default=3, help="processes for each line of the table (default: %(default)s)"
    )
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "MODEL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return 0
    cases = [(way, model) for way, models in WAYS.items() for model in models]
    samples: dict[tuple[str, str], list[dict[str, float]]] = {case: [] for case in cases}
    for run in range(arguments.runs):
        for way, model in cases:
            print(f"run {run + 1} of {arguments.runs}: {way}, {model}", file=sys.stderr)
            samples[way, model].append(run_apart(way, model))
    rows = [summarise(way, model, samples[way, model]) for way, model in cases]
    print_table(rows)
    from record import write_result  # imports edgecnn, which the measured processes do not need

    print(f"written to {write_result('conversion', rows)}")
    return int(any(row["relative_difference"] > BUDGET for row in rows))


def run_apart(way: str, model: str) -> dict[str, float]:
    """Returns what a fresh process measures."""
    command = [sys.executable, __file__, "--measure", way, model]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if run.returncode:
        sys.exit(f"{way}, {model}: ended with {run.returncode}\n{run.stderr}")
    result: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return result


def measure(way: str, name: str) -> dict[str, float]:
    """Returns seconds, peak memory and difference of one conversion in this process."""
    model = make_model(name)
    import tf2onnx.convert  # noqa: F401  (imports are not what is measured)

    import edgecnn_exporters  # noqa: F401

    before_mb = peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = MAKERS[way](model, Path(folder))
        seconds = time.perf_counter() - start
        peak = peak_mb()
        content = made.read_bytes() if isinstance(made, Path) else made
    return {"seconds": seconds, "peak_mb": peak, "before_mb": before_mb, **difference(model, content)}


def make_model(name: str) -> Any:
    """Returns a Keras application on raw pixels, with random weights and no batch norm that does nothing."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    image = keras.Input(SIZE, dtype="uint8", name="image")
    pixels = keras.layers.Rescaling(1 / 127.5, -1, name="normalization")(image)
    backbone = getattr(keras.applications, name)(weights=None, input_tensor=pixels, classifier_activation=None)
    logits = keras.layers.Identity(name="logits")(backbone.output)
    model = keras.Model(image, logits)
    random = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(weight.numpy() + random.uniform(0.01, 0.1, weight.shape))
    return model


def convert_plain(model: Any, _: Path) -> bytes:
    """Converts as tf2onnx's documentation says."""
    import tensorflow as tf
    import tf2onnx

    function = tf.function(lambda image: {"logits": model(image, training=False)})
    proto, _ = tf2onnx.convert.from_function(function, [tf.TensorSpec((1, *SIZE), tf.uint8, name="image")], opset=17)
    proto.ir_version = 8
    return bytes(proto.SerializeToString())


def convert_edgecnn(model: Any, folder: Path) -> Path:
    """Converts and folds, without verification."""
    from edgecnn_exporters.graph.convert import convert
    from edgecnn_exporters.graph.publish import finish

    names = {"input_names": ["image"], "output_names": ["logits"], "batch": 1}
    finish(convert(model, **names), folder / "graph.onnx", **names)
    return folder / "graph.onnx"


def export_edgecnn(model: Any, folder: Path) -> Path:
    """Makes the file that is published."""
    from edgecnn.models.adapter import KerasModel
    from edgecnn_exporters import export
    from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
    from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

    image = ImageInput("image", *SIZE[:2], "rgb", resize="center_crop", crop_fraction=0.875)
    outputs = (OutputSpec("logits", (CLASSES,)),)
    manifest = Manifest("classification", ModelInfo("benchmark", 1.0), (image,), None, SoftmaxDecoder(), outputs)
    return export(model, manifest, folder / "model.onnx", reference=KerasModel(model, manifest), seed=0).path


MAKERS: dict[str, Callable[[Any, Path], bytes | Path]] = {
    "plain tf2onnx": convert_plain,
    "edgecnn convert": convert_edgecnn,
    "edgecnn export": export_edgecnn,
}


def difference(model: Any, content: bytes) -> dict[str, float]:
    """Returns the largest difference from Keras over 4 images, absolute and relative to the largest output."""
    import numpy as np

    from edgecnn_runtime.session import Session

    pixels = np.random.default_rng(1).integers(0, 256, (4, *SIZE), dtype=np.uint8)
    expected = np.concatenate([model(image[np.newaxis], training=False) for image in pixels])
    session = Session(content, device="cpu")
    received = np.concatenate([session.run({"image": image[np.newaxis]})["logits"] for image in pixels])
    largest = float(np.abs(received - expected).max())
    return {"difference": largest, "relative_difference": largest / float(np.abs(expected).max())}


def peak_mb() -> float:
    """Returns the most memory that this process has held so far, in MB (10^6 bytes)."""
    from edgecnn.memory import peak_memory_bytes

    return (peak_memory_bytes() or 0) / 1e6


def summarise(way: str, model: str, samples: list[dict[str, float]]) -> dict[str, Any]:
    """Returns a line of the table: medians, every value of the seconds, the worst difference."""
    seconds = [sample["seconds"] for sample in samples]
    return {
        "way": way,
        "model": model,
        "n": len(samples),
        "seconds": statistics.median(seconds),
        "all_seconds": seconds,
        "peak_mb": statistics.median(sample["peak_mb"] for sample in samples),
        "before_mb": statistics.median(sample["before_mb"] for sample in samples),
        "difference": max(sample["difference"] for sample in samples),
        "relative_difference": max(sample["relative_difference"] for sample in samples),
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints one table, the ratios and the targets."""
    print(
        f"{'way':16} {'model':9} {'n':>2} {'seconds':>8} {'(least, most)':>15} {'peak MB':>8} {'before':>7} {'diff':>8}"
    )
    for row in rows:
        spread = f"({min(row['all_seconds']):.1f}, {max(row['all_seconds']):.1f})"
        print(
            f"{row['way']:16} {row['model']:9} {row['n']:2} {row['seconds']:8.1f} {spread:>15} {row['peak_mb']:8.0f} "
            f"{row['before_mb']:7.0f} {row['relative_difference']:8.1e}"
        )
    by_case = {(row["way"], row["model"]): row for row in rows}
    plain, ours = by_case["plain tf2onnx", "ResNet50"], by_case["edgecnn convert", "ResNet50"]
    whole = by_case["edgecnn export", "VGG16"]
    added = (plain["peak_mb"] - plain["before_mb"]) / (ours["peak_mb"] - ours["before_mb"])
    print(
        f"ResNet50: {plain['seconds'] / ours['seconds']:.1f} times faster than plain (to reach: 3), "
        f"{plain['peak_mb'] / ours['peak_mb']:.1f} times leaner (to reach: 5), "
        f"{added:.1f} times in what the work adds\n"
        f"VGG16, whole export: {whole['seconds']:.0f} s (to reach: 60), {whole['peak_mb']:.0f} MB (to reach: 6000)"
    )


if __name__ == "__main__":
    sys.exit(main())
