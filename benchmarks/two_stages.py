"""What do detectors in two stages cost beside one in one stage, and where does their time go?

- ways: the files of three rows of `detection.py` (trained there where they are not yet) answer the same pictures of the
  test part of `shapes` in turn, on one thread: milliseconds of proposing, of the graph and of decoding, and how many
  times the network of a region, or of the picture, runs for each. R-CNN's regions are those of selective search.
- parts: proposals and RoIAlign alone, at 6,084 anchors, 300 regions and 256 channels, on one thread.
- int8: the int8 file of the row `bccd_two_stages` beside its float32 file, on one thread.
- full size: what the exports of both networks take as published, with random weights, and a run of their files; that of
  R-CNN looks at 284 windows.

    uv run python benchmarks/two_stages.py [--only PART]... [--pictures 40] [--data FOLDER] [--runs FOLDER]
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from accuracy import edgecnn, train
from command_line import parse, row_parser, runs_folder
from detection import ROWS
from int8 import spend
from record import RESULTS, write_result
from tables import parts_table, two_stage_exports_table, ways_table
from turns import interleave, summary

from edgecnn.data.scenes import render
from edgecnn.data.shapes import MOST, scene_of
from edgecnn_runtime import Predictor
from edgecnn_runtime.session import Session

WAYS = ("shapes_rcnn", "shapes_two_stages", "shapes_narrow")
SMALL = "bccd_two_stages"
CELLS, STRIDE, CHANNELS = 26, 16, 256
_LIMIT = {"device": "cpu", "threads": 1}


def main() -> int:
    """Runs the parts and prints the tables."""
    parts: Mapping[str, Callable[..., list[dict[str, Any]]]] = {
        "ways": ways,
        "parts": measure_parts,
        "int8": measure_int8,
        "full_size": export_full_size,
    }
    parser = row_parser(__doc__, list(parts))
    parser.add_argument("--pictures", type=int, default=40, help="of the test part (default: %(default)s)")
    arguments = parse(parser)
    found = {}
    with runs_folder(arguments.runs) as runs:
        for name in arguments.only or parts:
            found[name] = parts[name](arguments.data, runs, arguments.pictures)
            write_result(
                f"two_stages/{name}", found[name], command=f"uv run python benchmarks/two_stages.py --only {name}"
            )
    both = [*found.get("parts", []), *found.get("int8", [])]
    print("\n\n".join((ways_table(found.get("ways", [])), parts_table(both))))
    print(two_stage_exports_table(found.get("full_size", [])))
    return 0


def file_of(name: str, data: Path, runs: Path, *options: str) -> Path:
    """Returns a row's file, trained and exported where it is not there yet."""
    train(ROWS[name], data, runs)
    file = runs / (f"{name}.int8.onnx" if options else f"{name}.onnx")
    if not file.exists():
        given = ("--data", ROWS[name].location(data), *(("--skip-bad",) if "--skip-bad" in ROWS[name].options else ()))
        edgecnn("export", runs / name, *given, "-o", file, *options)
    return file


def ways(data: Path, runs: Path, count: int) -> list[dict[str, Any]]:
    """Answers the same pictures with the files of three ways, in turn."""
    from edgecnn.proposing import search_regions

    predictors = {name: Predictor.load(file_of(name, data, runs), **_LIMIT) for name in WAYS}
    times: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in WAYS}
    passes: dict[str, list[int]] = {name: [] for name in WAYS}
    proposing = 0.0

    def propose(pixels: Any) -> Any:
        nonlocal proposing
        start = perf_counter()
        boxes = search_regions(pixels)
        proposing = (perf_counter() - start) * 1000
        return boxes

    for number in range(-2, count):  # the first two warm up
        picture = render(scene_of("test", max(number, 0), MOST))
        for name, predictor in predictors.items():
            spec, proposing = predictor.manifest.proposals_input, 0.0
            speed = predictor.predict(picture, proposals=None if spec is None else propose).speed_ms
            if number >= 0:
                whole = speed.preprocess + speed.inference + speed.postprocess
                times[name].append((whole, proposing, speed.inference, speed.postprocess))
                passes[name].append(
                    1 if spec is None else min(spec.count, len(search_regions(_seen(predictor, picture))))
                )
    rows = []
    for name in WAYS:
        judged = json.loads((RESULTS / "detection" / f"{name}.json").read_text())["rows"][0]
        whole, proposed, graph, decoding = (statistics.median(column) for column in zip(*times[name], strict=True))
        rows.append({
            "row": name,
            "model": ROWS[name].model,
            "ap50": judged["file"]["ap50"],
            "whole_ms": whole,
            "proposing_ms": proposed,
            "inference_ms": graph,
            "postprocess_ms": decoding,
            "passes": statistics.median(passes[name]),
            "n": count,
        })  # fmt: skip
    return rows


