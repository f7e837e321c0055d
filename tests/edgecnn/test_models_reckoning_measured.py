"""The reckoned activation memory against two measurements that know nothing of how it is reckoned."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from edgecnn.models import build_model
from edgecnn.models.reckoning import reckon

# What one call of the whole graph adds to the process's peak, as Linux counts it.
GRAPH_SCRIPT = """
import json, pathlib, sys
import keras, tensorflow as tf
from edgecnn.models import build_model

name, size, width, batch = json.loads(sys.argv[1])
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # layers as they are, none fused
model = build_model(name, image_size=(size, size), width=width)
shape = model.inputs[0].shape[1:]
# The pixels are made inside, so that nobody outside keeps them alive.
run = tf.function(lambda count: model(tf.zeros([count, *shape], "uint8"), training=False))

def kilobytes(key):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))

def growth(count):
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = kilobytes("VmRSS:")
    run(tf.constant(count))
    return 1024 * (kilobytes("VmHWM:") - before)

growth(1)
print(growth(batch) - growth(1))
"""
# No blocked copies of the maps inside the convolutions, and every large buffer back to the system when it is freed.
ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "131072", "CUDA_VISIBLE_DEVICES": "-1"}


def layers_read(tree: object) -> Iterator[str]:
    """Yields the names of the layers whose tensors stand in a part of a model's configuration."""
    if isinstance(tree, dict) and tree.get("class_name") == "__keras_tensor__":
        yield tree["config"]["keras_history"][0]
    elif isinstance(tree, dict | list | tuple):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from layers_read(part)


def most_live_bytes(model: keras.Model, pixels: np.ndarray) -> int:
    """Runs layer by layer, drops each tensor after its last reader, and returns the most bytes of buffers at once.

    Tensors that share one buffer, as a view does, count once.
    """
    nodes = {layer["name"]: list(layers_read(layer["inbound_nodes"])) for layer in model.get_config()["layers"]}
    readers = Counter(name for read in nodes.values() for name in read)
    tensors, peak = {}, 0
    for name, read in nodes.items():
        inputs = [tensors[source] for source in read]
        layer = model.get_layer(name)
        call = inputs[0] if len(inputs) == 1 else inputs
        tensors[name] = layer(call, training=False) if inputs else keras.ops.convert_to_tensor(pixels)
        arrays = [np.from_dlpack(tensor) for tensor in tensors.values()]
        peak = max(peak, sum({array.ctypes.data: array.nbytes for array in arrays}.values()))
        readers.subtract(read)
        for source in {source for source in read if not readers[source]}:
            del tensors[source]
    return peak


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [
        ("fashion_cnn", 28, 1.0),
        ("resnet34", 64, 0.25),
        ("googlenet", 64, 0.25),
        ("unet", 64, 0.125),
        ("fcn8s", 64, 0.1),
    ],
)
def test_reckon_gives_the_buffers_that_live_when_layers_run_one_by_one(name: str, size: int, width: float) -> None:
    model = build_model(name, image_size=(size, size), width=width)
    pixels = np.zeros((8, *model.inputs[0].shape[1:]), np.uint8)
    assert most_live_bytes(model, pixels) == 8 * reckon(model).inference_bytes


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its peak anew")
@pytest.mark.parametrize(
    ("name", "size", "width", "batch"), [("fashion_cnn", 28, 1.0, 512), ("alexnet", 227, 0.25, 64)]
)
def test_reckon_agrees_with_the_memory_that_the_whole_graph_takes(
    name: str, size: int, width: float, batch: int
) -> None:
    """TensorFlow frees by its own count here: 0.4 % less than reckoned for fashion_cnn, 1.6 % less for alexnet.

    Models with batch normalisation take up to 25 % less, since TensorFlow normalises in place.
    """
    command = [sys.executable, "-c", GRAPH_SCRIPT, json.dumps([name, size, width, batch])]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True)
    reckoned = batch * reckon(build_model(name, image_size=(size, size), width=width)).inference_bytes
    assert int(done.stdout.split()[-1]) == pytest.approx(reckoned, rel=0.05)
