"""What does everything around the network cost? `Predictor.predict` against bare `session.run` on ready tensors.

Both run in one process, in turn, on the same session of ONNX Runtime, with one thread and without spinning. The network
has seeded random weights: its time does not depend on them. The overhead is the median over the runs of (predict -
run); for an encoded image the cost of decoding it with Pillow, measured in the same turn, is taken off. Quality: both
must give the same class scores, bit by bit.

    uv run python benchmarks/latency.py
"""

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conversion import export_edgecnn, make_model
from PIL import Image
from record import write_result
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits, load_sample_image
from turns import interleave, summary

from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.export import export_source
from edgecnn_runtime import Predictor, Preprocessor
from edgecnn_runtime.tasks.scores import softmax

SMALL = ("simple_cnn", "mnist_convnet", "fashion_cnn")
LARGE = "vgg16"
THREADS = 1
SMALL_RUNS, LARGE_RUNS = 2000, 25


def export_random(name: str, path: Path) -> None:
    """Exports a model with seeded random weights: of the catalogue, or Keras' own VGG-16."""
    if name == LARGE:
        export_edgecnn(make_model("VGG16"), path.parent).rename(path)
    else:
        export_source(ExportConfig(name, weights="none"), path)


def digit() -> Image.Image:
    """Returns a real handwritten digit of scikit-learn's, 28x28 gray."""
    pixels = (load_digits().images[0] * 15.9375).astype(np.uint8)
    return Image.fromarray(pixels).resize((28, 28), Image.Resampling.BILINEAR)


def encoded(picture: Image.Image, form: str) -> bytes:
    """Returns the bytes of an image file."""
    stream = io.BytesIO()
    picture.save(stream, form, quality=90)
    return stream.getvalue()


def bare_run(predictor: Predictor, pixels: np.ndarray) -> Callable[[], Any]:
    """Returns `session.run` of ONNX Runtime's own session on a ready tensor.

    It is the session that the Predictor holds: a second one would keep a second copy of the weights, and the two would
    push each other out of the processor's cache.
    """
    session = predictor.session._session
    return lambda: session.run(["logits"], {"image": pixels})


def decode_only(content: bytes) -> None:
    """Decodes an image file, as anybody must."""
    Image.open(io.BytesIO(content)).load()


def measure(path: Path, source: bytes | np.ndarray, runs: int) -> dict[str, Any]:
    """Returns the medians of one file and one source."""
    predictor = Predictor.load(path, device="cpu", threads=THREADS)
    picture = source if isinstance(source, np.ndarray) else Image.open(io.BytesIO(source))
    spec = predictor.manifest.image_input
    pixels, _ = Preprocessor(spec)(picture)
    run = bare_run(predictor, pixels)
    same = np.array_equal(predictor.predict(source).scores, softmax(run()[0])[0])
    calls = {"predict": lambda: predictor.predict(source), "run": run}
    if isinstance(source, bytes):
        calls["decode"] = lambda: decode_only(source)
    interleave(max(runs // 10, 3), **calls)  # warm-up
    samples = interleave(runs, **calls)
    decode = samples.get("decode", [0.0] * runs)
    overhead = [p - r - d for p, r, d in zip(samples["predict"], samples["run"], decode, strict=True)]
    row: dict[str, Any] = {name: summary(values) for name, values in samples.items()}
    return row | {"overhead": summary(overhead), "same_scores": bool(same)}


def main() -> int:
    """Measures, prints the table, writes the result; returns 1 where the scores differ."""
    photo = encoded(Image.fromarray(load_sample_image("china.jpg")), "JPEG")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in (*SMALL, LARGE):
            path = Path(folder) / f"{name}.onnx"
            export_random(name, path)
            sources = {"china.jpg 640x427": photo} if name == LARGE else {"png 28x28": encoded(digit(), "PNG")}
            if name in SMALL:
                sources["array 28x28"] = np.asarray(digit())  # type: ignore[assignment]
            for label, source in sources.items():
                result = measure(path, source, LARGE_RUNS if name == LARGE else SMALL_RUNS)
                rows.append({"model": name, "source": label, "threads": THREADS, **result})
                print(f"measured {name} {label}", file=sys.stderr)
    print_table(rows)
    print(f"written: {write_result('latency', rows).name}")
    return 0 if all(row["same_scores"] for row in rows) else 1


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints one line a model and source, in milliseconds."""
    table = Table("model", "source", "predict", "session.run", "decode", "overhead", "of run", "n", "same scores")
    for row in rows:
        run, overhead = row["run"]["median"], row["overhead"]
        table.add_row(
            row["model"],
            row["source"],
            f"{row['predict']['median']:.3f}",
            f"{run:.3f}",
            f"{row['decode']['median']:.3f}" if "decode" in row else "-",
            f"{overhead['median']:.3f} ({overhead['p10']:.3f} to {overhead['p90']:.3f})",
            f"{overhead['median'] / run:.1%}",
            str(overhead["n"]),
            "yes" if row["same_scores"] else "NO",
        )
    Console(width=140).print(table)
    print("targets: array 28x28: overhead at most 0.060 ms; vgg16: overhead at most 10 % of session.run")


if __name__ == "__main__":
    sys.exit(main())
