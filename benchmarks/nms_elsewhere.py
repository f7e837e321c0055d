"""Does a file that suppresses by itself (`edgecnn export --nms graph`) answer elsewhere as in edgecnn's runtime?

    uv run python benchmarks/nms_elsewhere.py [--work FOLDER]

A narrow yolov3_tiny at 416x416 with random weights, whose objects are likely, at batch 1 and at any batch, float32 and
int8, is run with plain ONNX Runtime and with OpenVINO (both in an environment of their own, from uv) and with
onnxruntime-web (from npm, where there is one). Each answers one, two and five pictures, one of which shows nothing. It
fails where the number of rows or a class differs, or a score or an edge by more than rounding.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from environment import InstallError, build_environment
from record import write_result

from edgecnn.data.targets import Objects
from edgecnn.models import build_model, get_spec
from edgecnn.models.adapter import KerasModel
from edgecnn.models.build import build_manifest
from edgecnn.tasks.detection.metric import AveragePrecision
from edgecnn_exporters import CalibrationImages, QuantizationConfig, export
from edgecnn_runtime import Predictor
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.preprocessing import Placement

SIZE, CLASSES = (416, 416), 20
FILES: dict[str, dict[str, Any]] = {
    "float32, any batch": {"batch": None},
    "float32, batch 1": {"batch": 1},
    "int8, any batch": {"batch": None, "int8": True},
}
PICTURES = {"1": [0], "1, nothing on it": [1], "2": [0, 1], "5": [0, 1, 2, 3, 4]}
SCORES, EDGES = 1e-4, 0.05  # how far apart; edges in pixels of boxes up to thousands wide
_HERE = Path(__file__).parent


def main() -> int:
    """Makes the files, runs them everywhere, prints the table and writes the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, default=None)
    work = parser.parse_args().work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    pixels = draw_pictures()
    np.save(work / "pictures.npy", pixels)
    make_files(work, pixels)
    (work / "asked.json").write_text(json.dumps({"files": list(FILES), "pictures": PICTURES}))
    versions, rows = {}, []
    for tool, answer in (("plain", run_python), ("web", run_web)):
        try:
            found = answer(work)
        except (InstallError, OSError, subprocess.CalledProcessError) as error:
            print(f"{tool}: not measured: {error}", file=sys.stderr)
            continue
        versions |= found["versions"]
        rows += [compare(work, **one) for one in found["answers"]]
    print(
        f"{'runtime':<16}{'file':<20}{'pictures':<18}{'boxes':>26}{'same classes':>14}{'score':>10}{'edge':>10}  right"
    )
    for row in rows:
        print(
            f"{row['tool']:<16}{row['file']:<20}{row['pictures']:<18}{row['boxes']!s:>26}{row['same_classes']:>14.4f}"
            f"{row['score_difference']:>10.2g}{row['edge_difference']:>10.2g}  {row['right']}"
        )
    print(f"{len(rows)} rows, {', '.join(f'{name} {version}' for name, version in versions.items())}")
    write_result("nms_elsewhere", rows, versions=versions, command="uv run python benchmarks/nms_elsewhere.py")
    return int(not rows or not all(row["right"] for row in rows))


def draw_pictures() -> npt.NDArray[np.uint8]:
    """Returns five pictures, the second of which is black."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)
    pixels[1] = 0
    pixels[2:4] = np.clip(pixels[2:4] // 4 + np.linspace(0, 190, SIZE[0])[:, np.newaxis, np.newaxis], 0, 255)
    return pixels


def make_files(work: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Exports the files that are not there yet."""
    keras.utils.set_random_seed(0)
    model = build_model("yolov3_tiny", image_size=SIZE, width=0.125, num_classes=CLASSES)
    for layer in (model.get_layer(name) for name in ("conv9", "conv12")):
        layer.kernel.assign(layer.kernel.numpy() * 6)
        biases = layer.bias.numpy().reshape(3, -1)
        biases[:, 4] = -2.0
        layer.bias.assign(biases.reshape(-1))
    labels = [f"class {number}" for number in range(CLASSES)]
    manifest = build_manifest(get_spec("yolov3_tiny"), labels, image_size=SIZE, width=0.125)
    manifest = replace(manifest, decoder=replace(manifest.decoder, score_threshold=0.6))
    calibration = np.concatenate([pixels[[0, 2, 3, 4]]] * 8)
    placements = [Placement(SIZE, (1.0, 1.0), (0.0, 0.0))] * len(pixels)
    for name, options in FILES.items():
        if (work / f"{name}.onnx").exists():
            continue
        int8: dict[str, Any] = {}
        if options.get("int8"):
            truths = [Objects.of([], [])] * len(pixels)
            int8 = {
                "quantization": QuantizationConfig("int8", max_drop=1.0, min_speedup=0.0),
                "calibration": CalibrationImages([{"image": calibration}]),
                "evaluation": [Batch({"image": pixels}, placements, truths)],
                "metric": lambda: AveragePrecision(manifest),
            }
        reference = KerasModel(model, manifest)
        path = work / f"{name}.onnx"
        export(model, manifest, path, reference=reference, nms="graph", batch=options["batch"], **int8)


def run_python(work: Path) -> dict[str, Any]:
    """Returns what plain ONNX Runtime and OpenVINO answer, in an environment of their own."""
    python = build_environment(work / "environment", "onnxruntime", "openvino", "numpy")
    subprocess.run([python, _HERE / "nms_elsewhere_turns.py", work], check=True)
    return dict(json.loads((work / "plain.json").read_text()))


def run_web(work: Path) -> dict[str, Any]:
    """Returns what onnxruntime-web answers, on one thread of WebAssembly."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise InstallError("there is no npm and node here")
    folder = work / "web"
    folder.mkdir(exist_ok=True)
    shutil.copy(_HERE / "nms_elsewhere_turns.mjs", folder)
    subprocess.run([npm, "install", "--silent", "--no-fund", "onnxruntime-web"], cwd=folder, check=True)
    subprocess.run([node, "nms_elsewhere_turns.mjs", work.resolve()], cwd=folder, check=True)
    return dict(json.loads((work / "web.json").read_text()))


def compare(
    work: Path, *, tool: str, file: str, pictures: str, valid: list[float], detections: list[Any]
) -> dict[str, Any]:
    """Returns a row: what another tool answered beside what edgecnn's runtime does with the same file."""
    predictor = Predictor.load(work / f"{file}.onnx", device="cpu")
    expected = predictor.run({"image": np.load(work / "pictures.npy")[PICTURES[pictures]]})
    received = np.array(detections, np.float32).reshape(expected["detections"].shape)
    pairs = [(ordered(one), ordered(other)) for one, other in zip(expected["detections"], received, strict=True)]
    classes = float(np.mean([one[:, 5] == other[:, 5] for one, other in pairs]))
    differences = np.abs(np.array([one - other for one, other in pairs]))
    scores, edges = float(differences[..., 4].max()), float(differences[..., :4].max())
    same = bool((np.array(valid) == expected["valid"]).all()) and classes == 1.0
    return {
        "tool": tool,
        "file": file,
        "pictures": pictures,
        "boxes": [int(number) for number in valid],
        "same_classes": classes,
        "score_difference": scores,
        "edge_difference": edges,
        "right": same and scores <= SCORES and edges <= EDGES,
    }


def ordered(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns rows best first, those of equal scores by class and place: OpenVINO leaves the order of equals open."""
    return rows[np.lexsort((rows[:, 0].round(), rows[:, 1].round(), rows[:, 5], -rows[:, 4].round(5)))]


if __name__ == "__main__":
    sys.exit(main())
