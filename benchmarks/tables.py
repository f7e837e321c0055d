"""Writes the tables of the pages, and the peers' picture, from benchmarks/results/*.json and the catalogue.

`uv run python benchmarks/tables.py` rewrites the blocks between their markers, wherever they stand in `PAGES`, and
docs/peers.svg; with `--check` it changes nothing and exits with 1 where a page or the picture's texts differ.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from peers_picture import peers_picture, shown

from edgecnn.models.catalog import CATALOG

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("README.md", "benchmarks/README.md", "docs/cuda.md", "docs/models.md", "docs/own-model.md")
PICTURE = "docs/peers.svg"


def main() -> int:
    """Rewrites or checks the pages and the picture."""
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
    fresh = {page: with_tables(text) for page, text in texts.items()}
    picture, drawn = ROOT / PICTURE, peers_picture(rows_of(results_of("peers")))
    if "--check" in sys.argv[1:]:
        return int(fresh != texts or shown(drawn) != shown(picture.read_text(encoding="utf-8")))
    for page, text in fresh.items():
        (ROOT / page).write_text(text, encoding="utf-8")
    picture.write_text(drawn, encoding="utf-8")
    return 0


def with_tables(text: str) -> str:
    """Returns a page's text with every table that it holds made anew."""
    tables = {
        "figures": figures(),
        "models": models_table(),
        "accuracy": accuracy_block(),
        "localization": localization_block(),
        "detection": detection_block(),
        "two_stages": two_stages_block(),
        "segmentation": segmentation_block(),
        "questions": questions_block(),
        "int8": int8_block(),
        "elsewhere": elsewhere_block(),
        "peers": peers_block(),
        "openvino": openvino_block(),
        "benchmarks": benchmark_tables(),
        "cuda": cuda_block(),
        "zoo": zoo_table(_in_order("zoo")),
        "adopting": adopting_line(),
    }
    for name, table in tables.items():
        block = f"<!-- {name}: begin -->\n{table}\n<!-- {name}: end -->"
        text = re.sub(rf"<!-- {name}: begin -->.*?<!-- {name}: end -->", lambda _, b=block: b, text, flags=re.DOTALL)
    return text


def figures() -> str:
    """Returns a few numbers out of the tables, for those who read no table."""
    trained = next(row for row in _in_order("accuracy") if row["model"] == "mnist_convnet")
    peers = [row for row in rows_of(results_of("peers")) if (row["model"], row["threads"]) == ("resnet34", 1)]
    size = {row["way"]: row["size_bytes"] for row in peers if row["size_bytes"]}
    times = {row["way"]: f"{row['ratio']['median']:.2f}" for row in peers}
    overhead = next(row for row in _rows("latency") if row["source"] == "array 28x28")["overhead"]["median"]
    process = {row["what"].removeprefix("`edgecnn run`, "): row["here"] for row in _rows("footprint")}
    convert = {row["way"]: row for row in _rows("conversion") if row["model"] == "ResNet50"}
    seconds = {way: f"{row['seconds']:.1f} s and {row['peak_mb'] / 1e3:.1f} GB" for way, row in convert.items()}
    lines = (
        f"`{trained['model']}` on {trained['images']:,} MNIST images: the file {trained['file']:.4f}, Keras "
        f"{trained['keras']:.4f}; raw outputs differ by {trained['max_relative']:.1e} of the largest.",
        f"int8 of `resnet34` at 224x224, one thread: {times['edgecnn int8']} times as fast as plain float32 "
        f"({times['edgecnn int8 for AMX']} with `--tune-for amx`), {size['edgecnn int8'] / 1e6:.0f} MB instead of "
        f"{size['edgecnn fp32'] / 1e6:.0f}. Beside it, LiteRT's int8 {times['LiteRT int8']}, OpenVINO's "
        f"{times['OpenVINO int8']}.",
        f"`Predictor.predict` of a 28x28 array takes {overhead * 1000:.0f} µs more than ONNX Runtime alone.",
        f"A fresh process answers with `mnist_convnet` after {process['process start to answer']:.2f} s, and needs "
        f"{process['peak memory, largest']:.0f} MB.",
        f"ResNet-50 from Keras to ONNX: {seconds['edgecnn convert']}; plain tf2onnx: {seconds['plain tf2onnx']}.",
    )
    return "\n".join(f"- {line}" for line in lines)


