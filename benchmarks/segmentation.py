"""Do the segmenters tell what every pixel is, and what do int8 and tiles cost them?

Every row trains on images with masks with a fixed seed, exports in float32 and in int8, and evaluates the run folder
and both files, with the commands that a user would type. Each row writes results/segmentation/ROW.json. The last four
of the 24 images of `membrane` are held out: they are the test part of a folder that is made of links. The row `tiles`
puts pictures through `unet` in tiles: how much memory a large one takes, and how far the answer to a smaller one is
from the whole; the row `full_size` exports `fcn8s` and `unet` as published with random weights. They write
results/segmentation_tiles.json and results/segmentation_full_size.json.

    uv run python benchmarks/segmentation.py [--only ROW]... [--data FOLDER] [--runs FOLDER]
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import LOGITS_BUDGET, Row, edgecnn, train
from boxed_rows import run_row
from command_line import parse, row_parser, runs_folder
from int8 import spend
from PIL import Image
from record import write_result
from sklearn.datasets import load_sample_image
from tables import full_size_table, segmentation_table, tiles_table

MAX_DROP = 0.01  # of the mean IoU, int8 against Keras
_HELD_OUT = 4
_MEMBRANE_CLASSES = ("membrane", "cell")  # of masks of 0 and 255


def _rate(warm_up: int) -> tuple[str, ...]:
    """Returns what all trainings share: a rate that falls, after so many batches in which it grows; and the seed."""
    return "--schedule", "cosine", "--warm-up", str(warm_up), "--seed", "1"


_ROWS = (
    Row("membrane", "unet", "membrane",
        ("--image-size", "512,512", "--window", "256,256", "--width", "0.5", "--batch-size", "1", "--epochs", "160",
         "--learning-rate", "0.001", "--ema", "0.99", "--augment", "flip,vertical_flip", *_rate(200)),
        ".82", how="windows of 256x256"),
    Row("shapes_unet", "unet", "shapes",
        ("--image-size", "96,128", "--width", "0.25", "--batch-size", "8", "--epochs", "24",
         "--learning-rate", "0.001", "--augment", "flip", *_rate(100)),
        ".92"),
    Row("shapes_fcn8s", "fcn8s", "shapes",
        ("--image-size", "96,128", "--width", "0.25", "--batch-size", "16", "--epochs", "12",
         "--learning-rate", "0.0005", "--augment", "flip", *_rate(100)),
        ".85"),
)  # fmt: skip
ROWS = {row.name: row for row in _ROWS}
TILES, FULL_SIZE = "tiles", "full_size"
_SCORES = ("split", "images", "mean_iou", "mean_dice", "pixel_accuracy", "boundary_f1")
_TILE = ("--tile", "256", "--overlap", "64")
_LARGE, _WHOLE = (4000, 6000), 2048  # (height, width) of a picture, and the side of one that fits whole


def main() -> int:
    """Runs the rows and prints the tables; returns 1 where a file does not answer as its Keras model does."""
    arguments = parse(row_parser(__doc__, [*ROWS, TILES, FULL_SIZE]))
    names = arguments.only or [*ROWS, TILES, FULL_SIZE]
    with runs_folder(arguments.runs) as runs:
        parts = {row.name: _held_out(row, arguments.data, runs) for row in _ROWS}
        options = {"kind": "segmentation", "scores": _SCORES, "max_drop": MAX_DROP, "more": lambda *_: {}}
        results = [run_row(ROWS[name], ROWS, parts[name], runs, **options) for name in names if name in ROWS]
        tiles = answer_in_tiles(parts["membrane"], runs) if TILES in names else []
        whole = export_full_size(runs) if FULL_SIZE in names else []
    print("\n\n".join((segmentation_table(results), tiles_table(tiles), full_size_table(whole))))
    lost = [result["keras"]["mean_iou"] - result["int8"]["mean_iou"] for result in results]
    return int(any(drop > MAX_DROP for drop in lost) or any(one["max_relative"] > LOGITS_BUDGET for one in results))


def answer_in_tiles(data: Path, runs: Path) -> list[dict[str, Any]]:
    """Exports `unet` of the row `membrane` in tiles and for pictures of any size, answers, and writes what that took.

    The large picture is made of the photographs of `membrane`, side by side, and so is the one that is answered whole
    too; every other one is mirrored, so that none repeats beside itself.
    """
    train(ROWS["membrane"], data, runs)
    files = {"whole": ("--image-size", "dynamic"), "float32": _TILE, "int8": (*_TILE, "--quantize", "int8")}
    paths = {name: runs / f"unet.{name}.onnx" for name in files}
    given = ("--data", data / "membrane")
    for name, options in files.items():
        if not paths[name].exists():
            edgecnn("export", runs / "membrane", *given, *options, "-o", paths[name])
    pictures = {size: _mosaic(data, size, runs) for size in ((_WHOLE, _WHOLE), _LARGE)}
    reference = _mask(paths["whole"], pictures[_WHOLE, _WHOLE], runs)[0]
    rows = []
    for name in ("float32", "int8"):
        seam = json.loads(edgecnn("inspect", paths[name], "--format", "json"))["evidence"]["parity"]["decoded"]["seam"]
        smaller = _mask(paths[name], pictures[_WHOLE, _WHOLE], runs)[0]
        _, seconds, peak = _mask(paths[name], pictures[_LARGE], runs)
        rows.append({
            "file": name,
            "pictures": seam["pictures"],
            "seam": seam["max_pixels_difference"],
            "whole": f"{_WHOLE}x{_WHOLE}",
            "apart": float(np.mean(smaller != reference)),
            "large": "{1}x{0}".format(*_LARGE),
            "seconds": seconds,
            "peak_bytes": peak,
        })  # fmt: skip
    write_result("segmentation_tiles", rows, command=f"uv run python benchmarks/segmentation.py --only {TILES}")
    return rows


def export_full_size(runs: Path) -> list[dict[str, Any]]:
    """Exports the published segmenters with random weights, answers a photo with each, and writes what that took."""
    photo, results = runs / "photo.png", []
    Image.fromarray(load_sample_image("china.jpg")).save(photo)
    for model in ("fcn8s", "unet"):
        file = runs / f"{model}.onnx"
        seconds, peak = spend("export", model, "--weights", "none", "-o", file)
        (answer,) = json.loads(edgecnn("run", file, photo, "--device", "cpu", "--format", "json"))
        row = {"file": "float32", "seconds": seconds, "peak_bytes": peak, "bytes": file.stat().st_size}
        results.append({"model": model, "rows": [{**row, "speed_ms": answer["speed_ms"]}]})
    command = f"uv run python benchmarks/segmentation.py --only {FULL_SIZE}"
    write_result("segmentation_full_size", results, command=command)
    return results


def _held_out(row: Row, data: Path, runs: Path) -> Path:
    """Returns the folder of a row's data; of `membrane` one in which the last images are a test part."""
    if row.data != "membrane":
        return data
    made, masks = runs / "data", sorted((data / row.data / "masks").glob("*.png"), key=lambda path: int(path.stem))
    for number, mask in enumerate(masks):
        part = "test" if number >= len(masks) - _HELD_OUT else "train"
        for kind in ("images", "masks"):
            link = made / row.data / part / kind / mask.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to((data / row.data / kind / mask.name).resolve())
    (made / row.data / "classes.txt").write_text("".join(f"{name}\n" for name in _MEMBRANE_CLASSES))
    return made


