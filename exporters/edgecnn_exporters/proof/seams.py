"""What it changes that a picture goes through the network in tiles: against the source that takes it whole."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from edgecnn_exporters.proof.source import Source
from edgecnn_exporters.proof.synthetic import large_pictures
from edgecnn_runtime.decoders import Tiling
from edgecnn_runtime.evidence import SeamParity
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Model
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.table import get_task

_PICTURES = 4
_LARGEST_SIDE = 1024  # pixels: the network holds some hundred numbers for each pixel of a whole picture

_Pixels = npt.NDArray[np.uint8]


def compare_seams(
    whole: Source, tiled: Model, manifest: Manifest, batches: Iterable[Batch] | None
) -> SeamParity | None:
    """Returns how far answers in tiles are from answers to whole pictures.

    Args:
        whole: the source for pictures of any size.
        tiled: the source behind the runtime's tiles, so that nothing but them is between the two.
        manifest: its decoder says how pictures are cut.
        batches: pictures as `Inputs` makes them; those that are larger than a tile are taken, cut to 1,024 pixels in
            height and width. Where there are none, or None, seeded pictures are taken.

    Returns:
        None where a tile is as large as the largest picture that is compared.
    """
    tiling, task, name = manifest.decoder.cut_into(), get_task(manifest.task), manifest.image_input.name
    assert tiling is not None, "asked of files with tiles alone"
    apart, size = list[float](), (0, 0)
    for pixels in _pictures(tiling, manifest, batches):
        placement = [Placement(pixels.shape[1:3], (1.0, 1.0), (0.0, 0.0))]
        (expected,) = whole.results(whole.run({name: pixels}), placement)
        (received,) = task.decode(manifest, tiled.run({name: pixels}), placement)
        apart.append(task.agreement(expected, received).differences["pixels"])
        size = max(size, placement[0].image_size, key=np.prod)
    return SeamParity(len(apart), *size, max(apart)) if apart else None


def _pictures(tiling: Tiling, manifest: Manifest, batches: Iterable[Batch] | None) -> Iterator[_Pixels]:
    """Yields pictures, (1, H, W, channels), with sides that the network takes whole."""
    if tiling.size >= _LARGEST_SIDE:
        return
    given = () if batches is None else (batch.feeds[manifest.image_input.name] for batch in batches)
    large = (fit for rows in given for row in rows if (fit := _cropped(row, tiling)) is not None)
    taken = list(islice(large, _PICTURES))
    side = min(_LARGEST_SIDE, 2 * tiling.size)
    drawn = large_pictures(_PICTURES, side, manifest.image_input.channels)
    yield from taken or (fit for picture in drawn if (fit := _cropped(picture, tiling)) is not None)


def _cropped(picture: _Pixels, tiling: Tiling) -> _Pixels | None:
    """Returns the upper left part of a picture, its sides multiples of the overlap's; None where that is one tile."""
    step = np.gcd(tiling.size, tiling.overlap)
    height, width = (min(side, _LARGEST_SIDE) // step * step for side in picture.shape[:2])
    if max(height, width) <= tiling.size or min(height, width) == 0:
        return None
    return picture[np.newaxis, :height, :width]
