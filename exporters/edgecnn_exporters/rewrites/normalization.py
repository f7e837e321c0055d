"""What stands between the pixels and the first convolution, read as one affine function of each pixel."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto

from edgecnn_exporters.rewrites.wiring import Wiring, attributes

_TO_CHANNELS_FIRST = [0, 3, 1, 2]


@dataclass(frozen=True, slots=True)
class Normalization:
    """Channel c of what the first convolution reads is scale[c] * image[..., order[c]] + offset[c].

    Attributes:
        image: name of the graph's input, uint8 (N, H, W, C).
        order: (C,) int, the image's channel that each channel is made of.
        scale: (C,) float64.
        offset: (C,) float64.
        padding: rows and columns of black pixels that are put round the image first: top, left, bottom, right.
    """

    image: str
    order: npt.NDArray[np.int64]
    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


def read_normalization(convolution: NodeProto, wiring: Wiring) -> Normalization | None:
    """Returns the normalisation before a convolution; None where it does not read the pixels of an image alone.

    Args:
        convolution: a Conv on (N, C, H, W).
        wiring: of its graph.
    """
    steps: list[NodeProto] = []
    tensor = convolution.input[0]
    while tensor in wiring.producers:
        if wiring.only_consumer(tensor) is None:
            return None
        steps.append(wiring.producers[tensor])
        tensor = _image_side(steps[-1], wiring)
    shape = wiring.shapes.get(tensor, ())
    if not steps or len(shape) != 4 or shape[3] is None or wiring.types.get(tensor) != TensorProto.UINT8:
        return None
    channels = shape[3]
    found: Normalization | None = Normalization(tensor, np.arange(channels), np.ones(channels), np.zeros(channels))
    moved = False
    for node in reversed(steps):
        if found is None or moved:
            return None
        moved = _moves_channels_first(node, wiring)
        found = found if moved else _after(node, found, wiring)
    return found if moved else None


def _image_side(node: NodeProto, wiring: Wiring) -> str:
    """Returns the input of a node that is no weight."""
    return next((name for name in node.input if name and name not in wiring.weights), "")


def _moves_channels_first(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a node turns (N, H, W, C) into (N, C, H, W); one channel needs no more than a Reshape."""
    if node.op_type == "Transpose":
        return list(attributes(node)["perm"]) == _TO_CHANNELS_FIRST
    before, after = wiring.shapes.get(node.input[0], ()), wiring.shapes.get(node.output[0], ())
    single = len(before) == len(after) == 4 and before[3] == 1 and None not in before[1:]
    return node.op_type == "Reshape" and single and after[1:] == (1, *before[1:3])


def _after(node: NodeProto, found: Normalization, wiring: Wiring) -> Normalization | None:
    """Returns the normalisation up to and with one more node; None where that is no affine function of a pixel."""
    if node.op_type == "Cast":
        target, untouched = attributes(node)["to"], bool((found.scale == 1).all()) and not found.offset.any()
        return found if target == TensorProto.FLOAT or (target == TensorProto.UINT8 and untouched) else None
    constants = [values for index in range(len(node.input)) if (values := wiring.constant(node, index)) is not None]
    if len(constants) != 1:
        return None
    if node.op_type == "Gather":
        return _gathered(node, found, constants[0])
    if node.op_type == "Pad":
        return _padded(node, found, constants[0])
    constant_first = node.input[0] in wiring.weights
    return _calculated(node.op_type, found, constants[0], constant_first)


def _calculated(
    operator: str, found: Normalization, constant: npt.NDArray[Any], constant_first: bool
) -> Normalization | None:
    """Returns the normalisation after arithmetic with one number, or one a channel."""
    if constant.size not in (1, found.scale.size) or constant.shape[-1:] not in ((), (1,), (found.scale.size,)):
        return None
    number = constant.astype(np.float64).reshape(-1)
    if operator == "Mul":
        return replace(found, scale=found.scale * number, offset=found.offset * number)
    if operator == "Add":
        return replace(found, offset=found.offset + number)
    if operator == "Sub" and not constant_first:
        return replace(found, offset=found.offset - number)
    if operator == "Div" and not constant_first:
        return replace(found, scale=found.scale / number, offset=found.offset / number)
    return None


def _gathered(node: NodeProto, found: Normalization, indices: npt.NDArray[Any]) -> Normalization | None:
    """Returns the normalisation after its channels were put into another order."""
    channels = found.order.size
    if attributes(node).get("axis", 0) not in (-1, 3) or sorted(indices.ravel() % channels) != list(range(channels)):
        return None
    taken = indices.ravel() % channels
    return replace(found, order=found.order[taken], scale=found.scale[taken], offset=found.offset[taken])


def _padded(node: NodeProto, found: Normalization, pads: npt.NDArray[Any]) -> Normalization | None:
    """Returns the normalisation after black pixels were put round the image."""
    top, left, bottom, right = (int(pads[axis]) for axis in (1, 2, 5, 6)) if pads.size == 8 else (0, 0, 0, 0)
    black = attributes(node).get("mode", b"constant") == b"constant" and not found.offset.any()
    spatial = pads.size == 8 and not pads[[0, 3, 4, 7]].any() and pads.min() >= 0
    if not black or not spatial or any(found.padding) or len(node.input) > 2:
        return None
    return replace(found, padding=(top, left, bottom, right))
