"""A row of the benchmarks of boxes: trained, exported in both precisions, and all three evaluated."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy import Row, edgecnn, epochs, train
from record import write_result

More = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


def run_row(
    row: Row,
    rows: Mapping[str, Row],
    data: Path,
    runs: Path,
    *,
    kind: str,
    scores: Sequence[str],
    max_drop: float,
    more: More,
) -> dict[str, Any]:
    """Trains, exports both files, evaluates all three, and writes the row's result, which it returns.

    Args:
        row: the training.
        rows: all of the benchmark by name, whose order the table has.
        data: folder of the data sets.
        runs: folder for run folders and files.
        kind: of the benchmark: its script's name, and the folder of its results.
        scores: what of an evaluation is kept, by the keys of its JSON.
        max_drop: what int8 may lose.
        more: what else is kept, of what `inspect` says of the float32 file and of the int8 file.
    """
    command, seconds = train(row, data, runs)
    run, float32, int8 = runs / row.name, runs / f"{row.name}.onnx", runs / f"{row.name}.int8.onnx"
    given = ("--data", row.location(data), *(("--skip-bad",) if "--skip-bad" in row.options else ()))
    edgecnn("export", run, *given, "-o", float32)
    edgecnn("export", run, *given, "-o", int8, "--quantize", "int8", "--max-drop", str(max_drop))
    evaluated = [json.loads(edgecnn("evaluate", one, *given, "--format", "json")) for one in (run, float32, int8)]
    inspected = [json.loads(edgecnn("inspect", file, "--format", "json")) for file in (float32, int8)]
    parity, quantization = (inspected[place]["evidence"][key] for place, key in ((0, "parity"), (1, "quantization")))
    kept = [{name: one[name] for name in scores} for one in evaluated]
    result = {
        "row": row.name,
        "order": list(rows).index(row.name),
        "model": row.model,
        "data": row.data,
        "how": row.how,
        "train": command,
        "epochs": epochs(run),
        **dict(zip(("keras", "file", "int8"), kept, strict=True)),
        "float_layers": len(quantization["float_layers"]),
        "max_relative": max(tensor["max_relative"] for tensor in parity["tensors"]),
        **more(*inspected),
        "wanted": row.wanted,
        "seconds": seconds,
    }
    write_result(f"{kind}/{row.name}", [result], command=f"uv run python benchmarks/{kind}.py --only {row.name}")
    return result
