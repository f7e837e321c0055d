"""Whether a manifest and a graph agree; a contradiction is an error, never a guess."""

from collections.abc import Sequence

from edgecnn_runtime.errors import ManifestError, ModelFileError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.session import Session, TensorInfo

_MAX_INPUT_BYTES = 1 << 30  # of one batch of pixels


def check_agreement(manifest: Manifest, session: Session) -> None:
    """Checks names, dtypes and shapes of all inputs and outputs against the graph's.

    Raises:
        ManifestError: they differ; both values are in the message.
        ModelFileError: the graph's fixed batch is of no image, or of more than 1 GiB.
    """
    image = manifest.image_input
    check_batch(session.batch, (image.height or 1) * (image.width or 1) * image.channels)
    _check("input names", [spec.name for spec in manifest.inputs], [info.name for info in session.inputs])
    _check("output names", [spec.name for spec in manifest.outputs], [info.name for info in session.outputs])
    for spec, info in zip(manifest.inputs, session.inputs, strict=True):
        _check_tensor(f"input {spec.name!r}", spec.dtype, spec.shape, info)
        _check(f"input {spec.name!r} batch", _batch(session.inputs[0]), _batch(info))
    settings = {name: len(values) for name, values in manifest.decoder.settings().items()}
    _check("names of inputs with a default", sorted(settings), sorted(info.name for info in session.settings))
    for info in session.settings:
        _check(f"input {info.name!r} dtype", "float32", str(info.dtype))
        _check(f"input {info.name!r} shape", (settings[info.name],), info.shape)
    for output, info in zip(manifest.outputs, session.outputs, strict=True):
        _check_tensor(f"output {output.name!r}", "float32", output.shape, info)
        _check(f"output {output.name!r} batch", _batch(session.inputs[0]), _batch(info))


def check_batch(batch: int | None, image_bytes: int) -> None:
    """Refuses a graph's fixed batch that holds nothing, or more than is ever meant.

    Args:
        batch: of the graph; None where it is free.
        image_bytes: of one image of it, at least.

    Raises:
        ModelFileError: it is of no image, or of more than 1 GiB.
    """
    most = max(1, _MAX_INPUT_BYTES // image_bytes)
    if batch is not None and not 1 <= batch <= most:
        raise ModelFileError(f"the graph's batch: expected 1 to {most} images, received {batch}")


def _check_tensor(where: str, dtype: str, sizes: Sequence[int | None], info: TensorInfo) -> None:
    """Checks one tensor; `sizes` are without the batch axis, None where a size is free."""
    _check(f"{where} dtype", dtype, str(info.dtype))
    received = tuple(size if isinstance(size, int) else None for size in info.shape[1:])
    _check(f"{where} shape after the batch axis", tuple(sizes), received)


def _batch(info: TensorInfo) -> int | None:
    return info.shape[0] if info.shape and isinstance(info.shape[0], int) else None


def _check(what: str, expected: object, received: object) -> None:
    if expected != received:
        raise ManifestError(
            f"manifest and graph disagree on {what}: expected {expected} (manifest), received {received} (graph). "
            "Export the model again."
        )
