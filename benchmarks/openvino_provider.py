"""What does the same file gain from ONNX Runtime's OpenVINO provider, beside the CPU provider of the same wheel?

edgecnn's float32 and int8 files, made as `peers.py` makes them (with the same --work they are made once), on both
providers in turn in one process at batch 1. The wheel, onnxruntime-openvino, is older than the project's security floor
and cannot stand beside onnxruntime: it gets an environment of its own, and edgecnn does not depend on it. It brings
OpenVINO's libraries along, for Linux and Windows on x86-64. Both providers get the same threads, and OpenVINO keeps
float32 where the CPU could do bfloat16.

The 1.00 of every ratio is that wheel's CPU provider on the float32 file. Quality is what OpenVINO answers beside the
CPU provider on the same file. Fails where OpenVINO took no node, or where its best class differs too often.

    uv run python benchmarks/openvino_provider.py [--only MODEL] [--runs N] [--work FOLDER]
"""

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from environment import InstallError, build_environment
from peer_ways import Case, export_case
from peers import MODELS, read_arguments
from record import write_result
from tables import openvino_table
from turns import summary

from edgecnn.models import get_spec

WHEEL = "onnxruntime-openvino==1.24.1"
COMMAND = "uv run python benchmarks/openvino_provider.py"
CPU = "CPUExecutionProvider"
MIN_AGREEMENT = 0.97


def main() -> int:
    """Measures and prints the table; returns 1 where OpenVINO was not used or answers otherwise."""
    arguments = read_arguments(__doc__)
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgecnn-openvino-") as temporary:
        try:
            python = build_environment(Path(temporary) / "environment", WHEEL)
        except InstallError as error:
            print(f"skipped: {WHEEL} cannot be installed here ({_here()}): {error}")
            return 0
        for name in arguments.only or (name for name in MODELS if get_spec(name).task == "classification"):
            model = MODELS[name]
            folder = (arguments.work or Path(temporary)) / name
            case = export_case(model.name, arguments.data / model.data, model.train, folder, images=arguments.images)
            result = play(python, case, arguments.runs)
            measured = rows_of(case, result["played"])
            command = f"{COMMAND} --only {name} --runs {arguments.runs}"
            write_result(f"openvino_provider/{name}", measured, command=command, versions=result["versions"])
            rows += measured
    print(openvino_table(rows))
    for problem in (found := problems(rows)):
        print(problem, file=sys.stderr)
    return int(bool(found))


def play(python: Path, case: Case, runs: int) -> dict[str, Any]:
    """Returns what `openvino_turns.py` wrote: versions, and what was played."""
    script = Path(__file__).with_name("openvino_turns.py")
    with tempfile.TemporaryDirectory() as temporary:
        images, path = Path(temporary) / "images.npy", Path(temporary) / "played.json"
        np.save(images, case.images)
        subprocess.run([python, script, case.folder, images, str(runs), path], check=True, stdout=sys.stderr)
        result: dict[str, Any] = json.loads(path.read_text())
    return result


def rows_of(case: Case, played: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a row for each number of threads, file and provider: ratio, latency, quality and where the nodes ran."""
    by_key = {(one["threads"], one["file"], one["provider"]): one for one in played}
    first = played[0]["file"]
    rows = []
    for (threads, file, provider), one in by_key.items():
        times, base = np.array(one["milliseconds"]), np.array(by_key[threads, first, CPU]["milliseconds"])
        logits, reference = np.array(one["logits"]), np.array(by_key[threads, file, CPU]["logits"])
        classes = logits.argmax(axis=1)
        rows.append(
            {
                "model": case.name,
                "threads": threads,
                "file": file,
                "provider": provider,
                "latency_ms": summary(times.tolist()),
                "ratio": summary((base / times).tolist()),
                "agreement": float(np.mean(classes == reference.argmax(axis=1))),
                "max_relative": float(np.abs(logits - reference).max() / np.abs(reference).max()),
                "accuracy": float(np.mean(classes == case.truths)) if case.trained else None,
                "images": len(logits),
                "nodes": one["nodes"],
            }
        )
    return rows


def problems(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line for each row whose provider was not used, or whose best class is too often another one."""
    lines = []
    for row in rows:
        what = f"{row['model']}, {row['file']}, {row['provider']}, {row['threads']} threads"
        if not row["nodes"].get(row["provider"]):
            lines.append(f"{what}: expected nodes on it, received {row['nodes']}")
        if row["agreement"] < MIN_AGREEMENT:
            lines.append(
                f"{what}: expected the CPU provider's best class on {MIN_AGREEMENT:.0%} of the images, received "
                f"{row['agreement']:.1%}"
            )
    return lines


def _here() -> str:
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
