"""`edgecnn anchors`: sizes of boxes that a detector would begin with."""

from __future__ import annotations

from typing import Annotated

import typer

from edgecnn.cli.options import DATA_HELP, Format, ImageSize, SkipBad
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tables import Table

_IMAGE_SIZE = (416, 416)  # of YOLOv3


def anchors(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)],
    count: Annotated[int, typer.Option(min=1, metavar="N", help="How many: 9 of yolov3, 6 of yolov3_tiny.")] = 9,
    image_size: ImageSize = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the places where the search begins.")] = 0,
    skip_bad: SkipBad = False,
    format: Format = "text",
) -> None:
    """Find anchors that fit the boxes of the train part, in pixels of a letterboxed input (published: 416,416)."""
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
            return
        found, histogram = (Table(header, rows) for header, rows in fitted.tables())
        results.report([f"{data}: train part at {height} x {width}, {fitted.headline()}", "", found, "", histogram])
