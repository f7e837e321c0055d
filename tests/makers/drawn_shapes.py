"""Some of the drawn shapes as a data set of YOLO's on the disk."""

from PIL import Image

from edgecnn.data.scenes import KINDS, boxes_of, render
from edgecnn.data.shapes import scene_of


def write_yolo(folder, counts, most, *, val=None):
    """Writes images and labels.

    Args:
        folder: is made.
        counts: images by the name of the part.
        most: shapes an image.
        val: the part that is the val part too; None for no val part.
    """
    for part, count in counts.items():
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True)
        for index in range(count):
            scene = scene_of(part, index, most)
            pixels = render(scene)
            Image.fromarray(pixels).save(folder / "images" / part / f"{index:03}.png")
            height, width = pixels.shape[:2]
            lines = [
                f"{KINDS.index(shape.kind)} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
                f"{(x2 - x1) / width} {(y2 - y1) / height}\n"
                for shape, (x1, y1, x2, y2) in zip(scene.shapes, boxes_of(scene).tolist(), strict=True)
            ]
            (folder / "labels" / part / f"{index:03}.txt").write_text("".join(lines))
    places = {part: part for part in counts} | ({} if val is None else {"val": val})
    parts = "".join(f"{part}: images/{place}\n" for part, place in places.items())
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(KINDS))
    (folder / "data.yaml").write_text(f"{parts}names:\n{names}")
