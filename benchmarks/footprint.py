"""What one answer costs on a device: time from process start, memory, and what the imports take.

    uv run python benchmarks/footprint.py [--model FILE.onnx --image FILE --label NAME] [--rounds 25]

Measured in an environment that is made from the built wheels `edgecnn` and `edgecnn-runtime[cpu]` alone. Without
--model, `mnist_convnet` is trained on scikit-learn's digits first, and a test digit is answered. The commands run in
turn, so that a busy moment hits all of them; times are wall clock of the whole process, the median counts. Writes
benchmarks/results/footprint.json; fails where the answer is wrong, not where a time is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from slim_environment import REPOSITORY, build_slim_environment

from edgecnn.machine import describe_machine

RESULTS = REPOSITORY / "benchmarks" / "results" / "footprint.json"
TARGETS = {"run_s": 0.6, "run_peak_bytes": 120e6, "help_s": 0.3, "import_over_onnxruntime_s": 0.06}
HEAVY = {"numpy", "PIL", "onnxruntime", "tensorflow", "keras"}
_METER = """
import json, os, subprocess, sys, time
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
            "help": [edgecnn, "--help"],
            "import_onnxruntime": [str(python), "-c", "import onnxruntime"],
            "import_edgecnn_runtime": [str(python), "-c", "import edgecnn_runtime"],
        }
        costs = _measure(commands, arguments.rounds)
        loaded = set(json.loads(_spend([str(python), "-c", _HELP_MODULES]).stdout))
    return _report(costs, loaded, label, arguments.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What one answer costs on a device.")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image", type=Path, help="answered by --model")
    parser.add_argument("--label", help="the right answer")
    parser.add_argument("--rounds", type=int, default=25)
    arguments = parser.parse_args()
    if len({arguments.model is None, arguments.image is None, arguments.label is None}) > 1:
        parser.error("--model, --image and --label belong together")
    return arguments


def _train_digits(folder: Path) -> tuple[Path, Path, str]:
    """Returns a model file, a test digit as PNG, and the digit's name."""
    from PIL import Image  # these three only where a model is trained

    from edgecnn.data.load import load_dataset

    run, model, image = folder / "run", folder / "digits.onnx", folder / "digit.png"
    train = ["train", "mnist_convnet", "--data", "digits", "--epochs", "8", "--seed", "1", "-o", str(run)]
    for command in (train, ["export", str(run), "-o", str(model), "--data", "digits"]):
        subprocess.run([str(Path(sys.executable).with_name("edgecnn")), *command], check=True)
    dataset = load_dataset("digits")
    pixels, class_id = dataset.test[0]
    Image.fromarray(pixels.squeeze()).resize((28, 28), Image.Resampling.BILINEAR).save(image)
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
    """Runs a command from a process that is smaller than it, since a child's peak is never below its parent's."""
    meter = subprocess.run(
        [sys.executable, "-S", "-c", _METER, *command],
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        check=True,
        capture_output=True,
    )
    return Cost(**json.loads(meter.stdout))


def _report(costs: Mapping[str, Sequence[Cost]], loaded: set[str], label: str, rounds: int) -> int:
    seconds = {name: sorted(cost.seconds for cost in spent) for name, spent in costs.items()}
    answers = [json.loads(cost.stdout)[0] for cost in costs["run"]]
    correct = sum(answer["predictions"][0]["name"] == label for answer in answers)
    over = [
        ours.seconds - theirs.seconds
        for ours, theirs in zip(costs["import_edgecnn_runtime"], costs["import_onnxruntime"], strict=True)
    ]
    measured = {
        "run_s": median(seconds["run"]),
        "run_peak_bytes": max(cost.peak_bytes for cost in costs["run"]),
        "help_s": median(seconds["help"]),
        "import_over_onnxruntime_s": median(over),
    }
    report = {
        "measured": measured,
        "targets": TARGETS,
        "rounds": rounds,
        "seconds": {
            name: {"min": times[0], "median": median(times), "max": times[-1]} for name, times in seconds.items()
        },
        "answers_correct": correct,
        "answers": rounds,
        "heavy_modules_of_help": sorted(HEAVY & loaded),
        "machine": asdict(describe_machine()),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"answers: {correct} of {rounds} correct; --help loads of {sorted(HEAVY)}: {sorted(HEAVY & loaded) or 'none'}"
    )
    print(f"{'measured, median of ' + str(rounds):<44}{'here':>10}{'target':>10}")
    for name, unit, factor in (
        ("run_s", "s, run: process start to answer", 1),
        ("run_peak_bytes", "MB, run: peak resident memory (largest)", 1e-6),
        ("help_s", "s, --help", 1),
        ("import_over_onnxruntime_s", "ms, import edgecnn_runtime over onnxruntime", 1e3),
    ):
        missed = "" if measured[name] <= TARGETS[name] else "  missed"
        print(f"{unit:<44}{measured[name] * factor:>10.3g}{TARGETS[name] * factor:>10.3g}{missed}")
    return 0 if correct == rounds and not HEAVY & loaded else 1


if __name__ == "__main__":
    sys.exit(main())
