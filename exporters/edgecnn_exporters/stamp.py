"""What travels in a file's metadata: the manifest, the evidence, and the same facts as other tools read them."""

from collections.abc import Mapping

from edgecnn_runtime.container import append_metadata
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE_KEY
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST_KEY
from edgecnn_runtime.manifest import Color, Manifest, Task

# Reference: https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md
_PIXEL_FORMAT: Mapping[Color, str] = {"rgb": "Rgb8", "gray": "Gray8"}
_PIXEL_RANGE = "NominalRange_0_255"
# Reference: https://docs.ultralytics.com/tasks/ (the word for each task in `YOLO(path, task=...)`)
_YOLO_TASK: Mapping[Task, str] = {"classification": "classify"}


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
    a word, a Python dict from class id to name, a Python list [height, width]. What the manifest leaves open is not in.

    Example:
        >>> from edgecnn_runtime.manifest import ImageInput, ModelInfo, OutputSpec, SoftmaxDecoder
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
        "task": _YOLO_TASK[manifest.task],
    }
    if manifest.labels is not None:
        entries["names"] = repr(dict(enumerate(manifest.labels)))
    if image.height is not None and image.width is not None:
        entries["imgsz"] = repr([image.height, image.width])
    return entries


def trailer(manifest: Manifest, evidence: Evidence | None = None) -> bytes:
    """Returns the bytes that follow a graph's payload and make a file of it."""
    return append_metadata(b"", metadata(manifest, evidence))
