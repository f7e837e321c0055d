"""Do the localizers find the one object of an image, and what does int8 cost them?

Every row trains on images with boxes with a fixed seed, exports in float32 and in int8, and evaluates the run folder
and both files, with the commands that a user would type. `raccoon` begins with the backbone of a row of `accuracy.py`,
which is trained first where its run is not there. Each row writes results/localization/ROW.json.

    uv run python benchmarks/localization.py [--only ROW]... [--data FOLDER] [--runs FOLDER]
"""

import sys
from collections.abc import Mapping
from typing import Any

from accuracy import LOGITS_BUDGET, Row
from boxed_rows import run_row
from command_line import parse, row_parser, runs_folder
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
_SCORES = ("split", "images", "mean_iou", "accuracy", "right")


def main() -> int:
    """Runs the rows and prints the table; returns 1 where a file does not answer as its Keras model does."""
    arguments = parse(row_parser(__doc__, list(ROWS)))
    with runs_folder(arguments.runs) as runs:
        options = {"kind": "localization", "scores": _SCORES, "max_drop": MAX_DROP, "more": least_iou}
        results = [run_row(ROWS[name], ROWS, arguments.data, runs, **options) for name in arguments.only or ROWS]
    print(localization_table(results))
    return int(
        any(
            result["max_relative"] > LOGITS_BUDGET
            or result["int8"]["mean_iou"] < result["keras"]["mean_iou"] - MAX_DROP
            for result in results
        )
    )


def least_iou(float32: Mapping[str, Any], int8: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how well the boxes of the float32 file are the Keras model's."""
    del int8
    return {"least_iou": float32["evidence"]["parity"]["decoded"]["least_iou"]}


if __name__ == "__main__":
    sys.exit(main())
