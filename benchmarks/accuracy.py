"""Does each documented classifier learn, and does its file answer as the Keras model does?

Every row trains on real images with a fixed seed, exports, and reads both accuracies from the file's evidence: the
Keras model's and the file's, over the whole test part. The commands are those that a user would type. Each row writes
results/accuracy/ROW.json; the whole list takes about an hour and a half of two cores.

    uv run python benchmarks/accuracy.py [--only ROW]... [--jobs 2] [--data FOLDER] [--runs FOLDER]
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command_line import parse, row_parser, runs_folder
from record import write_result
from tables import accuracy_table

LOGITS_BUDGET = 1e-4  # difference from Keras, relative to the largest output
SMALL = ("--image-size", "64,64", "--width", "0.25")
RECIPE = ("--schedule", "cosine", "--augment", "shift,flip", "--seed", "1")
SGD = ("--optimizer", "sgd", "--learning-rate", "0.05")
MEDIUM = ("--image-size", "96,96", "--width", "0.25")
FLOWERS = (*MEDIUM, "--batch-size", "32")


@dataclass(frozen=True, slots=True)
class Row:
    """One training.

    Attributes:
        name: of the row, of its run folder and of its result.
        model: a catalogue name.
        data: file or folder of the data folder, or a set that edgecnn draws itself.
        options: of `edgecnn train`.
        wanted: the accuracy to reach, in words; "" where the row is there for another's comparison.
        weights_of: the row whose run gives the weights to begin with; it is trained before.
        how: what tells it from other rows of its model and data.
    """

    name: str
    model: str
    data: str
    options: tuple[str, ...]
    wanted: str = ""
    weights_of: str | None = None
    how: str = ""

    def location(self, data: Path) -> str | Path:
        """Returns what `--data` takes.

        Args:
            data: folder of the data sets.
        """
        return self.data if self.data.startswith("shapes") else data / self.data


_CIFAR, _FLOWERS = "cifar10_subset.npz", "flowers"
_ROWS = (
    Row("mnist_convnet", "mnist_convnet", "mnist.npz",
        ("--epochs", "5", "--optimizer", "rmsprop", "--schedule", "cosine", "--seed", "1"), ".990"),
    Row("lenet5", "lenet5", "mnist.npz", ("--epochs", "12", "--schedule", "cosine", "--seed", "1"), ".985"),
    Row("fashion_cnn", "fashion_cnn", "fashion_mnist_900.npz",
        ("--epochs", "40", "--batch-size", "32", *RECIPE), ".78"),
    Row("resnet34", "resnet34", _CIFAR, (*SMALL, *SGD, *RECIPE, "--epochs", "30"), ".72"),
    Row("backbone", "resnet34", _CIFAR,
        (*SMALL, "--epochs", "14", "--batch-size", "64", "--optimizer", "adam", "--learning-rate", "0.002",
         "--validation", "0.05", *RECIPE),
        how="that detectors begin with"),
    Row("googlenet", "googlenet", _CIFAR, (*MEDIUM, *RECIPE, "--epochs", "24"), ".68"),
    Row("se_googlenet", "se_googlenet", _CIFAR, (*MEDIUM, *RECIPE, "--epochs", "24"), "`googlenet` less .01"),
    Row("resnet50", "resnet50", _CIFAR, (*SMALL, *SGD, *RECIPE, "--epochs", "6")),
    Row("se_resnet50", "se_resnet50", _CIFAR, (*SMALL, *SGD, *RECIPE, "--epochs", "6"), "`resnet50` less .01"),
    Row("flowers_scratch", "resnet34", _FLOWERS, (*FLOWERS, *SGD, *RECIPE, "--epochs", "30"), ".70",
        how="from scratch"),
    Row("flowers_head", "resnet34", _FLOWERS, (*FLOWERS, *SGD, *RECIPE, "--epochs", "5", "--freeze", "backbone"),
        weights_of="resnet34", how="head only, on CIFAR's backbone"),
    Row("flowers_unfrozen", "resnet34", _FLOWERS,
        (*FLOWERS, "--optimizer", "sgd", "--learning-rate", "0.01", *RECIPE, "--epochs", "25", "--unfreeze-from", "0"),
        "from scratch", weights_of="flowers_head", how="then unfrozen"),
)  # fmt: skip
ROWS = {row.name: row for row in _ROWS}
_training: dict[str, threading.Lock] = defaultdict(threading.Lock)  # a run that two rows need is trained once


def main() -> int:
    """Runs the rows and prints the table; returns 1 where a file does not answer as its Keras model does."""
    parser = row_parser(__doc__, list(ROWS))
    parser.add_argument("--jobs", type=int, default=1, help="rows at once; they share the processor's threads")
    arguments = parse(parser)
    if arguments.jobs > 1:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // arguments.jobs))
    with runs_folder(arguments.runs) as runs, ThreadPoolExecutor(arguments.jobs) as pool:
        rows = [ROWS[name] for name in arguments.only or ROWS]
        results = list(pool.map(lambda row: run_row(row, arguments.data, runs), rows))
    print(accuracy_table(results))
    return int(any(result["max_relative"] > LOGITS_BUDGET or result["disagreements"] for result in results))


def run_row(row: Row, data: Path, runs: Path) -> dict[str, Any]:
    """Trains, exports, reads the evidence and writes the row's result, which it returns."""
    command, seconds = train(row, data, runs)
    file = runs / f"{row.name}.onnx"
    edgecnn("export", runs / row.name, "-o", file, "--data", data / row.data)
    evidence = json.loads(edgecnn("inspect", file, "--format", "json"))["evidence"]
    parity, gates = evidence["parity"], {gate["name"]: gate["value"] for gate in evidence["gates"]}
    result = {
        "row": row.name,
        "order": list(ROWS).index(row.name),
        "model": row.model,
        "data": row.data.partition(".")[0],
        "how": row.how,
        "train": command,
        "epochs": epochs(runs / row.name),
        "keras": parity["metric"]["source"],
        "file": parity["metric"]["file"],
        "images": parity["metric"]["images"],
        "max_relative": max(tensor["max_relative"] for tensor in parity["tensors"]),
        "top1_agreement": parity["decoded"]["top1_agreement"],
        "disagreements": gates["parity.decided_disagreements"],
        "wanted": row.wanted,
        "seconds": seconds,
    }
    write_result(f"accuracy/{row.name}", [result], command=f"uv run python benchmarks/accuracy.py --only {row.name}")
    return result


