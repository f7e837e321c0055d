"""A mean pool whose channels have a factor and an offset, as one convolution."""

import numpy as np
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.affine import Run, read_runs
from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, replace

_TAG = "weighted_pool"


def weighted_pool_as_convolution(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with each AveragePool that has a factor or an offset as a Conv on each channel by itself.

    One operator takes the place of three, and integer kernels for it are faster than those for the pool.

    Args:
        model: after `fold_scalar_factors`, which leaves only what no layer can take; is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for run in read_runs(wiring):
        if len(run.others) == 1 and _is_covered(run.others[0], wiring):
            nodes |= {node.output[0]: [] for node in run.nodes}
            nodes[run.end], added = _convolution(run.others[0], run, wiring)
            weights |= added
    return (replace(model, nodes, weights), True) if nodes else (model, False)


def _is_covered(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a node is an AveragePool over whole windows of a known number of channels."""
    values, shape = attributes(node), wiring.shapes.get(node.input[0], ())
    return (
        node.op_type == "AveragePool"
        and len(shape) == 4
        and shape[1] is not None
        and not any(values.get("pads", ()))
        and values.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and not values.get("ceil_mode", 0)
    )


def _convolution(pool: NodeProto, run: Run, wiring: Wiring) -> tuple[list[NodeProto], Weights]:
    """Returns the node in place of a run, and its weights."""
    values, channels, affine = attributes(pool), wiring.shapes[pool.input[0]][1] or 0, run.affine
    window = values["kernel_shape"]
    factor, offset = (np.broadcast_to(numbers, channels) for numbers in (affine.factor, affine.offset))
    kernel = np.broadcast_to(factor.reshape(-1, 1, 1, 1) / np.prod(window), (channels, 1, *window))
    options = {
        "kernel_shape": window,
        "strides": values.get("strides", [1, 1]),
        "group": channels,
    }
    weights: Weights = {"kernel": kernel.astype(np.float32), "bias": offset.astype(np.float32)}
    return chain(pool, _TAG, [Step("Conv", (run.start, "@kernel", "@bias"), run.end, options)], weights)