def models_table() -> str:
    """Returns the catalogue."""
    rows = (
        (f"`{spec.name}`", f"{spec.image_size[0]}x{spec.image_size[1]} {spec.color}", f"{spec.parameters:,}",
         spec.summary, spec.reference)
        for spec in CATALOG.values()
    )  # fmt: skip
    return markdown(("name", "input", "parameters", "layers", "source"), rows)


def benchmark_tables() -> str:
    """Returns one table a result, each under the command that made it."""
    makers = {
        "conversion": conversion_table,
        "latency": latency_table,
        "footprint": footprint_table,
        "decoding": decoding_table,
        "footprint_resnet34_int8": footprint_table,
    }
    parts = []
    for name, maker in makers.items():
        result = _result(name)
        machine, versions = result["machine"], result["machine"]["versions"]
        parts.append(
            f"`{result['command']}`, {machine['usable_cpus']} CPUs ({machine['cpu']}), onnxruntime "
            f"{versions['onnxruntime']}:\n\n{maker(result['rows'])}"
        )
    return "\n\n".join(parts)


def accuracy_block() -> str:
    """Returns the accuracies of the rows that have a result, under the command that makes them all."""
    return f"`uv run python benchmarks/accuracy.py`, one seed each:\n\n{accuracy_table(_in_order('accuracy'))}"


def accuracy_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the accuracy of the Keras model and of its file, on the whole test part."""
    body = (
        (f"`{row['model']}`", ", ".join(filter(None, (row["data"], row["how"]))), row["epochs"],
         f"{row['keras']:.4f}", f"{row['file']:.4f}", row["wanted"] or "-", f"{row['max_relative']:.1e}",
         f"{row['top1_agreement']:.4f}", f"{row['images']:,}")
        for row in rows
    )  # fmt: skip
    header = ("model", "data", "epochs", "Keras", "file", "to reach", "difference of the logits, relative")
    return markdown((*header, "same top-1", "test images"), body)


def localization_block() -> str:
    """Returns what the localizers found, under the command that makes the rows."""
    return (
        f"`uv run python benchmarks/localization.py`, one seed each:\n\n{localization_table(_in_order('localization'))}"
    )


def localization_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns mean IoU, accuracy and what is right in both, of the Keras model, its file and its int8 file."""
    body = (
        (f"`{row['model']}`", ", ".join(filter(None, (row["data"], row["how"]))), row["epochs"],
         f"{row['seconds']:.0f}", way, f"{row[key]['mean_iou']:.4f}", f"{row[key]['accuracy']:.4f}",
         f"{row[key]['right']:.4f}", row["wanted"] or "-", f"{row[key]['images']:,} {row[key]['split']}")
        for row in rows
        for key, way in (("keras", "Keras"), ("file", "file"), ("int8", "int8 file"))
    )  # fmt: skip
    header = ("model", "data", "epochs", "seconds", "of", "mean IoU", "accuracy", "right in both", "wanted", "images")
    return markdown(header, body)


def detection_block() -> str:
    """Returns what the detectors found, under the command that makes the rows."""
    rows = _in_order("detection")
    return (
        f"`uv run python benchmarks/detection.py`, one seed each:\n\n{detection_table(rows)}\n\n"
        f"At the operating points of the int8 files:\n\n{operating_points_table(rows)}\n\n"
        f"`yolov3` as published, with random weights:\n\n{full_size_table(_rows('detection_full_size'))}"
    )