def train(row: Row, data: Path, runs: Path) -> tuple[str, float]:
    """Trains a row where its run is not there yet; returns the command and the seconds that it took."""
    run, marker = runs / row.name, runs / f"{row.name}.seconds"
    command = ["train", row.model, "--data", row.location(data), "-o", run, *row.options, *held_out(row.options)]
    with _training[row.name]:
        if row.weights_of is not None:
            train(ROWS[row.weights_of], data, runs)
            best = runs / row.weights_of / "best.keras"
            command += ["--weights", best if best.is_file() else best.with_name("model.keras")]
        if not marker.exists():
            start = time.perf_counter()
            edgecnn(*command, "--overwrite")
            marker.write_text(str(round(time.perf_counter() - start)))
    return shown(command, data, runs), float(marker.read_text())


def held_out(options: Sequence[str]) -> tuple[str, ...]:
    """Returns what keeps a training from holding a tenth out where its row does not: it learns from all of train."""
    return () if "--validation" in options else ("--validation", "0")


def shown(command: Iterable[str | Path], data: Path, runs: Path) -> str:
    """Returns the command as a user would type it: no folder of this machine in it."""
    words = (str(word).replace(str(runs), "runs").replace(str(data), "../shared/data") for word in command)
    return " ".join(["uv run edgecnn", *words])


def epochs(run: Path) -> int:
    """Returns how many epochs a run was trained for."""
    return len((run / "history.csv").read_text(encoding="utf-8").splitlines()) - 1


def edgecnn(*command: str | Path) -> str:
    """Runs the command line and returns its stdout; its progress goes to stderr."""
    words = [str(Path(sys.executable).with_name("edgecnn")), *map(str, command)]
    print("+ edgecnn", *words[1:], file=sys.stderr, flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
