"""Do the localizers find the one object of an image, and what does int8 cost them?

Every row trains on images with boxes with a fixed seed, exports in float32 and in int8, and evaluates the run folder
and both files, with the commands that a user would type. `raccoon` begins with the backbone of a row of `accuracy.py`,
which is trained first where its run is not there. Each row writes results/localization/ROW.json.

    uv run python benchmarks/localization.py [--only ROW]... [--data FOLDER] [--runs FOLDER]
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from accuracy import LOGITS_BUDGET, Row, edgecnn, epochs, row_parser, train
from record import write_result
from tables import localization_table

MAX_DROP = 0.01  # of the mean IoU, int8 against Keras
_RATE = ("--schedule", "cosine", "--seed", "1")
_ROWS = (
    Row("raccoon", "resnet34_localizer", "raccoon",
        ("--image-size", "128,128", "--width", "0.25", "--batch-size", "16", "--epochs", "120", "--class-weight", "0",
         "--augment", "flip,shift,scale,color", "--learning-rate", "0.001", *_RATE),
        "mean IoU .55", weights_of="flowers_scratch", how="on the flowers' backbone"),
    Row("shapes", "resnet34_localizer", "shapes:1",
        ("--image-size", "96,96", "--width", "0.25", "--batch-size", "16", "--epochs", "80", "--class-weight", "0.03",
         "--augment", "flip,shift", "--learning-rate", "0.003", *_RATE),
        "accuracy .98, mean IoU .85", weights_of="flowers_scratch", how="on the flowers' backbone"),
)  # fmt: skip
ROWS = {row.name: row for row in _ROWS}


def main() -> int:
    """Runs the rows and prints the table; returns 1 where a file does not answer as its Keras model does."""
    arguments = row_parser(__doc__, list(ROWS)).parse_args()
    if not arguments.data.is_dir():
        print(f"skipped: {arguments.data} is absent; name the folder of the data sets with --data")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        runs = arguments.runs or Path(temporary)
        runs.mkdir(parents=True, exist_ok=True)
        results = [run_row(ROWS[name], arguments.data, runs) for name in arguments.only or ROWS]
    print(localization_table(results))
    return int(
        any(
            result["max_relative"] > LOGITS_BUDGET
            or result["int8"]["mean_iou"] < result["keras"]["mean_iou"] - MAX_DROP
            for result in results
        )
    )


def run_row(row: Row, data: Path, runs: Path) -> dict[str, Any]:
    """Trains, exports both files, evaluates all three, and writes the row's result, which it returns."""
    command, seconds = train(row, data, runs)
    run, float32, int8 = runs / row.name, runs / f"{row.name}.onnx", runs / f"{row.name}.int8.onnx"
    images = row.location(data)
    edgecnn("export", run, "--data", images, "-o", float32)
    edgecnn("export", run, "--data", images, "-o", int8, "--quantize", "int8", "--max-drop", str(MAX_DROP))
    scores = [_score(source, images) for source in (run, float32, int8)]
    parity, speed = (json.loads(edgecnn("inspect", file, "--format", "json"))["evidence"] for file in (float32, int8))
    result = {
        "row": row.name,
        "order": list(ROWS).index(row.name),
        "model": row.model,
        "data": row.data,
        "how": row.how,
        "train": command,
        "epochs": epochs(run),
        **dict(zip(("keras", "file", "int8"), scores, strict=True)),
        "float_layers": len(speed["quantization"]["float_layers"]),
        "max_relative": max(tensor["max_relative"] for tensor in parity["parity"]["tensors"]),
        "least_iou": parity["parity"]["decoded"]["least_iou"],
        "wanted": row.wanted,
        "seconds": seconds,
    }
    command = f"uv run python benchmarks/localization.py --only {row.name}"
    write_result(f"localization/{row.name}", [result], command=command)
    return result


def _score(source: Path, images: str | Path) -> dict[str, Any]:
    scored = json.loads(edgecnn("evaluate", source, "--data", images, "--format", "json"))
    return {name: scored[name] for name in ("split", "images", "mean_iou", "accuracy", "right")}


if __name__ == "__main__":
    sys.exit(main())
