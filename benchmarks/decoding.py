"""What do decoding and non-max suppression cost on the device? edgecnn's runtime beside supervision's suppression.

Both get the same raw outputs of a `yolov3` at 416x416 with 80 classes, 10,647 cells and anchors, in turn in one
process, with a score threshold of .25 and an IoU of .6: of a picture without an object, and of one with 100 objects,
each of which three neighbouring cells answer for too. Beside supervision stands what most scripts do: every cell is
decoded in NumPy, and what passes the threshold is suppressed. Quality: both must keep the same boxes.

    uv run python benchmarks/decoding.py
"""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import supervision
from record import write_result
from rich.console import Console
from tables import decoding_table
from turns import interleave, summary

from edgecnn.models import build_manifest, get_spec
from edgecnn_runtime.decoders import YoloDecoder
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.detection import DETECTION, Detections
from edgecnn_runtime.tasks.scores import sigmoid

OBJECTS, NEIGHBOURS, RUNS = 100, 3, 1000
WHOLE = Placement((416, 416), (1.0, 1.0), (0.0, 0.0))
Outputs = dict[str, npt.NDArray[np.float32]]


def raw_outputs(manifest: Manifest, objects: int) -> Outputs:
    """Returns seeded raw outputs in which so many objects are found, one a cell and its neighbours to the right."""
    random = np.random.default_rng(0)
    outputs = {spec.name: random.normal(-8, 1, (1, *spec.shape)).astype(np.float32) for spec in manifest.outputs}
    grid = outputs["scale_8"][0]
    grid[..., :4] = 0
    rows, columns = np.unravel_index(random.permutation(25 * 12)[:objects] * 2, (50, 12))
    for row, column in zip(rows.tolist(), (columns * 4).tolist(), strict=True):
        class_id = random.integers(80)
        for step in range(1 + NEIGHBOURS):
            anchor, cell = (step, column) if step < 3 else (0, column + 1)
            grid[row, cell, anchor, 2:4] = np.log(np.array([22, 22]) / manifest.decoder.scales[0].anchors[anchor])
            grid[row, cell, anchor, 0] = -9 if step == 3 else 2
            grid[row, cell, anchor, 4] = 4 - step / 2
            grid[row, cell, anchor, 5 + class_id] = 4
    return outputs


def every_cell(manifest: Manifest, outputs: Outputs) -> supervision.Detections:
    """Returns what supervision keeps of the boxes of all cells, as scripts decode them."""
    decoder: YoloDecoder = manifest.decoder
    boxes, scores = [], []
    for scale in decoder.scales:
        grid = outputs[scale.output][0]
        rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]]
        corners = np.stack([columns, rows], axis=-1)[:, :, np.newaxis]
        centres = (sigmoid(grid[..., :2]) + corners) * scale.stride
        sizes = np.exp(grid[..., 2:4]) * np.array(scale.anchors)
        boxes.append(np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=-1).reshape(-1, 4))
        scores.append((sigmoid(grid[..., 4:5]) * sigmoid(grid[..., 5:])).reshape(-1, grid.shape[-1] - 5))
    cells, class_ids = np.nonzero(np.concatenate(scores) >= decoder.score_threshold)
    found = supervision.Detections(
        xyxy=np.concatenate(boxes)[cells], confidence=np.concatenate(scores)[cells, class_ids], class_id=class_ids
    )
    return found.with_nms(threshold=decoder.iou_threshold)


def main() -> int:
    """Measures both pictures and prints the table; returns 1 where the two keep different boxes."""
    manifest, rows = build_manifest(get_spec("yolov3"), None), []
    for what, objects in (("no object", 0), (f"{OBJECTS} objects", OBJECTS)):
        outputs = raw_outputs(manifest, objects)
        samples = interleave(
            RUNS,
            edgecnn=lambda outputs=outputs: DETECTION.decode(manifest, outputs, [WHOLE]),
            supervision=lambda outputs=outputs: every_cell(manifest, outputs),
        )
        (ours,), theirs = DETECTION.decode(manifest, outputs, [WHOLE]), every_cell(manifest, outputs)
        rows.append(_row(what, samples, ours, theirs))
    write_result("decoding", rows, command="uv run python benchmarks/decoding.py")
    Console().print(decoding_table(rows), soft_wrap=True)
    return int(not all(row["same_boxes"] for row in rows))


def _row(what: str, samples: Any, ours: Detections, theirs: supervision.Detections) -> dict[str, Any]:
    ratios = [slow / fast for slow, fast in zip(samples["supervision"], samples["edgecnn"], strict=True)]
    order = np.lexsort(theirs.xyxy.T), np.lexsort(ours.boxes.T)
    same = len(ours) == len(theirs) and np.allclose(theirs.xyxy[order[0]].clip(0, 416), ours.boxes[order[1]], atol=1e-2)
    return {
        "picture": what,
        "boxes": len(ours),
        **{name: summary(values) for name, values in samples.items()},
        "ratio": summary(ratios),
        "same_boxes": bool(same),
    }


if __name__ == "__main__":
    sys.exit(main())
