"""What do a GPU and fewer bits save, and are the answers the CPU's own?

edgecnn's float32, float16 and int8 files on CUDA and on the CPU of the same machine, all in turn in one process, at
batch 1 and at a larger one. Time is that of `Session.run`: pixels from this process's memory in, logits back in it.
The 1.00 of every ratio is the float32 file on the CPU with as many threads as it may use. Quality is the best class and
the logits beside those of the float32 file on the CPU. Fails where an answer on CUDA is too far from the same file's on
the CPU.

The files are made where TensorFlow is, and measured where the GPU is:

    uv run python benchmarks/cuda.py --prepare --work FOLDER [--only MODEL]
    python benchmarks/cuda.py --work FOLDER [--only MODEL] [--runs N]
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from record import write_result
from tables import cuda_table
from turns import interleave, summary

from edgecnn_runtime import Predictor
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.inputs import join
from edgecnn_runtime.providers import cuda_problem
from edgecnn_runtime.session import Session

PRECISIONS = {"float32": "none", "float16": "fp16", "int8": "int8"}  # of the files, and --quantize
MODELS: Mapping[str, tuple[str, tuple[str, ...]]] = {  # the data, and what makes the published network smaller
    "mnist_convnet": ("mnist.npz", ()),
    "resnet34": ("flowers", ()),
    "xception": ("flowers", ("--width", "0.5")),
}
# The others have seeded weights.
TRAINING = {"mnist_convnet": ("--epochs", "2", "--optimizer", "rmsprop", "--seed", "1", "--validation", "0")}
BATCHES = (1, 32)
IMAGES = 96
WARMUP = 5
# Between CUDA and the CPU on one file, of the largest logit: as `edgecnn verify` allows it.
ALLOWED = {"float32": 1e-4, "float16": 5e-3, "int8": 0.05}


def main() -> int:
    """Makes the files, or measures and prints the table; returns 1 where CUDA answers otherwise."""
    arguments = _read_arguments()
    chosen = arguments.only or list(MODELS)
    if arguments.prepare:
        for name in chosen:
            prepare(name, arguments.data, arguments.work / name)
        return 0
    if (problem := cuda_problem()) is not None:
        print(f"skipped: CUDA cannot be used here: {problem}")
        return 0
    rows = [row for name in chosen for row in measure(name, arguments.work / name, arguments.runs)]
    write_result("cuda", rows, command=f"python benchmarks/cuda.py --runs {arguments.runs}")
    print(cuda_table(rows))
    for problem in (found := problems(rows)):
        print(problem, file=sys.stderr)
    return int(bool(found))


def prepare(name: str, data: Path, folder: Path) -> None:
    """Makes the files that are not there yet, and keeps test images, evenly spread, beside them."""
    from peer_ways import edgecnn  # TensorFlow

    from edgecnn.data import load_dataset
    from edgecnn.data.targets import class_ids_of

    source, options = MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset(str(data / source))
    if name in TRAINING:
        made_from = [folder / "run"]
        if not (folder / "run" / "model.keras").exists():
            edgecnn("train", name, "--data", data / source, "-o", folder / "run", "--overwrite", *TRAINING[name])
    else:
        (folder / "labels.txt").write_text("\n".join(dataset.labels) + "\n")
        made_from = [name, "--weights", "none", "--labels", folder / "labels.txt", *options]
    for precision, quantize in PRECISIONS.items():
        if not (path := folder / f"{precision}.onnx").exists():
            lossy = ("--quantize", quantize, "--max-drop", "1", "--min-speedup", "0") if quantize != "none" else ()
            edgecnn("export", *made_from, "-o", path, "--data", data / source, "--batch", "dynamic", *lossy)
    chosen = np.unique(np.linspace(0, len(dataset.test) - 1, IMAGES).astype(int))
    images = {f"image{index}": _pixels(dataset.test[index][0]) for index in chosen}
    np.savez_compressed(folder / "images.npz", class_ids=class_ids_of(dataset.test.targets)[chosen], **images)


def measure(name: str, folder: Path, runs: int) -> list[dict[str, Any]]:
    """Returns a row for each batch, file and device.

    Args:
        name: of the model.
        folder: that `prepare` filled.
        runs: rounds a batch.
    """
    predictors = {
        (precision, device): Predictor.load(folder / f"{precision}.onnx", device=device)
        for precision in PRECISIONS
        for device in ("cpu", "cuda")
    }
    pixels, class_ids = _images(predictors["float32", "cpu"], folder / "images.npz")
    logits = {key: _logits(predictor.session, pixels) for key, predictor in predictors.items()}
    best = {key: values.argmax(axis=1) for key, values in logits.items()}
    card = _card()
    rows = []
    for batch in BATCHES:
        feeds = {predictors["float32", "cpu"].manifest.image_input.name: pixels[:batch]}
        calls = {" ".join(key): partial(predictor.session.run, feeds) for key, predictor in predictors.items()}
        interleave(WARMUP, **calls)
        samples = interleave(runs, **calls)
        base = np.array(samples["float32 cpu"])
        for (precision, device), predictor in predictors.items():
            times = np.array(samples[f"{precision} {device}"])
            difference = np.abs(logits[precision, device] - logits[precision, "cpu"]).max()
            rows.append(
                {
                    "model": name,
                    "file": precision,
                    "provider": predictor.provider,
                    "batch": batch,
                    "threads": predictor.session.threads,
                    "card": card,
                    "latency_ms": summary(times.tolist()),
                    "ratio": summary((base / times).tolist()),
                    "agreement": float(np.mean(best[precision, device] == best["float32", "cpu"])),
                    "max_relative": float(difference / np.abs(logits[precision, "cpu"]).max()),
                    "accuracy": float(np.mean(best[precision, device] == class_ids)) if name in TRAINING else None,
                    "images": len(pixels),
                    "size_bytes": (folder / f"{precision}.onnx").stat().st_size,
                }
            )
            line = f"{name}, batch {batch}, {precision}, {device}: {rows[-1]['latency_ms']['median']:.3f} ms"
            print(line, file=sys.stderr, flush=True)
    return rows


def problems(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line for each row whose logits are farther from the same file's on the CPU than they may be."""
    return [
        f"{row['model']}, {row['file']}, {row['provider']}: expected logits within {ALLOWED[row['file']]:.0e} of the "
        f"CPU's largest, received {row['max_relative']:.1e}"
        for row in rows
        if not row["max_relative"] <= ALLOWED[row["file"]]
    ]


def _pixels(image: ImageSource) -> npt.NDArray[np.uint8]:
    """Returns the pixels of an image of a data set: of its file, where it has one."""
    return image if isinstance(image, np.ndarray) else np.asarray(Image.open(image).convert("RGB"))


def _images(predictor: Predictor, path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Returns the kept images as the network takes them, (N, H, W, C), and their class ids, (N,)."""
    with np.load(path) as kept:
        feeds = [predictor.inputs(kept[name]).feeds for name in kept.files if name != "class_ids"]
        return join(feeds)[predictor.manifest.image_input.name], kept["class_ids"]


def _logits(session: Session, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns the raw output of every image, one at a time, (N, classes)."""
    name, output = session.inputs[0].name, session.outputs[0].name
    return np.concatenate([session.run({name: image[np.newaxis]})[output] for image in pixels])


def _card() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return ", driver ".join(
        subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    )


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepare", action="store_true", help="makes the files, which takes TensorFlow and no GPU")
    parser.add_argument("--work", type=Path, required=True, help="folder of the files")
    parser.add_argument("--only", action="append", choices=sorted(MODELS), help="a model; may be repeated")
    parser.add_argument("--runs", type=int, default=50, help="rounds for each model and batch")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
