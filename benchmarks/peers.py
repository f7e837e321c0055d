"""How fast and how right is the int8 file beside what others make of the same model?

One Keras model a row, seeded or trained, and every way to run it, in turn in one process at batch 1:

- plain fp32: tf2onnx's own graph on ONNX Runtime, the way without edgecnn; the 1.00 of every ratio.
- plain int8: the same graph through ONNX Runtime's `quantize_static` (QDQ, U8S8, per channel, MinMax).
- edgecnn fp32, edgecnn int8: what `edgecnn export` writes; on a CPU with AMX also with `--tune-for amx`.
- LiteRT fp32 and int8, OpenVINO fp32 and int8 (NNCF), and Keras' `predict`.

LiteRT and OpenVINO are left out where they are not installed. The int8 ways calibrate on the same images. Quality is
the accuracy where the model is trained, and the part of the test images on which the best class is Keras' own; of a
detector, the cell and anchor that is surest of an object; of a segmenter, both are parts of the pixels.

    uv run --with ai-edge-litert --with openvino --with nncf python benchmarks/peers.py [--only MODEL] [--runs N]
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from command_line import parse
from peer_ways import PEERS, Answer, Case, Outputs, is_installed, prepare, ways
from record import write_result
from tables import peers_table
from turns import interleave, summary

Pixels = npt.NDArray[np.uint8]
BASE, KERAS = "plain fp32", "Keras predict"
WARMUP = 5
MAX_DROP = 0.01


@dataclass(frozen=True, slots=True)
class Model:
    """One row of models.

    Attributes:
        name: in the catalogue.
        data: file or folder of the data folder; its labels give the number of classes.
        train: options of `edgecnn train`; None for seeded random weights at the published size.
    """

    name: str
    data: str
    train: tuple[str, ...] | None = None


MODELS = {
    model.name: model
    for model in (
        Model("mnist_convnet", "mnist.npz", ("--epochs", "2", "--optimizer", "rmsprop", "--seed", "1")),
        Model("resnet34", "flowers"),
        Model("xception", "flowers"),
        Model("alexnet", "flowers"),
        Model(
            "mobilenet_v2",
            "flowers",
            (
                *("--width", "0.35", "--image-size", "96,96", "--epochs", "120", "--batch-size", "32"),
                *("--learning-rate", "0.002", "--schedule", "cosine", "--warm-up", "300", "--ema", "0.99"),
                *("--augment", "shift,flip,rotation,contrast,brightness"),
            ),
        ),
        Model("yolov3_tiny", "coco128"),
        Model(
            "unet",
            "membrane",
            (
                "--width",
                "0.5",
                "--batch-size",
                "2",
                "--epochs",
                "8",
                "--learning-rate",
                "0.0005",
                "--warm-up",
                "20",
                "--seed",
                "1",
            ),
        ),
    )
}


def main() -> int:
    """Measures and prints the table; returns 1 where edgecnn's int8 file answers worse than its budget."""
    arguments = read_arguments(__doc__)
    for peer, modules in PEERS.items():
        if not is_installed(peer):
            print(f"left out: {peer}, for want of {' and '.join(modules)}; the whole table: {COMMAND}", file=sys.stderr)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.only or MODELS:
            model = MODELS[name]
            folder = (arguments.work or Path(temporary)) / name
            case = prepare(model.name, arguments.data / model.data, model.train, folder, images=arguments.images)
            measured = [row for threads in (1, 2) for row in measure(case, threads, arguments.runs)]
            write_result(f"peers/{name}", measured, command=f"{COMMAND} --only {name} --runs {arguments.runs}")
            rows += measured
    print(peers_table(rows))
    for problem in (found := problems(rows)):
        print(problem, file=sys.stderr)
    return int(bool(found))


COMMAND = "uv run --with ai-edge-litert --with openvino --with nncf python benchmarks/peers.py"


def problems(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line for each of edgecnn's int8 files that is less accurate than its float32 file allows."""
    float32 = {(row["model"], row["threads"]): row["accuracy"] for row in rows if row["way"] == "edgecnn fp32"}
    return [
        f"{row['model']}, {row['way']}: accuracy {row['accuracy']:.4f}, expected {expected - MAX_DROP:.4f} or more"
        for row in rows
        if row["way"].startswith("edgecnn int8")
        and (expected := float32[row["model"], row["threads"]]) is not None
        and row["accuracy"] < expected - MAX_DROP
    ]


def read_arguments(description: str) -> argparse.Namespace:
    """Returns what the command line asks for: models, rounds, images, and the folders of data and files."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=sorted(MODELS), help="a model; may be repeated")
    parser.add_argument("--runs", type=int, default=50, help="rounds for each model and number of threads")
    parser.add_argument("--images", type=int, default=200, help="test images for the quality")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, help="keeps the files here; those that are there are not made again")
    return parse(parser)


def measure(case: Case, threads: int, runs: int) -> list[dict[str, Any]]:
    """Returns a row for each way: its ratio to plain fp32, its latency and its quality."""
    answers: dict[str, Answer] = ways(case, threads)
    samples = take_turns({name: answer for name, answer in answers.items() if name != KERAS}, case.images[:1], runs)
    samples[KERAS] = take_turns({KERAS: answers[KERAS]}, case.images[:1], max(runs // 10, 5))[KERAS]
    reference = best(answers[KERAS], case.images)
    base = np.array(samples[BASE])
    rows = []
    for name, answer in answers.items():
        classes = best(answer, case.images)
        times = np.array(samples[name])
        ratios = base / times if len(times) == len(base) else np.median(base) / times
        rows.append(
            {
                "model": case.name,
                "threads": threads,
                "way": name,
                "latency_ms": summary(times.tolist()),
                "ratio": summary(ratios.tolist()),
                "agreement": float(np.mean(classes == reference)),
                "accuracy": float(np.mean(classes == case.truths)) if case.trained else None,
                "images": len(case.images),
                "size_bytes": case.sizes.get(name),
            }
        )
        print(f"{case.name}, {threads} threads, {name}: {rows[-1]['ratio']['median']:.2f}", file=sys.stderr, flush=True)
    return rows


def take_turns(answers: Mapping[str, Answer], pixels: Pixels, runs: int) -> dict[str, list[float]]:
    """Returns the milliseconds of each way's answers, after a warm-up.

    Keras has turns of its own: it takes a hundred times longer, and what comes behind it finds cold caches.
    """
    calls = {name: partial(answer, pixels) for name, answer in answers.items()}
    interleave(WARMUP, **calls)
    return interleave(runs, **calls)


def best(answer: Answer, images: Pixels) -> npt.NDArray[np.int64]:
    """Returns the best class of each image, or its surest cell, one at a time, (N,); or of each pixel, (N, H, W)."""
    outputs = (answer(images[index : index + 1]) for index in range(len(images)))
    return np.array([np.argmax(_certainties(one), axis=-1) for one in outputs])


def _certainties(outputs: Outputs) -> npt.NDArray[np.float32]:
    """Returns the logits of the one image's classes, or those of the objects of all grids, in the names' order."""
    if "logits" in outputs:
        return outputs["logits"][0]
    return np.concatenate([outputs[name][..., 4].reshape(-1) for name in sorted(outputs)])


if __name__ == "__main__":
    sys.exit(main())
