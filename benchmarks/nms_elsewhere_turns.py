"""What `nms_elsewhere.py` runs in an environment of its own: plain ONNX Runtime and OpenVINO, no edgecnn.

python nms_elsewhere_turns.py FOLDER
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino

_ERROR = 3  # of ONNX Runtime's severities


def main(folder: Path) -> None:
    """Answers all pictures with all files by either, and writes plain.json."""
    asked, images = json.loads((folder / "asked.json").read_text()), np.load(folder / "pictures.npy")
    answers = []
    for file in asked["files"]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERROR
        path = folder / f"{file}.onnx"
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        single = session.get_inputs()[0].shape[0] == 1
        for pictures, places in asked["pictures"].items():
            if single and len(places) > 1:
                continue
            feeds = {"image": images[places]}
            plain = dict(zip(("detections", "valid"), session.run(["detections", "valid"], feeds), strict=True))
            other = compiled(feeds)
            for tool, found in (("ONNX Runtime", plain), ("OpenVINO", {name: other[name] for name in plain})):
                answers.append({"tool": tool, "file": file, "pictures": pictures, **_listed(found)})
    versions = {name: version(name) for name in ("onnxruntime", "openvino", "numpy")}
    (folder / "plain.json").write_text(json.dumps({"versions": versions, "answers": answers}))


def _listed(found: dict[str, Any]) -> dict[str, list[float]]:
    return {name: np.asarray(values).reshape(-1).tolist() for name, values in found.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
