"""`edgecnn anchors`: sizes of boxes that a detector would begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgecnn.cli.options import DATA_HELP, Format, ImageSize, SkipBad
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tables import Table

if TYPE_CHECKING:
    from edgecnn.tasks.detection.anchors import FittedAnchors

_IMAGE_SIZE = (416, 416)  # of YOLOv3


def anchors(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)],
    count: Annotated[int, typer.Option(min=1, metavar="N", help="How many: 9 of yolov3, 6 of yolov3_tiny.")] = 9,
    image_size: ImageSize = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the places where the search begins.")] = 0,
    skip_bad: SkipBad = False,
    format: Format = "text",
) -> None:
    """Find anchors that fit the boxes of the train part, in pixels of the input [default: 416,416], letterboxed."""
    with stdout_for_results() as results:
        from edgecnn.data.load import load_dataset  # these load numpy and Pillow
        from edgecnn.tasks.detection.anchors import box_sizes, fit_anchors
        from edgecnn_runtime.manifest import ImageInput

        height, width = image_size or _IMAGE_SIZE
        image_input = ImageInput(name="image", height=height, width=width, color="rgb", resize="letterbox")
        train = load_dataset(data, skip_bad=skip_bad).train
        fitted = fit_anchors(box_sizes(train, image_input), count, seed=seed)
        if format == "json":
            results.json({"image_size": [height, width], **fitted.to_dict()})
        else:
            results.report(_lines(fitted, f"{data}: {fitted.boxes:,} boxes of the train part, {height} x {width}"))


def _lines(fitted: FittedAnchors, what: str) -> list[str | Table]:
    return [
        f"{what}, mean best IoU {fitted.mean_best_iou:.4f}",
        "",
        Table(["anchor", "width", "height"], [[str(i), *map(str, size)] for i, size in enumerate(fitted.anchors)]),
        "",
        Table(
            ["size, pixels", "boxes"],
            [
                [f"{size.least} or more" if size.below is None else f"{size.least} to {size.below}", f"{size.count:,}"]
                for size in fitted.sizes
            ],
        ),
    ]
