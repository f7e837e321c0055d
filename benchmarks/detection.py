"""Do the detectors find the objects of an image, and what does int8 cost them?

Every row trains on images with boxes with a fixed seed, exports in float32 and in int8 with operating points from the
held-out part, and evaluates the run folder and both files, with the commands that a user would type. Each row writes
results/detection/ROW.json. The row `full_size` is `yolov3` as published with random weights: what its exports take, and
whether the file answers a photo; it writes results/detection_full_size.json.

    uv run python benchmarks/detection.py [--only ROW]... [--data FOLDER] [--runs FOLDER]
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accuracy import LOGITS_BUDGET, Row, edgecnn
from boxed_rows import run_row
from command_line import parse, row_parser, runs_folder
from int8 import spend
from PIL import Image
from record import write_result
from sklearn.datasets import load_sample_image
from tables import detection_table, full_size_table, operating_points_table

MAX_DROP = 0.01  # of AP50, int8 against Keras
_RATE = ("--schedule", "cosine", "--warm-up", "300", "--seed", "1")
_ADAM = ("--optimizer", "adam")
_ROWS = (
    Row("bccd", "yolov3_tiny", "bccd",
        ("--skip-bad", "--image-size", "320,416", "--width", "0.5", "--batch-size", "8", "--epochs", "60",
         "--learning-rate", "0.002", "--ema", "0.99",
         "--augment", "flip,vertical_flip,shift,scale,color,brightness", *_RATE),
        "AP50 .75", how="from scratch"),
    Row("shapes_many", "yolov3_tiny", "shapes",
        ("--image-size", "192,256", "--width", "0.5", "--batch-size", "8", "--epochs", "26", "--learning-rate", "0.005",
         "--ema", "0.998", "--augment", "flip,shift,scale", *_RATE),
        "AP50 .95", how="from scratch"),
    Row("shapes_narrow", "yolov3_tiny", "shapes",
        ("--image-size", "192,256", "--width", "0.25", "--batch-size", "8", "--epochs", "12",
         "--learning-rate", "0.005",
         "--ema", "0.998", "--augment", "flip,shift,scale", *_RATE), how="narrow, from scratch"),
    Row("bccd_two_stages", "faster_rcnn", "bccd",
        ("--skip-bad", "--width", "0.25", "--image-size", "320,416", "--batch-size", "4", "--epochs", "60",
         "--learning-rate", "0.001", *_ADAM, "--ema", "0.99",
         "--augment", "flip,vertical_flip,shift,scale,color,brightness", "--schedule", "cosine", "--warm-up", "200",
         "--seed", "1"),
        "AP50 .75", weights_of="backbone", how="on CIFAR's backbone"),
    Row("shapes_two_stages", "faster_rcnn", "shapes",
        ("--width", "0.25", "--image-size", "192,256", "--batch-size", "8", "--epochs", "14",
         "--learning-rate", "0.002", *_ADAM, "--ema", "0.998", "--augment", "flip,shift,scale", *_RATE),
        "AP50 .90", how="from scratch"),
    Row("shapes_rcnn", "rcnn", "shapes",
        ("--image-size", "192,256", "--width", "0.25", "--batch-size", "8", "--epochs", "12",
         "--learning-rate", "0.001", *_ADAM, "--ema", "0.998", "--augment", "flip,shift,scale", "--schedule", "cosine",
         "--warm-up", "200", "--seed", "1"),
        weights_of="backbone", how="on CIFAR's backbone"),
)  # fmt: skip
ROWS = {row.name: row for row in _ROWS}
FULL_SIZE = "full_size"
_SCORES = ("split", "images", "ap50", "ap50_95", "ap_11_point", "precision", "recall", "f1")


def main() -> int:
    """Runs the rows and prints the tables; returns 1 where a file does not answer as its Keras model does."""
    arguments = parse(row_parser(__doc__, [*ROWS, FULL_SIZE]))
    names = arguments.only or [*ROWS, FULL_SIZE]
    with runs_folder(arguments.runs) as runs:
        options = {"kind": "detection", "scores": _SCORES, "max_drop": MAX_DROP, "more": points}
        results = [run_row(ROWS[name], ROWS, arguments.data, runs, **options) for name in names if name != FULL_SIZE]
        whole = [export_full_size(arguments.data, runs)] if FULL_SIZE in names else []
    print("\n\n".join((detection_table(results), operating_points_table(results), full_size_table(whole))))
    return int(
        any(
            result["max_relative"] > LOGITS_BUDGET or result["int8"]["ap50"] < result["keras"]["ap50"] - MAX_DROP
            for result in results
        )
    )


def points(float32: Mapping[str, Any], int8: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the operating points of the int8 file, with the names of the classes."""
    del float32
    manifest = int8["manifest"]
    found = manifest["decoder"]["operating_points"] or ()
    return {"points": [{**point, "name": manifest["labels"][point["class_id"]]} for point in found]}


def export_full_size(data: Path, runs: Path) -> dict[str, Any]:
    """Exports `yolov3` at 416x416 with 80 classes, answers a photo with each file, and writes what that took.

    Without data the file is proven on seeded images and has no operating points.
    """
    photo, source, rows = runs / "photo.png", ("export", "yolov3", "--weights", "none"), []
    data, small = ("--data", data / "coco128", "--skip-bad"), ("--max-drop", "1", "--min-speedup", "0")
    Image.fromarray(load_sample_image("china.jpg")).save(photo)
    for name, options in (
        ("float32", ()),
        ("float32, on coco128", data),
        ("int8, on coco128", (*data, "--quantize", "int8", *small)),
    ):
        file = runs / f"yolov3.{len(rows)}.onnx"
        seconds, peak = spend(*source, *options, "-o", file)
        told = edgecnn("run", file, photo, "--device", "cpu", "--score-threshold", "0.001", "--format", "json")
        (answer,) = json.loads(told)
        rows.append({
            "file": name,
            "seconds": seconds,
            "peak_bytes": peak,
            "bytes": file.stat().st_size,
            "boxes": len(answer["predictions"]),
            "speed_ms": answer["speed_ms"],
        })  # fmt: skip
    result = {"model": "yolov3", "rows": rows}
    write_result("detection_full_size", [result], command=f"uv run python benchmarks/detection.py --only {FULL_SIZE}")
    return result


if __name__ == "__main__":
    sys.exit(main())
