"""Networks of keras.applications as their users save them: adopted, exported in float32 and int8, run and verified.

Each is built with seeded weights for ten classes, trained for some steps on scikit-learn's handwritten digits as RGB
pictures of 80x80, so that its batch normalisation has seen pictures, and saved with `model.save`. Some scale pixels
inside the model, some outside, as their documentation says. Then the command line takes over. A row writes
results/zoo/NAME.json, of which `tables.py` makes the table of docs/own-model.md.

    uv run python benchmarks/zoo.py [--only NAME]... [--runs FOLDER]
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIDE, CLASSES = 80, 10
MAX_DROP = 0.01  # of the accuracy, int8 against the model itself
_BATCH = 16
_MOMENTUM = 0.8  # of batch normalisation, so that a few steps settle its averages


@dataclass(frozen=True, slots=True)
class Network:
    """A network of keras.applications.

    Attributes:
        name: there.
        module: with its `preprocess_input`.
        inside: whether that is part of the saved model.
        options: of `edgecnn adopt` where it is not.
        steps: of training, of 16 pictures each.
        rate: of its optimizer, Adam.
    """

    name: str
    module: str
    inside: bool = True
    options: tuple[str, ...] = ()
    steps: int = 480
    rate: float = 0.001


ZOO = {
    network.name: network
    for network in (
        Network("MobileNetV2", "mobilenet_v2"),
        Network("MobileNetV3Small", "mobilenet_v3"),
        Network("MobileNetV3Large", "mobilenet_v3"),
        Network("EfficientNetB0", "efficientnet", steps=1440),
        Network("EfficientNetV2B0", "efficientnet_v2"),
        Network("DenseNet121", "densenet", inside=False, options=("--pixels", "torch")),
        Network("NASNetMobile", "nasnet", inside=False, options=("--pixels", "signed")),
        Network("InceptionV3", "inception_v3", inside=False, options=("--pixels", "signed")),
        Network("ConvNeXtTiny", "convnext", rate=0.0003, steps=160),  # three seconds each
        Network("ResNet50V2", "resnet_v2"),
    )
}


def main() -> int:
    """Takes the networks the whole way and prints the table; returns 1 where int8 loses more than it may."""
    from command_line import row_parser, runs_folder
    from tables import zoo_table

    if sys.argv[1:2] == ["--save"]:
        save_network(ZOO[sys.argv[2]], Path(sys.argv[3]))
        return 0
    arguments = row_parser(__doc__, list(ZOO)).parse_args()
    with runs_folder(arguments.runs) as runs:
        if not (runs / "digits").exists():
            write_pictures(runs / "digits")
        rows = [measured(ZOO[name], runs) for name in arguments.only or ZOO]
    print(zoo_table(rows))
    return int(any(row["drop"] > MAX_DROP for row in rows))


def measured(network: Network, runs: Path) -> dict[str, Any]:
    """Takes a network from its training to the verified files, and writes its result, which it returns."""
    from int8 import spend
    from record import write_result

    from edgecnn_runtime.report_file import read_report

    saved, run_dir = runs / f"{network.name}.keras", runs / network.name
    files = {name: runs / f"{network.name}.{name}.onnx" for name in ("float32", "int8")}
    if not saved.exists():  # in a process of its own, whose memory is free again
        subprocess.run([sys.executable, __file__, "--save", network.name, str(saved)], check=True)
    if run_dir.exists():
        shutil.rmtree(run_dir)
    seconds, _ = spend("adopt", saved, "--data", runs / "digits", "-o", run_dir, *network.options)
    spend("export", run_dir, "-o", files["float32"])
    spent, peak = spend(
        "export", run_dir, "-o", files["int8"], "--quantize", "int8", "--max-drop", MAX_DROP, "--min-speedup", "0"
    )
    for file in files.values():
        spend("run", file, runs / "digits" / "test" / "7", "--format", "jsonl")
        spend("verify", file)
    reports = {name: read_report(file) for name, file in files.items()}
    last, parity = reports["int8"]["tries"][-1], reports["float32"]["parity"]["parity"]
    result = {
        "network": network.name,
        "order": list(ZOO).index(network.name),
        "accuracy": last["source"],
        "max_relative": max(tensor["max_relative"] for tensor in parity["tensors"]),
        "top1_agreement_float32": parity["decoded"]["top1_agreement"],
        "int8": last["file"],
        "drop": last["drop"],
        "top1_agreement": last["agreement"],
        "images": parity["decoded"]["images"],
        "tries": len(reports["int8"]["tries"]),
        "layers": last["layers"],
        "float_layers": len(last["float_layers"]),
        "speedup": last["speedup"],
        "keras_bytes": saved.stat().st_size,
        "float32_bytes": files["float32"].stat().st_size,
        "int8_bytes": files["int8"].stat().st_size,
        "adopt_seconds": seconds,
        "int8_seconds": spent,
        "peak_bytes": peak,
    }
    write_result(f"zoo/{network.name}", [result], command=f"uv run python benchmarks/zoo.py --only {network.name}")
    return result


def pictures(count: int | None = None, side: int = SIDE) -> tuple[Any, Any]:
    """Returns the first digits as (count, side, side, 3) uint8, all 1797 by default, and their classes."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, classes = digits.images[:count], digits.target[:count]
    drawn = [Image.fromarray((image * 255 / 16).astype(np.uint8)).resize((side, side)) for image in images]
    return np.stack([np.asarray(image.convert("RGB")) for image in drawn]), classes


def write_pictures(folder: Path, count: int | None = None, side: int = SIDE) -> None:
    """Writes them as PNG files: folder/train/7/0001.png, and a fifth of them in folder/test."""
    from PIL import Image

    for number, (pixels, label) in enumerate(zip(*pictures(count, side), strict=True)):
        part = folder / ("test" if number % 5 == 0 else "train") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(part / f"{number:04d}.png")


def save_network(network: Network, path: Path, *, steps: int | None = None) -> None:
    """Builds, trains and saves a network, as its user would.

    Args:
        network: of `ZOO`.
        path: ends in .keras.
        steps: of training; None takes the network's.
    """
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    applications = keras.applications
    body = getattr(applications, network.name)(weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES)
    for layer in body._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    preprocess = getattr(applications, network.module).preprocess_input
    model = body
    if network.inside:
        image = keras.Input((SIDE, SIDE, 3))
        model = keras.Model(image, body(preprocess(image)))
    steps = network.steps if steps is None else steps
    rate = keras.optimizers.schedules.CosineDecay(network.rate, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    pixels, labels = pictures()
    train = np.flatnonzero(np.arange(len(labels)) % 5)
    order = np.random.default_rng(0)
    for _ in range(steps):
        chosen = order.choice(train, _BATCH, replace=False)
        shown = pixels[chosen].astype(np.float32)
        model.train_on_batch(shown if network.inside else preprocess(shown), labels[chosen])
    model.save(path)


if __name__ == "__main__":
    sys.exit(main())
