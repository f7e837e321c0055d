"""Segmentation without a network to train: manifests, graphs that look at each pixel alone, and class maps."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgecnn_runtime.decoders import ClassMapDecoder, OutputSpec, Tiling
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

LABELS = ("sky", "bird", "tree")


def make_manifest(size=(16, 16), *, labels=LABELS, classes=3, tiles=None, multiple_of=None, color="rgb", **image):
    """The manifest of a segmenter; with a free size that is padded by default."""
    if None in size:
        image, multiple_of = {"resize": "pad", **image}, multiple_of or 8
    spec = ImageInput("image", *size, color, multiple_of=multiple_of, **image)
    outputs = (OutputSpec("logits", (*size, classes)),)
    decoder = ClassMapDecoder(tiles=None if tiles is None else Tiling(*tiles))
    return Manifest("segmentation", ModelInfo("m", 1.0), (spec,), labels, decoder, outputs)


def make_graph(size=(16, 16), *, batch="batch", channels=3, classes=3, reach=1):
    """A convolution of `reach` pixels a side whose logits of gray are 0, so that no class is everywhere."""
    weights = np.random.default_rng(7).normal(0, 0.02, (classes, channels, reach, reach)).astype(np.float32)
    height, width = (side or name for side, name in zip(size, ("height", "width"), strict=True))
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weights", "biases"], ["maps"], pads=[reach // 2] * 4),
        helper.make_node("Transpose", ["maps"], ["logits"], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, height, width, channels])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, height, width, classes])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(-127 * weights.sum(axis=(1, 2, 3)), "biases"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def blobs(height, width, *, classes=3, seed=0):
    """A class map of a few smooth regions, (H, W) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    fields = [
        np.sin(x * a / width + b) + np.cos(y * c / height + d)
        for a, b, c, d in random.uniform([3, 0, 3, 0], [9, 6, 9, 6], (classes, 4))
    ]
    return np.argmax(fields, axis=0).astype(np.uint8)


def shade(class_map, *, seed=0):
    """A gray picture that shows a class map: brighter the higher the class, with noise over it, (H, W) uint8."""
    noise = np.random.default_rng(seed).normal(0, 25, class_map.shape)
    return np.clip(60 + 60 * class_map + noise, 0, 255).astype(np.uint8)


def write_masks(folder, sizes, *, labels=LABELS):
    """Writes a data set of pictures and masks: `write_masks(folder, {"train": [(40, 50)], "test": [(33, 70)]})`.

    Args:
        folder: gets PART/images, PART/masks and classes.txt.
        sizes: (height, width) of the pictures of each part.
        labels: of the classes.
    """
    seed = 0
    for part, shapes in sizes.items():
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True)
        for index, (height, width) in enumerate(shapes):
            seed += 1
            truth = blobs(height, width, classes=len(labels), seed=seed)
            Image.fromarray(shade(truth, seed=seed)).save(folder / part / "images" / f"{index:03}.png")
            Image.fromarray(truth).save(folder / part / "masks" / f"{index:03}.png")
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in labels))
