"""Factors of one side of a product, inside the weights of the layers that read the product.

A hard swish is x * clip(x + 3, 0, 6) / 6, and a gate multiplies it by another hard sigmoid. Neither sixth needs an
operator: the convolution behind them has weights of a sixth, and so has what squeezes the map's mean for the gate.
"""

import numpy as np
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.affine import Run, read_runs
from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, reading, replace

_TAG = "sunk_factors"
_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
# A factor of what these read is one of what they make.
_PASSED = frozenset({"Mul", "GlobalAveragePool", "ReduceMean", "Transpose", "Reshape", "Flatten", "Squeeze"})


def sink_factors(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model without a factor that products, means and moves hand on to layers alone, with it in those.

    Args:
        model: after `fold_scalar_factors`, which leaves only what no neighbouring layer can take; is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    sources: dict[str, str] = {}  # what is read in place of a tensor that is gone
    factors: dict[str, float] = {}  # of the kernels, by the output of their layer
    for run in read_runs(wiring):
        layers = _layers_behind(run.end, wiring) if _is_factor(run) else ()
        for layer in layers:
            factors[layer.output[0]] = factors.get(layer.output[0], 1.0) * float(run.affine.factor[0])
        if layers:
            sources |= {node.output[0]: run.start for node in run.nodes}
    return (_sunk(model, wiring, sources, factors), True) if sources else (model, False)


def _is_factor(run: Run) -> bool:
    """Returns whether a run is one factor of every channel, and nothing else."""
    return not run.others and run.affine.uniform and not run.affine.offset.any()


def _layers_behind(start: str, wiring: Wiring) -> tuple[NodeProto, ...]:
    """Returns the layers that all ways from a tensor end in, each carrying its factor once; none where one does not."""
    layers: list[NodeProto] = []
    waiting, carrying = [start], set[str]()
    while waiting:
        tensor = waiting.pop()
        if tensor in wiring.outputs:
            return ()
        for node in wiring.consumers.get(tensor, ()):
            if _takes(node, tensor, wiring):
                layers.append(node)
            elif node.op_type in _PASSED and node.output[0] not in carrying:  # there twice, as in a square, it is two
                carrying.add(node.output[0])
                waiting.append(node.output[0])
            else:
                return ()
    return tuple(layers)


def _takes(node: NodeProto, tensor: str, wiring: Wiring) -> bool:
    """Returns whether a node is a layer with constant weights for what it reads of a tensor."""
    return (
        node.op_type in _LAYERS
        and node.input[0] == tensor
        and wiring.constant(node, 1) is not None
        and tensor not in node.input[1:]
    )


def _sunk(model: ModelProto, wiring: Wiring, sources: dict[str, str], factors: dict[str, float]) -> ModelProto:
    """Returns the model without the arithmetic, and with its factors in the layers."""
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for node in model.graph.node:
        made = node.output[0]
        if made in sources:
            nodes[made] = []
        elif made in factors:
            nodes[made], added = _scaled(reading(node, sources), factors[made], wiring)
            weights |= added
        elif not sources.keys().isdisjoint(node.input):
            nodes[made] = [reading(node, sources)]
    return replace(model, nodes, weights)


def _scaled(layer: NodeProto, factor: float, wiring: Wiring) -> tuple[list[NodeProto], Weights]:
    """Returns a layer whose kernel has a factor more, and its weights."""
    kernel = (wiring.values(layer, 1) * np.float64(factor)).astype(np.float32)
    read = (layer.input[0], "@kernel", *layer.input[2:])
    return chain(layer, _TAG, [Step(layer.op_type, read, layer.output[0], attributes(layer))], {"kernel": kernel})
