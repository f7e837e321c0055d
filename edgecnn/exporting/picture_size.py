"""Which pictures the file of a segmenter takes: brought to one size, of any size, or of any size in tiles."""

from dataclasses import replace

from edgecnn.errors import UsageError
from edgecnn.exporting.config import ExportConfig
from edgecnn.models.catalog import CATALOG
from edgecnn_runtime.decoders import Decoder, EveryPixel, Tiling
from edgecnn_runtime.manifest import ImageInput, Manifest
from edgecnn_runtime.map_decoders import largest_overlap

_OVERLAP = 4  # a tile has this part of its size in common with the next where nobody says


def for_pictures(config: ExportConfig, manifest: Manifest) -> Manifest:
    """Returns the manifest of the file, as `--image-size dynamic` and `--tile` ask for it; or that of the source.

    Args:
        config: what is exported, and how.
        manifest: of the source.

    Raises:
        UsageError: the source answers no picture pixel by pixel, or knows one size alone; a tile or an overlap that
            does not fit its coarsest cells.
    """
    option = "--image-size dynamic" if config.any_size else "--tile"
    if not config.any_size and config.tile is None:
        return manifest
    if not isinstance(manifest.decoder, EveryPixel):
        raise UsageError(
            f"{option}: it cannot take effect on {config.source}, whose decoder {manifest.decoder.kind!r} answers no "
            "picture pixel by pixel. Leave it out."
        )
    image, step = manifest.image_input, coarsest(manifest)
    if config.any_size:
        if step is None:
            raise UsageError(
                f"{option}: expected a segmenter of the catalogue, or a model whose input has a free height and width, "
                f"received {config.source}, which takes {image.height} x {image.width} pixels. Leave it out"
            )
        return any_size(manifest, step)
    assert config.tile is not None, "one of the two was asked for"
    if step is None and (image.height, image.width) != (config.tile, config.tile):
        raise UsageError(
            f"--tile: expected the size of the network's input, {image.height} x {image.width}, received {config.tile}"
        )
    return _in_tiles(manifest, _tiling(config.tile, config.overlap, step or 1))


def any_size(manifest: Manifest, multiple_of: int) -> Manifest:
    """Returns the manifest of the same segmenter for pictures of any size, which are padded to a multiple.

    Args:
        manifest: of a segmenter.
        multiple_of: pixels of a cell of its coarsest map.
    """
    free = replace(
        manifest.image_input,
        height=None,
        width=None,
        resize="pad",
        crop_fraction=None,
        pad_value=None,
        multiple_of=multiple_of,
    )
    return _with_input(manifest, free, manifest.decoder)


def _in_tiles(manifest: Manifest, tiling: Tiling) -> Manifest:
    image = manifest.image_input
    resize = "stretch" if image.resize == "pad" else image.resize
    tile = replace(image, height=tiling.size, width=tiling.size, resize=resize, multiple_of=None)
    assert isinstance(manifest.decoder, EveryPixel), "looked at before"
    return _with_input(manifest, tile, replace(manifest.decoder, tiles=tiling))


def _with_input(manifest: Manifest, image: ImageInput, decoder: Decoder) -> Manifest:
    """Returns the manifest with another input, of whose size its maps are."""
    outputs = tuple(replace(output, shape=(image.height, image.width, output.shape[-1])) for output in manifest.outputs)
    return replace(manifest, inputs=(image,), decoder=decoder, outputs=outputs)


def _tiling(size: int, overlap: int | None, step: int) -> Tiling:
    """Returns the tiles, whose places are multiples of the coarsest cell: each sees the grid of the whole picture."""
    for option, number in (("--tile", size), ("--overlap", overlap)):
        if number is not None and number % step:
            raise UsageError(
                f"{option}: expected a multiple of {step}, the pixels of its coarsest cell, received {number}"
            )
    most = largest_overlap(size, step)
    if most < step:
        raise UsageError(f"--tile: expected {2 * step} pixels or more, received {size}")
    if overlap is None:
        overlap = max(step, size // _OVERLAP // step * step)
    if not step <= overlap <= most:
        raise UsageError(f"--overlap: expected {step} to {most} for tiles of {size}, received {overlap}")
    tiling = Tiling(size, overlap)
    if misfit := tiling.misfit((None, None), None):
        raise UsageError(f"--tile: {misfit}")
    return tiling


def coarsest(manifest: Manifest) -> int | None:
    """Returns the pixels of a cell of the coarsest map; None of a model that is not known to take another size."""
    image = manifest.image_input
    if image.height is None and image.width is None:
        return image.multiple_of
    row = CATALOG.get(manifest.model.name)
    return None if row is None or row.task != manifest.task else row.multiple_of
