"""What one answer costs on a device: time from process start, memory, and what the imports take.

    uv run python benchmarks/footprint.py [--model FILE.onnx --image FILE --label NAME] [--rounds 25]
                                          [--result NAME --memory-target MB]

Measured in an environment that is made from the built wheels `edgecnn` and `edgecnn-runtime[cpu]` alone. Without
--model, `mnist_convnet` is trained on scikit-learn's digits first, and a test digit is answered. The commands run in
turn, so that a busy moment hits all of them; times are wall clock of the whole process, the median counts; memory is
the largest of all. Writes benchmarks/results/footprint.json; fails where an answer is wrong or --help loads something
heavy, not where a time is missed. With --result NAME the rows that depend on the model are written to NAME.json.
Peak memory is what the process itself has resident: until a session is loaded the checked copy of the graph lies in a
memory file beside it, of the size of the graph, which the meter does not see.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from record import write_result
from slim_environment import build_slim_environment
from turns import summary

from edgecnn.data import load_dataset

_RESULT = "footprint"
HEAVY = {"numpy", "PIL", "onnxruntime", "tensorflow", "keras"}
# Runs a command from a process that is smaller than it: a child's peak is never below that of the process it came from.
_METER = """
import json, os, subprocess, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
stdout = process.stdout.read().decode()
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
if status:
    sys.exit(f"{sys.argv[1:]} ended with {os.waitstatus_to_exitcode(status)}")
print(json.dumps({"seconds": seconds, "peak_bytes": usage.ru_maxrss * 1024, "stdout": stdout}))
"""
_HELP_MODULES = """
import contextlib, io, json, sys
from edgecnn.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


_PREDICT = """
import sys
from edgecnn_runtime import Predictor
print(Predictor.load(sys.argv[1], device="cpu").predict(sys.argv[2]).label)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """One process: wall clock from start to end, peak resident memory, and what it printed."""

    seconds: float
    peak_bytes: int
    stdout: str


def main() -> int:
    """Measures, prints the table, writes the JSON."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="edgecnn-footprint-") as folder:
        python = build_slim_environment(Path(folder))
        if arguments.model is None:
            model, image, label = _train_digits(Path(folder))
        else:
            model, image, label = arguments.model, arguments.image, arguments.label
        edgecnn = str(python.with_name("edgecnn"))
        commands = {
            "run": [edgecnn, "run", str(model), str(image), "--top-k", "1", "--format", "json"],
            "python": [str(python), "-c", _PREDICT, str(model), str(image)],
            "help": [edgecnn, "--help"],
            "onnxruntime": [str(python), "-c", "import onnxruntime"],
            "edgecnn_runtime": [str(python), "-c", "import edgecnn_runtime"],
        }
        costs = _measure(commands, arguments.rounds)
        loaded = HEAVY & set(json.loads(_spend([str(python), "-c", _HELP_MODULES]).stdout))
    rows = _model_rows(costs, label, arguments.memory_target)
    rows += _package_rows(costs, loaded) if arguments.result == _RESULT else []
    for row in rows:
        verdict = "" if row["met"] else "  missed"
        print(f"{row['what']:<52}{row['here']:>8.3g} {row['unit']:<8} target {row['target']:>5.3g}{verdict}")
    command = " ".join(["uv run python benchmarks/footprint.py", *sys.argv[1:]])
    print(f"written: {write_result(arguments.result, rows, command=command)}")
    return 0 if all(row["met"] for row in rows if row["unit"] in ("answers", "modules")) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What one answer costs on a device.")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image", type=Path, help="answered by --model")
    parser.add_argument("--label", help="the right answer")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument(
        "--result", default=_RESULT, help="name of the JSON; with another than the default, of one model"
    )
    parser.add_argument("--memory-target", type=float, default=120, metavar="MB")
    arguments = parser.parse_args()
    if len({arguments.model is None, arguments.image is None, arguments.label is None}) > 1:
        parser.error("--model, --image and --label belong together")
    return arguments


def _train_digits(folder: Path) -> tuple[Path, Path, str]:
    """Returns a model file, a test digit as PNG, and the digit's name."""
    run, model, image = folder / "run", folder / "digits.onnx", folder / "digit.png"
    options = ["--epochs", "10", "--seed", "1", "--validation", "0"]
    train = ["train", "mnist_convnet", "--data", "digits", *options, "-o", str(run)]
    for command in (train, ["export", str(run), "-o", str(model), "--data", "digits"]):
        subprocess.run([str(Path(sys.executable).with_name("edgecnn")), *command], check=True)
    dataset = load_dataset("digits")
    pixels, class_id = dataset.test[1]
    Image.fromarray(pixels.squeeze()).save(image)
    return model, image, dataset.labels[class_id]


def _measure(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Cost]]:
    for command in commands.values():  # warm-up: files into the page cache, bytecode written
        _spend(command)
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            costs[name].append(_spend(command))
    return costs


def _spend(command: Sequence[str]) -> Cost:
    meter = subprocess.run([sys.executable, "-S", "-c", _METER, *command], check=True, capture_output=True)
    return Cost(**json.loads(meter.stdout))


def _model_rows(costs: Mapping[str, Sequence[Cost]], label: str, memory_target: float) -> list[dict[str, Any]]:
    answers = [json.loads(cost.stdout)[0]["predictions"][0]["name"] for cost in costs["run"]]
    answers += [cost.stdout.strip() for cost in costs["python"]]
    peaks = {name: [cost.peak_bytes / 1e6 for cost in costs[name]] for name in ("run", "python")}
    largest = {name: summary(megabytes) | {"median": max(megabytes)} for name, megabytes in peaks.items()}
    return [
        _row("`edgecnn run`, process start to answer", summary(_seconds(costs["run"])), 0.6, "s"),
        _row("`edgecnn run`, peak memory, largest", largest["run"], memory_target, "MB"),
        _row("`Predictor` in Python, process start to answer", summary(_seconds(costs["python"])), 0.6, "s"),
        _row("`Predictor` in Python, peak memory, largest", largest["python"], memory_target, "MB"),
        _row("wrong answers", {"median": sum(answer != label for answer in answers), "n": len(answers)}, 0, "answers"),
    ]


def _package_rows(costs: Mapping[str, Sequence[Cost]], loaded: set[str]) -> list[dict[str, Any]]:
    ours, theirs = _seconds(costs["edgecnn_runtime"]), _seconds(costs["onnxruntime"])
    over = [1000 * (longer - shorter) for longer, shorter in zip(ours, theirs, strict=True)]
    return [
        _row("`edgecnn --help`", summary(_seconds(costs["help"])), 0.3, "s"),
        _row("`import edgecnn_runtime` over `import onnxruntime`", summary(over), 60, "ms"),
        _row("of numpy, Pillow, onnxruntime, Keras in `--help`", {"median": len(loaded), "n": 1}, 0, "modules"),
    ]


def _seconds(costs: Sequence[Cost]) -> list[float]:
    return [cost.seconds for cost in costs]


def _row(what: str, measured: Mapping[str, float], target: float, unit: str) -> dict[str, Any]:
    spread = {name: value for name, value in measured.items() if name != "median"}
    here = measured["median"]
    return {"what": what, "here": here, "target": target, "unit": unit, "met": here <= target, **spread}


if __name__ == "__main__":
    sys.exit(main())