def detection_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the average precisions, of the Keras model, its file and its int8 file."""
    body = (
        (f"`{row['model']}`", ", ".join(filter(None, (row["data"], row["how"]))), row["epochs"],
         f"{row['seconds']:.0f}", way, *(f"{row[key][name]:.4f}" for name in ("ap50", "ap50_95", "ap_11_point", "f1")),
         row["wanted"] or "-", f"{row[key]['images']:,} {row[key]['split']}")
        for row in rows
        for key, way in (("keras", "Keras"), ("file", "file"), ("int8", "int8 file"))
    )  # fmt: skip
    header = ("model", "data", "epochs", "seconds", "of", "AP50", "AP50:95", "AP 11", "F1", "wanted", "images")
    return markdown(header, body)


def two_stages_block() -> str:
    """Returns what detectors in two stages cost, under the command that makes the rows."""
    measured = [*_rows("two_stages/parts"), *_rows("two_stages/int8")]
    return (
        f"`uv run python benchmarks/two_stages.py`, one thread, medians:\n\n{ways_table(_rows('two_stages/ways'))}\n\n"
        f"Parts of `faster_rcnn` at full size, and its narrow files of bccd:\n\n{parts_table(measured)}\n\n"
        f"As published, with random weights:\n\n{two_stage_exports_table(_rows('two_stages/full_size'))}"
    )


def ways_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what each way finds on the same pictures, how often its network runs, and the milliseconds of it all."""
    names = ("whole_ms", "proposing_ms", "inference_ms", "postprocess_ms")
    body = (
        (
            f"`{row['model']}`",
            f"{row['ap50']:.4f}",
            f"{row['passes']:g}",
            *(f"{row[name]:.1f}" for name in names),
            row["n"],
        )
        for row in rows
    )
    return markdown(("model", "AP50", "forward passes", "a picture, ms", "proposing", "graph", "decoding", "n"), body)


def parts_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the milliseconds of parts, the second of each pair beside the first."""
    body = ((row["what"], *(f"{row[name]:.2f}" for name in ("median", "p10", "p90")), row["n"]) for row in rows)
    return markdown(("what", "ms", "p10", "p90", "n"), body)


def two_stage_exports_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what the exports of the published networks took, and which part of a run their parts take."""
    body = (
        (f"`{row['model']}`", f"{row['seconds']:.0f}", f"{row['peak_bytes'] / 1e9:.2f}", f"{row['bytes'] / 1e6:.1f}",
         f"{row['inference_ms']['p50']:.0f}",
         "-" if row["shares"] is None else ", ".join(f"{name} {share:.0%}" for name, share in row["shares"].items()))
        for row in rows
    )  # fmt: skip
    return markdown(("model", "export, s", "peak GB", "MB", "a run, ms", "parts of it"), body)


def operating_points_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the score threshold of each class in the int8 files, and what it came to."""
    body = (
        (row["data"], point["name"], *(f"{point[name]:.4f}" for name in ("score", "precision", "recall")))
        for row in rows
        for point in row["points"]
    )
    return markdown(("data", "class", "from score", "precision", "recall"), body)


def full_size_table(results: Sequence[dict[str, Any]]) -> str:
    """Returns what the exports of the largest detector took, and their size."""
    body = (
        (f"`{result['model']}`", row["file"], f"{row['seconds']:.0f}", f"{row['peak_bytes'] / 1e9:.2f}",
         f"{row['bytes'] / 1e6:.1f}", f"{row['bytes'] / result['rows'][0]['bytes']:.3f}",
         f"{row['speed_ms']['inference']:.0f}")
        for result in results
        for row in result["rows"]
    )  # fmt: skip
    header = ("model", "file", "export, s", "peak GB", "MB", "part of float32", "a photo, ms")
    return markdown(header, body)


def segmentation_block() -> str:
    """Returns what the segmenters found, under the command that makes the rows."""
    return (
        f"`uv run python benchmarks/segmentation.py`, one seed each:\n\n"
        f"{segmentation_table(_in_order('segmentation'))}\n\n"
        f"`unet` of `membrane` in tiles of 256 with 64 in common:\n\n{tiles_table(_rows('segmentation_tiles'))}\n\n"
        f"As published, with random weights:\n\n{full_size_table(_rows('segmentation_full_size'))}"
    )


def segmentation_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns mean IoU and what else is known of it, of the Keras model, its file and its int8 file."""
    scores = ("mean_iou", "mean_dice", "boundary_f1", "pixel_accuracy")
    body = (
        (f"`{row['model']}`", ", ".join(filter(None, (row["data"], row["how"]))), row["epochs"],
         f"{row['seconds']:.0f}", way, *(f"{row[key][name]:.4f}" for name in scores),
         row["wanted"] or "-", f"{row[key]['images']:,} {row[key]['split']}")
        for row in rows
        for key, way in (("keras", "Keras"), ("file", "file"), ("int8", "int8 file"))
    )  # fmt: skip
    header = ("model", "data", "epochs", "seconds", "of", "mean IoU", "mean dice", "boundary F1", "pixel accuracy")
    return markdown((*header, "wanted", "images"), body)


