"""Does the model that answers questions look at the picture, and what do int8 and a second question cost?

The row `easy_vqa` trains with a fixed seed, exports in float32 and in int8, and evaluates the run folder and both
files, with the commands that a user would type: beside each accuracy stands what is right with the picture blacked out.
It writes results/questions/easy_vqa.json. The row `full_size` exports the published network with random weights, whole
and divided by --split, and asks either a new picture and then a further question; it writes
results/questions_full_size.json.

    uv run python benchmarks/questions.py [--only ROW]... [--data FOLDER] [--runs FOLDER]
"""

import json
import sys
from pathlib import Path
from typing import Any

from accuracy import LOGITS_BUDGET, Row, edgecnn
from boxed_rows import run_row
from command_line import parse, row_parser, runs_folder
from int8 import spend
from record import write_result
from tables import further_table, questions_table

MAX_DROP = 0.005  # of the answer accuracy, int8 against Keras
_ROWS = (
    Row("easy_vqa", "vqa_cnn_lstm", "easy_vqa",
        ("--image-size", "64,64", "--width", "0.25", "--batch-size", "16", "--epochs", "50", "--optimizer", "adam",
         "--learning-rate", "0.004", "--schedule", "cosine", "--warm-up", "400", "--validation", "0.1",
         "--augment", "shift", "--seed", "1"),
        ".97"),
)  # fmt: skip
ROWS = {row.name: row for row in _ROWS}
FULL_SIZE = "full_size"
_SCORES = ("split", "images", "questions", "answer_accuracy", "most_frequent", "text_alone", "per_kind")
_WAYS = {"whole": (), "divided": ("--split",)}


def main() -> int:
    """Runs the rows and prints the tables; returns 1 where a file does not answer as its Keras model does."""
    arguments = parse(row_parser(__doc__, [*ROWS, FULL_SIZE]))
    names = arguments.only or [*ROWS, FULL_SIZE]
    with runs_folder(arguments.runs) as runs:
        options = {"kind": "questions", "scores": _SCORES, "max_drop": MAX_DROP, "more": lambda *_: {}}
        results = [run_row(ROWS[name], ROWS, arguments.data, runs, **options) for name in names if name in ROWS]
        whole = export_full_size(runs) if FULL_SIZE in names else []
    print("\n\n".join((questions_table(results), further_table(whole))))
    lost = [result["keras"]["answer_accuracy"] - result["int8"]["answer_accuracy"] for result in results]
    return int(any(drop > MAX_DROP for drop in lost) or any(one["max_relative"] > LOGITS_BUDGET for one in results))


def export_full_size(runs: Path) -> list[dict[str, Any]]:
    """Exports the published network with random weights in both ways and measures them in turn, on one thread."""
    files, rows = {name: runs / f"vqa.{name}.onnx" for name in _WAYS}, []
    spent = {
        name: spend("export", "vqa_cnn_lstm", "--weights", "none", *options, "-o", files[name])
        for name, options in _WAYS.items()
    }
    measuring = ("--device", "cpu", "--threads", "1", "--runs", "30", "--warmup", "3", "--starts", "0")
    report = json.loads(edgecnn("bench", *files.values(), *measuring, "--format", "json"))
    for (name, (seconds, peak)), measured in zip(spent.items(), report["files"], strict=True):
        rows.append({
            "file": name,
            "seconds": seconds,
            "peak_bytes": peak,
            "bytes": files[name].stat().st_size,
            "inference_ms": measured["inference_ms"],
            "further_ms": measured["further_ms"],
        })  # fmt: skip
    write_result("questions_full_size", rows, command=f"uv run python benchmarks/questions.py --only {FULL_SIZE}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
