"""How long it takes from a saved Keras model to an int8 file: two commands, `edgecnn adopt` and `edgecnn export`.

The model is MobileNetV2 of keras.applications at 224x224, with Rescaling before it and a softmax behind, trained for
some steps on scikit-learn's handwritten digits as RGB pictures. The commands get 300 of them, a fifth to score on. Each
is timed whole, imports and proof with it; the two run --turns times, and medians are written to results/adopting.json.

    uv run python benchmarks/adopting.py [--turns 3] [--runs FOLDER]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIDE, PICTURES, STEPS = 224, 300, 240
_BATCH, _MOMENTUM = 16, 0.8  # of batch normalisation, so that its averages settle


def main() -> int:
    """Measures the two commands and prints the row."""
    from command_line import runs_folder
    from int8 import spend
    from record import write_result
    from zoo import write_pictures

    from edgecnn_runtime.report_file import read_report

    if sys.argv[1:2] == ["--save"]:
        save_network(Path(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3, help="how often the two commands run")
    parser.add_argument("--runs", type=Path, help="keeps the model here; a saved one is not trained again")
    arguments = parser.parse_args()
    with runs_folder(arguments.runs) as runs:
        saved, run_dir, file, data = (runs / name for name in ("own.keras", "own", "own.int8.onnx", "pictures"))
        if not data.exists():
            write_pictures(data, PICTURES, SIDE)
        if not saved.exists():  # in a process of its own, whose memory is free again
            subprocess.run([sys.executable, __file__, "--save", str(saved)], check=True)
        seconds: dict[str, list[float]] = {"adopt": [], "export": []}
        peaks = []
        for _ in range(arguments.turns):
            shutil.rmtree(run_dir, ignore_errors=True)
            commands = {
                "adopt": ("adopt", saved, "--data", data, "-o", run_dir),
                "export": ("export", run_dir, "-o", file, "--quantize", "int8"),
            }
            for name, command in commands.items():
                spent, peak = spend(*command)
                seconds[name].append(spent)
                peaks.append(peak)
        last = read_report(file)["tries"][-1]
    row = {
        "pictures": PICTURES,
        "turns": arguments.turns,
        **{f"{name}_seconds": statistics.median(spent) for name, spent in seconds.items()},
        "peak_bytes": max(peaks),
        "accuracy": last["source"],
        "int8": last["file"],
        "top1_agreement": last["agreement"],
        "speedup": last["speedup"],
    }
    write_result("adopting", [row])
    print(row)
    return 0


def save_network(path: Path) -> None:
    """Builds, trains and saves the model, as a user would."""
    import keras
    import numpy as np
    from zoo import CLASSES, pictures

    keras.utils.set_random_seed(0)
    body = keras.applications.MobileNetV2(weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1), body])
    rate = keras.optimizers.schedules.CosineDecay(0.001, STEPS)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    pixels, labels = pictures(side=SIDE)
    order = np.random.default_rng(0)
    for _ in range(STEPS):
        chosen = order.choice(np.flatnonzero(np.arange(len(labels)) % 5), _BATCH, replace=False)
        model.train_on_batch(pixels[chosen].astype(np.float32), labels[chosen])
    model.save(path)


if __name__ == "__main__":
    sys.exit(main())