def tiles_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what it changes that pictures are cut into tiles, and what a large one takes on one thread."""
    body = (
        (row["file"], f"{row['seam']:.4%} of {row['pictures']}", f"{row['apart']:.4%}", row["large"],
         f"{row['seconds']:.0f}", f"{row['peak_bytes'] / 1e6:,.0f}")
        for row in rows
    )  # fmt: skip
    header = ("file", "seam at the export", f"apart from the whole at {rows[0]['whole'] if rows else '-'}")
    return markdown((*header, "large picture", "seconds", "peak MB"), body)


def questions_block() -> str:
    """Returns what is known of pictures that are asked about, under the command that makes the rows."""
    rows = _in_order("questions")
    return (
        f"`uv run python benchmarks/questions.py`, one seed each:\n\n{questions_table(rows)}\n\n"
        f"By kind of question, the Keras models:\n\n{kinds_table(rows)}\n\n"
        f"As published, with random weights, one thread:\n\n{further_table(_rows('questions_full_size'))}"
    )


def questions_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the answer accuracy of the Keras model, its file and its int8 file, and what is right without looking."""
    body = (
        (f"`{row['model']}`", row["data"], row["epochs"], f"{row['seconds']:.0f}", way,
         *(f"{row[key][name]:.4f}" for name in ("answer_accuracy", "text_alone", "most_frequent")),
         row["wanted"] or "-", f"{row[key]['questions']:,}", f"{row[key]['images']:,} {row[key]['split']}")
        for row in rows
        for key, way in (("keras", "Keras"), ("file", "file"), ("int8", "int8 file"))
    )  # fmt: skip
    header = ("model", "data", "epochs", "seconds", "of", "right", "picture blacked out", "most frequent answer")
    return markdown((*header, "wanted", "questions", "images"), body)


def kinds_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the same of each kind of question."""
    names = ("answer_accuracy", "text_alone", "most_frequent")
    body = (
        (row["data"], one["kind"], *(f"{one[name]:.4f}" for name in names), f"{one['questions']:,}")
        for row in rows
        for one in row["keras"]["per_kind"]
    )
    return markdown(("data", "question", "right", "picture blacked out", "most frequent answer", "questions"), body)


def further_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what an export took, and the milliseconds of a new picture and of a further question about it."""
    body = (
        (row["file"], f"{row['seconds']:.0f}", f"{row['peak_bytes'] / 1e9:.2f}", f"{row['bytes'] / 1e6:.1f}",
         f"{row['inference_ms']['p50']:.1f}", f"{row['further_ms']['p50']:.2f}",
         f"{row['inference_ms']['p50'] / row['further_ms']['p50']:.1f}", row["further_ms"]["n"])
        for row in rows
    )  # fmt: skip
    header = ("file", "export, s", "peak GB", "MB", "a new picture, ms", "a further question, ms", "times faster", "n")
    return markdown(header, body)


def decoding_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns milliseconds from raw outputs to boxes."""
    body = (
        (row["picture"], row["boxes"], *(f"{row[way]['median']:.3f}" for way in ("edgecnn", "supervision")),
         f"{row['ratio']['median']:.1f}", "same" if row["same_boxes"] else "others", row["edgecnn"]["n"])
        for row in rows
    )  # fmt: skip
    header = ("picture", "boxes", "edgecnn, ms", "every cell and supervision, ms", "ratio", "boxes of both", "n")
    return markdown(header, body)


def elsewhere_block() -> str:
    """Returns what other runtimes make of files that suppress by themselves, the worst of all pictures a row."""
    played: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in _rows("nms_elsewhere"):
        played.setdefault((row["tool"], row["file"]), []).append(row)
    body = [
        (tool, file, len(rows), max(sum(row["boxes"]) for row in rows),
         f"{min(row['same_classes'] for row in rows):.4f}", f"{max(row['score_difference'] for row in rows):.1e}",
         f"{max(row['edge_difference'] for row in rows):.1e}")
        for (tool, file), rows in played.items()
    ]  # fmt: skip
    header = ("runtime", "file", "runs", "boxes of the largest", "same class", "score apart", "edge apart, pixels")
    return f"`uv run python benchmarks/nms_elsewhere.py`:\n\n{markdown(header, body)}"


def int8_block() -> str:
    """Returns what int8 loses and saves, of the rows that have a result, under the command that makes them all."""
    return f"`uv run python benchmarks/int8.py`:\n\n{int8_table(_in_order('int8'))}"


def int8_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns accuracy, agreement, speed and size of int8 files, and what their exports took."""
    body = (
        (f"`{row['model']}`", ", ".join(filter(None, (row["data"], row["how"]))),
         *(f"{row[key]:.4f}" if row["trained"] else "-" for key in ("float32", "int8", "top1_agreement")),
         f"{row['images']:,}", row["tries"], f"{row['speedup']['ratio']:.2f}",
         *((f"{row['int8_bytes'] / 1e6:.2f}", f"{row['int8_bytes'] / row['float32_bytes']:.3f}")
           if row["int8_bytes"] else ("no file", "-")),
         f"{row['seconds']:.0f}", f"{row['peak_bytes'] / 1e6:,.0f}")
        for row in rows
    )  # fmt: skip
    header = ("model", "data", "Keras", "int8", "same top-1", "test images", "tries", "times faster", "MB")
    return markdown((*header, "part of float32", "export, s", "peak MB"), body)


