"""A file that is not proven yet: written, read back as a device reads it, stamped when it is proven."""

from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.graph.publish import Graph, finish, write_graph
from edgecnn_exporters.graph.writer import Converted
from edgecnn_exporters.stamp import trailer
from edgecnn_runtime.container import METADATA_SHA256_KEY, read_model_file
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.integrity import read_evidence, read_manifest
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.session import Session


@dataclass(frozen=True, slots=True)
class Candidate:
    """A graph with its manifest, on the disk.

    Attributes:
        path: of the file.
        graph: what was written.
        manifest: what is stamped.
        batch: the fixed batch size, or None for a dynamic one.
    """

    path: Path
    graph: Graph
    manifest: Manifest
    batch: int | None

    @classmethod
    def convert(cls, converted: Converted, path: Path, manifest: Manifest, batch: int | None) -> "Candidate":
        """Folds, names and writes what was converted."""
        names = _names(manifest)
        graph = finish(converted, path, input_names=names[0], output_names=names[1], batch=batch)
        return cls._stamped(path, graph, manifest, batch)

    @classmethod
    def write(cls, model: ModelProto, path: Path, manifest: Manifest, batch: int | None) -> "Candidate":
        """Names and writes a graph whose nodes carry their layers; the model is changed."""
        names = _names(manifest)
        graph = write_graph(model, path, input_names=names[0], output_names=names[1], batch=batch)
        return cls._stamped(path, graph, manifest, batch)

    @classmethod
    def _stamped(cls, path: Path, graph: Graph, manifest: Manifest, batch: int | None) -> "Candidate":
        with path.open("ab") as file:
            file.write(trailer(manifest))
        return cls(path, graph, manifest, batch)

    def payload(self) -> bytes:
        """Returns the graph's bytes."""
        return read_model_file(self.path).payload.read()

    def load(self) -> Session:
        """Returns the graph as `predictor` reads it back; raises as that does."""
        return self.predictor().session

    def predictor(self, *, threads: int | None = None) -> Predictor:
        """Reads the file back as a device does; manifest, its hash and the graph are checked on the way.

        A device refuses the file as it is now, because nothing is proven of it yet: this is what the proof is made of.

        Args:
            threads: as `Predictor.load` takes them.

        Raises:
            ExportError: the manifest is not what was written.
            ManifestError: the graph is not what the manifest says.
            ModelFileError: the file is refused.
        """
        file = read_model_file(self.path)
        whole = file.metadata.get(METADATA_SHA256_KEY) == file.metadata_sha256
        if not whole or read_manifest(file) != self.manifest:
            raise ExportError("the manifest was read back from the file with other values than it was written with")
        return Predictor(Session(file.payload, device="cpu", threads=threads), self.manifest)

    def stamp(self, evidence: Evidence) -> int:
        """Replaces the metadata by the final one, reads the file back and returns its size in bytes.

        Raises:
            ExportError: the metadata are not what was written.
        """
        with self.path.open("r+b") as file:
            file.seek(self.graph.written.size_bytes)
            file.truncate()
            file.write(trailer(self.manifest, evidence))
        read_back = read_model_file(self.path)
        if read_evidence(read_back) != evidence or read_manifest(read_back) != self.manifest:
            raise ExportError("the metadata was read back from the file with other values than it was written with")
        return self.path.stat().st_size


def _names(manifest: Manifest) -> tuple[list[str], list[str]]:
    return [image.name for image in manifest.inputs], [output.name for output in manifest.outputs]
