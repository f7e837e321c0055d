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
quantization = None
if sys.argv[3] == "int8":
    from edgecnn_exporters import QuantizationConfig
    quantization = QuantizationConfig("int8", images=[draw(40, seed=9)], max_drop=1.0, min_speedup=0.0)
options = {"evaluation": batches, "evaluation_fingerprint": "f", "seed": 5, "quantization": quantization}
export_to(model, sys.argv[2], **options)
"""


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_export_gives_the_same_file_in_two_processes(tmp_path, precision):
    digests = set()
    for hash_seed in ("1", "2"):
        path = tmp_path / hash_seed / "model.onnx"
        path.parent.mkdir()
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(path), precision]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