def zoo_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what became of networks of keras.applications as their users save them."""
    body = (
        (row["network"], f"{row['max_relative']:.1e}", f"{row['accuracy']:.4f}", f"{row['int8']:.4f}",
         f"{row['top1_agreement']:.4f}", f"{row['layers'] - row['float_layers']} of {row['layers']}",
         f"{row['speedup']['ratio']:.2f}",
         *(f"{row[key] / 1e6:.1f}" for key in ("keras_bytes", "float32_bytes", "int8_bytes")))
        for row in rows
    )  # fmt: skip
    header = ("network", "difference", "accuracy", "int8", "agreement", "layers in int8", "times faster")
    return markdown((*header, "MB, .keras", "MB, float32", "MB, int8"), body)


def adopting_line() -> str:
    """Returns how long a saved model takes to an int8 file."""
    (row,) = _rows("adopting")
    return (
        f"`adopt` {row['adopt_seconds']:.0f} s and `export --quantize int8` {row['export_seconds']:.0f} s, medians of "
        f"{row['turns']}: accuracy {row['accuracy']:.4f}, int8 {row['int8']:.4f}, {row['speedup']['ratio']:.2f} times "
        "as fast as the float32 file."
    )


def _result(benchmark: str) -> dict[str, Any]:
    """Returns the result of a benchmark that writes one file."""
    result: dict[str, Any] = json.loads((RESULTS / f"{benchmark}.json").read_text(encoding="utf-8"))
    return result


def _rows(benchmark: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _result(benchmark)["rows"]
    return rows


def _in_order(benchmark: str) -> list[dict[str, Any]]:
    """Returns the rows of a benchmark whose rows have a file each."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS / benchmark).glob("*.json")]
    return sorted((row for result in results for row in result["rows"]), key=lambda row: row["order"])


def peers_block() -> str:
    """Returns each way's speed and quality, of the models that have a result, under the command that makes them."""
    results = results_of("peers")
    picture = f"![each way's speed beside plain fp32, a panel a model](../{PICTURE})"
    return f"{made_by(results)}:\n\n{picture}\n\n{peers_table(rows_of(results))}"


def results_of(benchmark: str) -> list[dict[str, Any]]:
    """Returns the results of a benchmark that writes one file a model, by the model's name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((RESULTS / benchmark).glob("*.json"))]


def rows_of(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows of them all, in that order."""
    return [row for result in results for row in result["rows"]]


def made_by(results: Sequence[dict[str, Any]]) -> str:
    """Returns the command that makes them all, and the machine that made the first."""
    machine = results[0]["machine"]
    command = results[0]["command"].partition(" --only")[0]
    return f"`{command}`, {machine['usable_cpus']} CPUs ({machine['cpu']})"


