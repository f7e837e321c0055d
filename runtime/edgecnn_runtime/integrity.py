"""What a file says about itself, believed only once its hashes are right."""

import logging

from edgecnn_runtime.container import METADATA_SHA256_KEY, ModelFile, holds_operator, holds_weights
from edgecnn_runtime.errors import ManifestError, ModelFileError
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST_KEY
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.providers import say_once

_FLOAT16 = 10  # of TensorProto.DataType


def read_manifest(file: ModelFile) -> Manifest:
    """Returns the manifest that travels with the file.

    Raises:
        ManifestError: there is none, or it is damaged or of another schema version.
    """
    try:
        return Manifest.from_json(_manifest_text(file))
    except ManifestError as error:
        raise ManifestError(f"{file.name}: {error}") from error


def read_evidence(file: ModelFile, *, allow_modified: bool = False) -> Evidence | None:
    """Returns the evidence, once the metadata's and the payload's hashes are right; the payload must be open.

    Args:
        file: the file.
        allow_modified: whether a file that is unproven, or was altered after it was stamped, is let through without
            its evidence; the log says so once.

    Returns:
        None where nothing is proven of the file, and that is allowed.

    Raises:
        ModelFileError: the file holds no evidence or no hash of its metadata, or was altered or damaged after it was
            stamped, or its evidence says what the graph belies.
        ManifestError: the evidence is damaged or of another schema version, or the file is not from edgecnn.
    """
    _manifest_text(file)  # a file of another program lacks more than evidence
    try:
        return _read_proven(file)
    except (ModelFileError, ManifestError) as error:
        if allow_modified:
            say_once(logging.WARNING, f"{error}. It is taken all the same, without evidence, as was allowed.")
            return None
        cure = "Get the file again, or use --allow-modified (allow_modified=True) to run it without evidence."
        raise type(error)(f"{error}. {cure}") from error


def read_claims(file: ModelFile) -> Evidence | None:
    """Returns what the file says was proven, whether or not it was altered since; the payload must be open.

    In an altered file nothing of it holds; its golden samples still say what the file that was proven answers.

    Returns:
        None where there is no evidence, or none that can be read, or the graph is of another precision.
    """
    try:
        return _read_claims(file)
    except (ModelFileError, ManifestError):
        return None


def _manifest_text(file: ModelFile) -> str:
    text = file.metadata.get(MANIFEST_KEY)
    if text is None:
        elsewhere = " 'edgecnn run --raw', 'edgecnn bench' and 'edgecnn inspect' take it as plain ONNX."
        raise ManifestError(
            f"{file.name}: expected the metadata entry {MANIFEST_KEY!r}, received {sorted(file.metadata)}. The file "
            f"was not exported by edgecnn, or it is truncated: export it again.{elsewhere if file.is_plain else ''}"
        )
    return text


def _read_proven(file: ModelFile) -> Evidence:
    digest = file.metadata.get(METADATA_SHA256_KEY)
    if missing := [key for key in (EVIDENCE_KEY, METADATA_SHA256_KEY) if key not in file.metadata]:
        raise ModelFileError(
            f"{file.name}: expected the metadata entries {EVIDENCE_KEY!r} and {METADATA_SHA256_KEY!r}, received a file "
            f"without {' and '.join(map(repr, missing))}, so that nothing is proven of it"
        )
    if digest != file.metadata_sha256:
        raise _altered(file, "metadata", digest, file.metadata_sha256)
    evidence = _read_claims(file)
    if evidence.payload_sha256 != file.sha256:
        raise _altered(file, "graph", evidence.payload_sha256, file.sha256)
    return evidence


def _read_claims(file: ModelFile) -> Evidence:
    """Returns the evidence if the graph holds what its precision needs: a lower one allows golden samples more.

    A graph may hold such nodes or weights for show; what an answer may be off is small at any precision.
    """
    try:
        evidence = Evidence.from_json(file.metadata.get(EVIDENCE_KEY, ""))
    except ManifestError as error:
        raise ManifestError(f"{file.name}: {str(error).rstrip('.')}") from error
    recipe = None if evidence.quantization is None else evidence.quantization.format
    if evidence.precision == "int8":
        agrees = recipe == "QDQ" and holds_operator(file, "DequantizeLinear")
    elif evidence.precision == "float16":
        agrees = recipe == "float16" and holds_weights(file, _FLOAT16)
    else:
        agrees = recipe is None
    if not agrees:
        raise ModelFileError(
            f"{file.name}: expected a graph and a recipe of the precision that the evidence names, received "
            f"{evidence.precision} with the recipe {recipe!r}, or a graph without such numbers"
        )
    return evidence


def _altered(file: ModelFile, part: str, expected: str | None, received: str) -> ModelFileError:
    return ModelFileError(
        f"{file.name}: the {part} was damaged or altered after the export: expected SHA-256 {expected}, received "
        f"{received}"
    )
