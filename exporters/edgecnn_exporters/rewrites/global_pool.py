"""The mean of each whole map as a pool, which has kernels for integers and for blocks of channels."""

from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, replace_each

_TAG = "global_pool"
_SPATIAL = {2, 3}  # of (N, C, H, W)


def pool_instead_of_mean(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with a GlobalAveragePool for each ReduceMean over height and width that keeps both axes.

    So Keras' `GlobalAveragePooling2D(keepdims=True)` is written, as in a squeeze-and-excitation. It has no integer
    kernel: the whole map is turned to float32 for its mean.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    return replace_each(model, "ReduceMean", _pool)


def _pool(node: NodeProto, wiring: Wiring) -> tuple[list[NodeProto], Weights] | None:
    """Returns what stands in place of a mean; None where it is another one, or where that is not known."""
    values, shape, given = attributes(node), wiring.shapes.get(node.input[0], ()), wiring.constant(node, 1)
    axes = values.get("axes", ()) if given is None else given.tolist()  # an input from opset 18 on
    if len(shape) != 4 or not values.get("keepdims", 1) or {axis % 4 for axis in axes} != _SPATIAL:
        return None
    return chain(node, _TAG, [Step("GlobalAveragePool", [node.input[0]], node.output[0])], {})
