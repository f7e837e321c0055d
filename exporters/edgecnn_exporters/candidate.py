"""A file that is not proven yet: written, read back as a device reads it, stamped when it is proven.

What is stamped is the manifest, the evidence, and the same facts as other tools read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import ModelProto

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.graph.publish import Graph, finish, write_graph, write_named
from edgecnn_exporters.graph.splitting import ADDED, kept_in_graph, split
from edgecnn_exporters.graph.suppression import append_suppression, in_graph
from edgecnn_exporters.graph.writer import Converted
from edgecnn_runtime.container import METADATA_SHA256_KEY, append_metadata, read_model_file
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.integrity import read_evidence, read_manifest
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST_KEY
from edgecnn_runtime.manifest import Color, Manifest
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.session import Session
from edgecnn_runtime.tasks.table import get_task

# Reference: https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md
_PIXEL_FORMAT: Mapping[Color, str] = {"rgb": "Rgb8", "gray": "Gray8"}
_PIXEL_RANGE = "NominalRange_0_255"


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

    def restamped(self, manifest: Manifest) -> "Candidate":
        """Returns the same graph with another manifest, in the file's place."""
        self._replace_metadata(trailer(manifest))
        return replace(self, manifest=manifest)

    def suppressing(self, path: Path) -> "Candidate":
        """Writes the same detector as a graph that decodes and suppresses by itself.

        Raises:
            ExportError: it is no detector with raw outputs.
        """
        model = append_suppression(onnx.load_from_string(self.payload()), self.manifest)
        return self.write(model, path, in_graph(self.manifest), self.batch)

    def splitting(self, path: Path) -> "Candidate":
        """Writes the same graph as one that runs a picture's part once, however many questions are asked about it.

        Raises:
            ExportError: it cannot be divided.
        """
        model = onnx.load_from_string(self.payload())
        manifest = kept_in_graph(model, self.manifest)
        graph = write_named(split(model, manifest), path, operators=self.graph.requirements.operators + ADDED)
        return self._stamped(path, graph, manifest, self.batch)

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
        self._replace_metadata(trailer(self.manifest, evidence))
        read_back = read_model_file(self.path)
        if read_evidence(read_back) != evidence or read_manifest(read_back) != self.manifest:
            raise ExportError("the metadata was read back from the file with other values than it was written with")
        return self.path.stat().st_size

    def _replace_metadata(self, metadata: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.graph.written.size_bytes)
            file.truncate()
            file.write(metadata)


def metadata(manifest: Manifest, evidence: Evidence | None = None) -> dict[str, str]:
    """Returns the metadata entries of a file.

    Args:
        manifest: of the model.
        evidence: None before anything is proven.
    """
    entries = {MANIFEST_KEY: manifest.to_json(), **foreign_entries(manifest)}
    if evidence is not None:
        entries[EVIDENCE_KEY] = evidence.to_json()
    return entries


def foreign_entries(manifest: Manifest) -> dict[str, str]:
    """Returns the entries for other tools, derived from the manifest.

    The two of the ONNX standard describe the image input. `task`, `names` and `imgsz` are as YOLO runtimes write them:
    a word, a Python dict from class id to name, a Python list [height, width]. What the manifest leaves open is not in,
    nor is a word for a task whose outputs they would read otherwise than they are.

    Example:
        >>> from edgecnn_runtime.decoders import OutputSpec, SoftmaxDecoder
        >>> from edgecnn_runtime.manifest import ImageInput, ModelInfo
        >>> image = ImageInput(name="image", height=28, width=28, color="gray")
        >>> outputs = (OutputSpec("logits", (2,)),)
        >>> info = ModelInfo("tiny", 1.0)
        >>> manifest = Manifest("classification", info, (image,), ("cat", "dog"), SoftmaxDecoder(), outputs)
        >>> entries = foreign_entries(manifest)
        >>> entries["names"], entries["imgsz"]
        ("{0: 'cat', 1: 'dog'}", '[28, 28]')
    """
    image = manifest.image_input
    entries = {
        "Image.BitmapPixelFormat": _PIXEL_FORMAT[image.color],
        "Image.NominalPixelRange": _PIXEL_RANGE,
    }
    word = get_task(manifest.task).word
    if word is not None:
        entries["task"] = word
    if manifest.labels is not None:
        entries["names"] = repr(dict(enumerate(manifest.labels)))
    if image.height is not None and image.width is not None:
        entries["imgsz"] = repr([image.height, image.width])
    return entries


def trailer(manifest: Manifest, evidence: Evidence | None = None) -> bytes:
    """Returns the bytes that follow a graph's payload and make a file of it."""
    return append_metadata(b"", metadata(manifest, evidence))


def _names(manifest: Manifest) -> tuple[list[str], list[str]]:
    inputs = [*(spec.name for spec in manifest.inputs), *manifest.decoder.settings()]
    return inputs, [output.name for output in manifest.outputs]
