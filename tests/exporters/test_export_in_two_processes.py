"""The same model exported twice, in two processes, is the same bytes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from conftest import build, draw, export_to
model = build(seed=5)
batches = [(draw(count, seed=count), np.arange(count) % 3) for count in (7, 40, 64)]
from edgecnn_exporters import CalibrationImages, QuantizationConfig
int8 = QuantizationConfig("int8", max_drop=1.0, min_speedup=0.0)
calibration = CalibrationImages([{"image": draw(40, seed=9)}])
options = {"evaluation": batches, "evaluation_fingerprint": "f", "seed": 5}
export_to(model, f"{sys.argv[2]}/float32.onnx", quantization=None, **options)
export_to(model, f"{sys.argv[2]}/int8.onnx", quantization=int8, calibration=calibration, **options)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of each process, with its two files."""
    made = []
    for hash_seed in ("1", "2"):
        made.append(tmp_path_factory.mktemp("process"))
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(made[-1])]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
    return made


CONVERT = """
import sys
import keras
from edgecnn.models.build import build_model
from edgecnn_exporters.graph.convert import convert
model = build_model("resnet34", image_size=(32, 32), num_classes=3, width=0.1, seed=1)
converted = convert(model, input_names=["image"], output_names=["logits"], batch=1, opset=17)
for node in converted.model.graph.node:
    print(node.op_type, node.name, *node.input, *node.output)
"""


@pytest.mark.slow
def test_convert_gives_the_same_graph_in_whatever_order_sets_are_gone_through():
    graphs = [
        subprocess.run(
            [sys.executable, "-c", CONVERT],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")  # of which tf2onnx by itself makes two graphs
    ]
    assert graphs[0] == graphs[1]
    assert graphs[0].count("Conv ") > 30


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_export_gives_the_same_file_in_two_processes(folders, precision):
    one, other = (hashlib.sha256((folder / f"{precision}.onnx").read_bytes()).hexdigest() for folder in folders)
    assert one == other
