"""Pixels as they are for the first convolution: the normalisation moves into its weights."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.normalization import Normalization, read_normalization
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, reading, replace, replace_each

_TAG = "pixels"
_MARKED = 255  # of the channel that marks the border


@dataclass(frozen=True, slots=True)
class _Stem:
    """A first convolution on raw pixels.

    Attributes:
        kernel: (filters, C, rows, columns) float32.
        bias: (filters,) float32.
        pads: of the convolution, in black pixels: top, left, bottom, right.
        border: put round the image before it, and marked in one more channel.
    """

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    pads: tuple[int, ...]
    border: tuple[int, ...] = (0, 0, 0, 0)


def pixels_into_convolution(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with the normalisation of the image inside the weights of the convolution that reads it.

    What is left before that convolution is a Transpose of the uint8 image and a Cast: at scale 1 and zero point 0 the
    pixels are the quantized tensor (see `pixel_tensors` and `skip_pixel_quantization`). An offset goes into the bias.
    Where the convolution pads its input, the padding is 0 *behind* the offset, which is no pixel's value: there one
    more channel marks the border, and its weights take the offset away again.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    return replace_each(model, "Conv", _on_pixels)


def pixel_tensors(model: ModelProto) -> tuple[str, ...]:
    """Returns the names of the float tensors that hold raw pixels for a convolution.

    Quantize them at scale 1 and zero point 0: `quantize_static` takes that in its option TensorQuantOverrides.

    Args:
        model: a float graph after `pixels_into_convolution`.
    """
    wiring = read_wiring(model)
    return tuple(
        node.output[0]
        for node in model.graph.node
        if holds_pixels(node, wiring)
        and {consumer.op_type for consumer in wiring.consumers.get(node.output[0], ())} == {"Conv"}
    )


def skip_pixel_quantization(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the quantized model without the Cast and QuantizeLinear that turn uint8 into the same uint8.

    Args:
        model: after `quantize_static` in the QDQ format; is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        cast = wiring.producers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if cast is None or not holds_pixels(cast, wiring) or not _is_identity(node, wiring):
            continue
        nodes[node.output[0]] = []
        for reader in wiring.consumers[node.output[0]]:
            nodes[reader.output[0]] = [reading(reader, {node.output[0]: cast.input[0]})]
    return (replace(model, nodes, {}), True) if nodes else (model, False)


def holds_pixels(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a node is a Cast of uint8 to float."""
    if node.op_type != "Cast" or attributes(node)["to"] != TensorProto.FLOAT:
        return False
    return wiring.types.get(node.input[0]) == TensorProto.UINT8


def _is_covered(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a Conv has constant weights, one group and given pads."""
    values, kernel = attributes(node), wiring.constant(node, 1)
    if kernel is None or kernel.ndim != 4 or values.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return False
    return values.get("group", 1) == 1 and (len(node.input) < 3 or wiring.constant(node, 2) is not None)


def _stem(node: NodeProto, normalization: Normalization, wiring: Wiring) -> _Stem | None:
    """Returns the convolution on raw pixels; None where only a QuantizeLinear can make its input."""
    kernel, bias = wiring.values(node, 1).astype(np.float64), wiring.constant(node, 2)
    pads = tuple(attributes(node).get("pads", (0, 0, 0, 0)))
    on_pixels = np.zeros_like(kernel)
    on_pixels[:, normalization.order] = kernel * normalization.scale[:, None, None]
    offset = np.tensordot(kernel, normalization.offset, axes=(1, 0))  # (filters, rows, columns)
    shifted = (offset.sum(axis=(1, 2)) + (0 if bias is None else bias)).astype(np.float32)
    if not normalization.offset.any() or not any(pads):
        padded = tuple(own + black for own, black in zip(pads, normalization.padding, strict=True))
        return _Stem(on_pixels.astype(np.float32), shifted, padded)
    if any(normalization.padding) or None in wiring.shapes[normalization.image]:
        return None
    marked = np.concatenate([on_pixels, -offset[:, None] / _MARKED], axis=1)
    return _Stem(marked.astype(np.float32), shifted, (0, 0, 0, 0), pads)


def _on_pixels(node: NodeProto, wiring: Wiring) -> tuple[list[NodeProto], Weights] | None:
    """Returns what stands in place of a convolution; None where it does not read normalised pixels."""
    normalization = read_normalization(node, wiring)
    stem = None if normalization is None or not _is_covered(node, wiring) else _stem(node, normalization, wiring)
    return None if normalization is None or stem is None else _fed(node, normalization, stem, wiring)


def _fed(node: NodeProto, normalization: Normalization, stem: _Stem, wiring: Wiring) -> tuple[list[NodeProto], Weights]:
    """Returns the nodes in place of one convolution, and their weights."""
    steps, image = [], normalization.image
    weights: Weights = {"kernel": stem.kernel, "bias": stem.bias}
    if any(stem.border):
        top, left, bottom, right = stem.border
        weights["pads"] = np.array([0, top, left, 0, 0, bottom, right, 0], np.int64)
        weights["border"] = _border(wiring.shapes[image], stem.border)
        steps += [
            Step("Pad", (image, "@pads"), "@padded"),
            Step("Concat", ("@padded", "@border"), "@marked", {"axis": 3}),
        ]
        image = "@marked"
    options = {name: value for name, value in attributes(node).items() if name not in ("auto_pad", "pads")}
    steps += [
        Step("Transpose", (image,), "@first", {"perm": [0, 3, 1, 2]}),  # (N, C, H, W) uint8
        Step("Cast", ("@first",), "@pixels", {"to": TensorProto.FLOAT}),
        Step("Conv", ("@pixels", "@kernel", "@bias"), node.output[0], options | {"pads": list(stem.pads)}),
    ]
    return chain(node, _TAG, steps, weights)


def _border(shape: tuple[int | None, ...], border: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Returns a channel for an image that stands in a border: marked there and 0 inside."""
    images, height, width = (size or 0 for size in shape[:3])
    top, left, bottom, right = border
    inside = np.zeros((images, height, width, 1), np.uint8)
    return np.pad(inside, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=_MARKED)


def _is_identity(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a QuantizeLinear gives uint8 at scale 1 and zero point 0."""
    scale, zero = wiring.constant(node, 1), wiring.constant(node, 2)
    return scale is not None and zero is not None and zero.dtype == np.uint8 and scale.tolist() == 1 and not zero.any()
