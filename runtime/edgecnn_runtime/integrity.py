"""What a file says about itself, believed only once its hashes are right."""

from edgecnn_runtime.container import METADATA_SHA256_KEY, ModelFile, metadata_sha256
from edgecnn_runtime.errors import ManifestError, ModelFileError
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST_KEY
from edgecnn_runtime.manifest import Manifest


def read_manifest(file: ModelFile) -> Manifest:
    """Returns the manifest that travels with the file.

    Raises:
        ManifestError: there is none, or it is damaged or of another schema version.
    """
    text = file.metadata.get(MANIFEST_KEY)
    if text is None:
        raise ManifestError(
            f"{file.name}: expected the metadata entry {MANIFEST_KEY!r}, received {sorted(file.metadata)}. The file "
            "was not exported by edgecnn, or it is truncated: export it again."
        )
    try:
        return Manifest.from_json(text)
    except ManifestError as error:
        raise ManifestError(f"{file.name}: {error}") from error


def read_evidence(file: ModelFile, *, allow_modified: bool = False) -> Evidence | None:
    """Returns the evidence, once the metadata's and the payload's hashes are right.

    Args:
        file: the file.
        allow_modified: whether a file that was altered after it was stamped is let through, without its evidence.

    Returns:
        None where there is no evidence, or where the file was altered and that is allowed.

    Raises:
        ModelFileError: the file was altered or damaged after it was stamped.
        ManifestError: the evidence is of another schema version.
    """
    text, digest = file.metadata.get(EVIDENCE_KEY), file.metadata.get(METADATA_SHA256_KEY)
    if text is None and digest is None:
        return None
    if digest != metadata_sha256(file.metadata):
        if allow_modified:
            return None
        raise _altered(file, "metadata", digest, metadata_sha256(file.metadata))
    evidence = None if text is None else Evidence.from_json(text)
    if evidence is None or evidence.payload_sha256 == file.sha256:
        return evidence
    if allow_modified:
        return None
    raise _altered(file, "graph", evidence.payload_sha256, file.sha256)


def read_claims(file: ModelFile) -> Evidence | None:
    """Returns what the file says was proven, whether or not it was altered since.

    In an altered file nothing of it holds; its golden samples still say what the file that was proven answers.

    Returns:
        None where there is no evidence, or none that can be read.
    """
    text = file.metadata.get(EVIDENCE_KEY)
    try:
        return None if text is None else Evidence.from_json(text)
    except ManifestError:
        return None


def _altered(file: ModelFile, part: str, expected: str | None, received: str) -> ModelFileError:
    return ModelFileError(
        f"{file.name}: the {part} was damaged or altered after the export: expected SHA-256 {expected}, received "
        f"{received}. Get the file again, or use --allow-modified (allow_modified=True) to run it without evidence."
    )
