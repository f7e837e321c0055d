"""What does int8 cost in accuracy, and what does it save?

Every row of `accuracy.py`, exported with `--quantize int8` at the budgets that a user gets, on the whole test part; and
`resnet34` with random weights at its published size, for the time and memory of such an export. Read from the report
and from the process that made it. A row writes results/int8/ROW.json; with trained runs the list takes half an hour.

    uv run python benchmarks/int8.py [--only ROW]... [--data FOLDER] [--runs FOLDER]
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accuracy import ROWS, Row, train
from command_line import parse, row_parser, runs_folder
from record import write_result
from tables import int8_table

from edgecnn.data import load_dataset
from edgecnn_runtime.report_file import read_report

UNTRAINED = Row("resnet34_224", "resnet34", "flowers", (), how="random weights, 224x224")
REFUSED = (4, 5)  # it answers otherwise, or misses a budget: there is a report then, and no file
_BUDGETS = {"mnist.npz": (0.003, 0.99)}  # largest drop, least agreement
_OTHERS = (0.01, 0.97)


def main() -> int:
    """Runs the rows and prints the table; returns 1 where a trained row loses more than it may."""
    names = [*ROWS, UNTRAINED.name]
    arguments = parse(row_parser(__doc__, names))
    with runs_folder(arguments.runs) as runs:
        rows = [
            trained_row(ROWS[name], arguments.data, runs) if name in ROWS else untrained_row(arguments.data, runs)
            for name in arguments.only or names
        ]
    print(int8_table(rows))
    return int(any(not row["kept"] for row in rows if row["kept"] is not None))


def trained_row(row: Row, data: Path, runs: Path) -> dict[str, Any]:
    """Trains where that is still to do, exports in float32 and int8, and writes the row's result, which it returns."""
    train(row, data, runs)
    return export_row(row, [runs / row.name], data, runs, budgets=_BUDGETS.get(row.data, _OTHERS))


def untrained_row(data: Path, runs: Path) -> dict[str, Any]:
    """Exports the untrained row: its answers mean nothing, so the first try fits whatever it loses."""
    labels = runs / "labels.txt"
    labels.write_text("\n".join(load_dataset(str(data / UNTRAINED.data)).labels) + "\n")
    source = [UNTRAINED.model, "--weights", "none", "--labels", labels]
    return export_row(UNTRAINED, source, data, runs, budgets=None)


def export_row(
    row: Row, source: list[str | Path], data: Path, runs: Path, *, budgets: tuple[float, float] | None
) -> dict[str, Any]:
    """Exports both files and writes the row's result, which it returns.

    Args:
        row: what is exported.
        source: what `edgecnn export` takes.
        data: folder of the data sets.
        runs: folder for the files.
        budgets: the largest drop and the least agreement; None where neither means anything.
    """
    float32, int8 = runs / f"{row.name}.onnx", runs / f"{row.name}.int8.onnx"
    common = ["export", *source, "--data", data / row.data, "-o"]
    spend(*common, float32)
    options = ["--max-drop", "1" if budgets is None else str(budgets[0]), "--min-speedup", "0"]
    int8.unlink(missing_ok=True)
    seconds, peak = spend(*common, int8, "--quantize", "int8", *options, accepted=(0, *REFUSED))
    report = read_report(int8)
    last = report["tries"][-1]
    kept = budgets and report["passed"] and last["agreement"] >= budgets[1]
    result = {
        "row": row.name,
        "order": [*ROWS, UNTRAINED.name].index(row.name),
        "model": row.model,
        "data": row.data.partition(".")[0],
        "how": row.how,
        "trained": budgets is not None,
        "float32": last["source"],
        "int8": last["file"],
        "drop": last["drop"],
        "bound": last["bound"],
        "top1_agreement": last["agreement"],
        "images": report["parity"]["parity"]["decoded"]["images"],
        "kept": kept,
        "tries": len(report["tries"]),
        "layers": last["layers"],
        "float_layers": len(last["float_layers"]),
        "speedup": last["speedup"],
        "float32_bytes": float32.stat().st_size,
        "int8_bytes": int8.stat().st_size if int8.exists() else None,
        "seconds": seconds,
        "peak_bytes": peak,
    }
    write_result(f"int8/{row.name}", [result], command=f"uv run python benchmarks/int8.py --only {row.name}")
    return result


def spend(*command: str | Path, accepted: Sequence[int] = (0,)) -> tuple[float, int]:
    """Runs the command line; returns the seconds and the peak of its resident memory in bytes.

    Raises:
        CalledProcessError: it ended with another code than those that are accepted.
    """
    words = [str(Path(sys.executable).with_name("edgecnn")), *map(str, command)]
    print("+ edgecnn", *words[1:], file=sys.stderr, flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        raise subprocess.CalledProcessError(process.returncode, words)
    return time.perf_counter() - start, usage.ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