def _seen(predictor: Predictor, picture: Any) -> Any:
    return predictor.inputs(picture, proposals=()).feeds["image"][0]


def measure_parts(data: Path, runs: Path, count: int) -> list[dict[str, Any]]:
    """Measures proposals, and proposals with RoIAlign, as graphs of their own on the full size's maps."""
    del data, runs, count
    import keras

    from edgecnn.models.layers import Proposals, RoIAlign
    from edgecnn.tasks.detection.outputs import MOST_REGIONS, REGION_ANCHORS
    from edgecnn_exporters.graph.convert import convert
    from edgecnn_exporters.graph.publish import finish

    anchors, side = len(REGION_ANCHORS), CELLS * STRIDE
    names = ("features", "objectness", "anchor_shifts")
    sizes = (CHANNELS, anchors, 4 * anchors)
    inputs = [keras.Input((CELLS, CELLS, size), name=name) for name, size in zip(names, sizes, strict=True)]
    proposals = Proposals(REGION_ANCHORS, (side, side), STRIDE, MOST_REGIONS, name="proposals")
    regions, valid = proposals(inputs[1], inputs[2])
    aligned = RoIAlign(7, STRIDE, name="aligned")(inputs[0], regions)
    graphs = {"proposals": (inputs[1:], [regions, valid]), "both": (inputs, [aligned, valid])}
    random, sessions = np.random.default_rng(0), {}
    feeds = {
        name: random.normal(0, scale, (1, CELLS, CELLS, size)).astype(np.float32)
        for name, size, scale in zip(names, sizes, (1.0, 2.0, 0.2), strict=True)
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, (given, made) in graphs.items():
            taken, outputs = [one.name for one in given], ["answer", "valid"]
            converted = convert(keras.Model(given, made), input_names=taken, output_names=outputs)
            file = Path(folder) / f"{name}.onnx"
            finish(converted, file, input_names=taken, output_names=outputs, batch=1)
            sessions[name] = (Session(file.read_bytes(), **_LIMIT), {one: feeds[one] for one in taken})
    said = {"proposals": "proposals", "both": "proposals and RoIAlign (wanted 6)"}
    valid_regions = int(sessions["both"][0].run(feeds)["valid"][0])
    calls = {name: lambda session=session, fed=fed: session.run(fed) for name, (session, fed) in sessions.items()}
    interleave(5, **calls)
    return [
        {"what": said[name], "anchors": CELLS**2 * anchors, "regions": valid_regions, **summary(samples)}
        for name, samples in interleave(100, **calls).items()
    ]


def measure_int8(data: Path, runs: Path, count: int) -> list[dict[str, Any]]:
    """Runs both files of a row in turn on a picture of its val part."""
    files = {"float32": file_of(SMALL, data, runs), "int8": file_of(SMALL, data, runs, "--quantize", "int8")}
    predictors = {name: Predictor.load(file, **_LIMIT) for name, file in files.items()}
    picture = data / "bccd" / "JPEGImages" / "BloodImage_00014.jpg"
    fed = {name: predictor.inputs(picture).feeds for name, predictor in predictors.items()}
    calls = {name: lambda name=name: predictors[name].run(fed[name]) for name in files}
    interleave(5, **calls)
    return [
        {"what": f"{SMALL}, {name}", **summary(samples)}
        for name, samples in interleave(max(30, count), **calls).items()
    ]


def export_full_size(data: Path, runs: Path, count: int) -> list[dict[str, Any]]:
    """Exports both networks at 416x416 with 80 classes and random weights, the first in int8 too."""
    del count
    rows, files = [], dict[str, Path]()
    on_coco = ("--data", data / "coco128", "--skip-bad", "--quantize", "int8", "--max-drop", "1", "--min-speedup", "0")
    for name, model, options in (
        ("faster_rcnn", "faster_rcnn", ()),
        ("faster_rcnn, int8, on coco128", "faster_rcnn", on_coco),
        ("rcnn", "rcnn", ()),
    ):
        file = files[name] = runs / f"{model}.full{'.int8' if options else ''}.onnx"
        seconds, peak = spend("export", model, "--weights", "none", *options, "-o", file)
        shares = json.loads(file.with_suffix(".report.json").read_text())["shares"]
        rows.append({
            "model": name,
            "seconds": seconds,
            "peak_bytes": peak,
            "bytes": file.stat().st_size,
            "shares": shares,
        })  # fmt: skip
    measuring = ("--device", "cpu", "--threads", "1", "--warmup", "1", "--starts", "0", "--format", "json")
    both, slow = list(files.values())[:2], files["rcnn"]
    measured = json.loads(edgecnn("bench", *both, "--runs", "20", *measuring))["files"]
    measured += json.loads(edgecnn("bench", slow, "--runs", "5", *measuring))["files"]
    return [{**row, "inference_ms": one["inference_ms"]} for row, one in zip(rows, measured, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