def _mosaic(data: Path, size: tuple[int, int], runs: Path) -> Path:
    """Returns a PNG of that (height, width) made of the images of `membrane`."""
    path = runs / "{}x{}.png".format(*size)
    found = sorted((data / "membrane").glob("*/images/*.png"), key=lambda image: int(image.stem))
    images = [np.asarray(Image.open(image).convert("L")) for image in found]
    side = len(images[0])
    rows = [
        np.concatenate([_turned(images, row, column) for column in range(-(-size[1] // side))], axis=1)
        for row in range(-(-size[0] // side))
    ]
    Image.fromarray(np.concatenate(rows)[: size[0], : size[1]]).save(path)
    return path


def _turned(images: list[np.ndarray[Any, Any]], row: int, column: int) -> np.ndarray[Any, Any]:
    image = images[(7 * row + column) % len(images)]
    return image[:: 1 - 2 * (row % 2), :: 1 - 2 * (column % 2)]


def _mask(file: Path, picture: Path, runs: Path) -> tuple[np.ndarray[Any, Any], float, int]:
    """Returns the class map of a picture, the seconds and the peak of a process that answers it on one thread."""
    folder = runs / "masks"
    shutil.rmtree(folder, ignore_errors=True)  # masks of other classes, which are not to lie together
    seconds, peak = spend("run", file, picture, "--device", "cpu", "--threads", "1", "--masks", folder)
    return np.asarray(Image.open(folder / f"{picture.stem}.png")), seconds, peak


if __name__ == "__main__":
    sys.exit(main())