def peers_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns how many times faster than plain fp32 each way is, its quality and its size."""
    body = (
        (f"`{row['model']}`", row["threads"], row["way"], f"{row['ratio']['median']:.2f}",
         f"{row['ratio']['p10']:.2f} to {row['ratio']['p90']:.2f}", f"{row['latency_ms']['median']:.3f}",
         "-" if row["accuracy"] is None else f"{row['accuracy']:.4f}", f"{row['agreement']:.3f}",
         "-" if row["size_bytes"] is None else f"{row['size_bytes'] / 1e6:.2f}", row["ratio"]["n"])
        for row in rows
    )  # fmt: skip
    header = ("model", "threads", "way", "times faster than plain fp32", "10 to 90 %", "ms", "accuracy")
    return markdown((*header, "same top-1 as Keras", "MB", "n"), body)


def openvino_block() -> str:
    """Returns both providers' speed and answers, of the models that have a result, under their command."""
    results = results_of("openvino_provider")
    wheel = results[0]["machine"]["versions"]["onnxruntime-openvino"]
    return f"{made_by(results)}, onnxruntime-openvino {wheel}:\n\n{openvino_table(rows_of(results))}"


def openvino_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns how many times faster than the CPU provider on float32 each is, and how it answers."""
    body = (
        (f"`{row['model']}`", row["threads"], row["provider"].removesuffix("ExecutionProvider"), row["file"],
         f"{row['ratio']['median']:.2f}", f"{row['ratio']['p10']:.2f} to {row['ratio']['p90']:.2f}",
         f"{row['latency_ms']['median']:.3f}", "-" if row["accuracy"] is None else f"{row['accuracy']:.4f}",
         f"{row['agreement']:.3f}", f"{row['max_relative']:.1e}",
         f"{row['nodes'].get(row['provider'], 0)} of {sum(row['nodes'].values())}", row["ratio"]["n"])
        for row in rows
    )  # fmt: skip
    header = ("model", "threads", "provider", "file", "times faster than CPU, fp32", "10 to 90 %", "ms", "accuracy")
    return markdown((*header, "same top-1 as CPU", "largest difference, relative", "nodes on it", "n"), body)


def cuda_block() -> str:
    """Returns each file's speed and answers on CUDA and on the CPU, under the command, the card and the CPU."""
    result = json.loads((RESULTS / "cuda.json").read_text(encoding="utf-8"))
    machine, rows = result["machine"], result["rows"]
    return (
        f"`{result['command']}`, {rows[0]['card']}, beside {machine['usable_cpus']} CPUs ({machine['cpu']}), "
        f"onnxruntime-gpu {machine['versions']['onnxruntime-gpu']}:\n\n{cuda_table(rows)}"
    )


def cuda_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns how many times faster than the CPU on float32 each file is on each provider, and how it answers."""
    body = (
        (f"`{row['model']}`", row["batch"], row["file"], row["provider"].removesuffix("ExecutionProvider"),
         f"{row['latency_ms']['median']:.3f}", f"{row['ratio']['median']:.2f}",
         f"{row['ratio']['p10']:.2f} to {row['ratio']['p90']:.2f}", f"{row['agreement']:.3f}",
         f"{row['max_relative']:.1e}", f"{row['size_bytes'] / 1e6:.2f}", row["ratio"]["n"])
        for row in rows
    )  # fmt: skip
    header = ("model", "batch", "file", "provider", "ms", "times faster than CPU, float32", "10 to 90 %")
    return markdown((*header, "same top-1 as CPU, float32", "difference from CPU, relative", "MB", "n"), body)


def conversion_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns seconds, memory and difference of each way."""
    body = (
        (row["model"], row["way"], f"{row['seconds']:.1f}", f"{row['peak_mb']:,.0f}",
         f"{row['relative_difference']:.1e}", row["n"])
        for row in rows
    )  # fmt: skip
    return markdown(("model", "way", "seconds", "peak MB", "difference from Keras, relative", "n"), body)


def latency_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the overhead of `Predictor.predict`."""
    body = (
        (f"`{row['model']}`", row["source"], f"{row['run']['median']:.3f}", f"{row['predict']['median']:.3f}",
         f"{row['decode']['median']:.3f}" if "decode" in row else "-", f"{row['overhead']['median']:.3f}",
         "yes" if row["same_scores"] else "no", row["overhead"]["n"])
        for row in rows
    )  # fmt: skip
    header = ("model", "source", "session.run, ms", "predict, ms", "decoding the image, ms", "overhead, ms")
    return markdown((*header, "same scores", "n"), body)


def footprint_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns what one answer costs from process start."""
    body = ((row["what"], f"{row['here']:.3g}", f"{row['target']:.3g}", row["unit"], row["n"]) for row in rows)
    return markdown(("what", "here", "target", "unit", "n"), body)


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
