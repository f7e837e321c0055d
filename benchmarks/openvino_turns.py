"""What `openvino_provider.py` runs in the wheel's own environment: two providers, two files, all in turn.

    python openvino_turns.py FOLDER IMAGES.npy RUNS PLAYED.json

Needs numpy and that wheel's onnxruntime, nothing else.
"""

import json
import sys
from collections import Counter
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from turns import interleave

FILES = ("edgecnn fp32", "edgecnn int8")
CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
THREADS = (1, 2)
WARMUP = 5
_ERROR = 3  # of ONNX Runtime's severities


def main(folder: Path, images: Path, runs: int, path: Path) -> None:
    """Plays everything, and writes what was played and the versions that played it."""
    pixels = np.load(images)
    played = [row for threads in THREADS for row in play(folder, pixels, threads, runs)]
    versions = {name: version(name) for name in ("onnxruntime-openvino", "numpy")}
    path.write_text(json.dumps({"versions": versions, "played": played}))


def play(folder: Path, images: npt.NDArray[np.uint8], threads: int, runs: int) -> list[dict[str, Any]]:
    """Returns a row for each file and provider.

    Args:
        folder: of the files.
        images: (N, H, W, C); the first one is answered again and again, then each of them once.
        threads: of either provider.
        runs: rounds.

    Returns:
        Each with its milliseconds, its logits of every image, (N, classes), and the number of nodes of each provider.
    """
    keys = [(file, provider) for file in FILES for provider in (CPU, OPENVINO)]
    sessions = {key: open_session((folder / f"{key[0]}.onnx").read_bytes(), key[1], threads) for key in keys}
    calls = {" ".join(key): partial(session.run, None, {"image": images[:1]}) for key, session in sessions.items()}
    interleave(WARMUP, **calls)
    samples = interleave(runs, **calls)
    return [
        {
            "threads": threads,
            "file": file,
            "provider": provider,
            "milliseconds": samples[f"{file} {provider}"],
            "logits": [session.run(None, {"image": image[np.newaxis]})[0][0].tolist() for image in images],
            "nodes": count_nodes(session),
        }
        for (file, provider), session in sessions.items()
    ]


def open_session(payload: bytes, provider: str, threads: int) -> Any:
    """Returns a session as edgecnn_runtime opens it, on one provider; what that one refuses falls to the CPU's.

    OpenVINO is held to float32 and to so many threads: it takes every CPU unless told, and bfloat16 under other hints.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    hints = {"INFERENCE_NUM_THREADS": str(threads), "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    settings = {OPENVINO: {"device_type": "CPU", "load_config": json.dumps({"CPU": hints})}}
    return onnxruntime.InferenceSession(payload, options, providers=[(provider, settings.get(provider, {}))])


def count_nodes(session: Any) -> dict[str, int]:
    """Returns how many of the graph's nodes each provider took."""
    nodes: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        nodes[part.ep_name] += len(part.get_nodes())
    return dict(nodes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
