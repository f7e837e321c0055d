"""Constants that stand between layers, inside the weights of the layers."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto

from edgecnn_exporters.rewrites.affine import IDENTITY, Affine, Run, read_runs
from edgecnn_exporters.rewrites.chain import Step, Weights, chain
from edgecnn_exporters.rewrites.wiring import Wiring, attributes, read_wiring, reading, replace

_TAG = "scalar_factors"


@dataclass(frozen=True, slots=True)
class _Share:
    """What a layer takes into its weights.

    Attributes:
        before: is done to what it reads.
        behind: is done to what it makes.
    """

    before: Affine = IDENTITY
    behind: Affine = IDENTITY


def fold_scalar_factors(model: ModelProto) -> tuple[ModelProto, bool]:
    """Returns the model with constants, one or one a channel, inside the layer that they follow or else that they feed.

    Means and moves may stand between a constant and the layer: the mean of a * x + b is a * mean + b. An offset before
    a convolution goes into its bias only where nothing is padded. Where there is no such layer, as between two
    activations, what is left are one factor and one offset.

    Args:
        model: is not changed.

    Returns:
        The model, and whether it has changed.
    """
    wiring = read_wiring(model)
    aliases: dict[str, str] = {}  # what is read in place of a tensor that is gone
    shares: dict[str, _Share] = {}  # by the output of a layer
    left: list[Run] = []
    for run in read_runs(wiring):
        before, after = wiring.producers[run.start], _layer_after(run, wiring, offset=bool(run.affine.offset.any()))
        if _is_layer(before, wiring):
            made = before.output[0]
            shares[made] = dataclasses.replace(shares.get(made, _Share()), behind=run.affine)
        elif after is not None:
            shares[after.output[0]] = _Share(before=run.affine)
        elif len(run.arithmetic) > len(_left_of(run)):
            left += [run] if _left_of(run) else []
        else:
            continue
        aliases |= {node.output[0]: _main_input(node, wiring) for node in run.arithmetic}
    return (_folded(model, wiring, aliases, shares, left), True) if aliases else (model, False)


def _is_layer(node: NodeProto, wiring: Wiring) -> bool:
    """Returns whether a node is a Conv, or a Gemm without factors of its own, with constant weights."""
    kernel, bias, values = wiring.constant(node, 1), wiring.constant(node, 2), attributes(node)
    if kernel is None or (bias is None and len(node.input) > 2 and node.input[2]):
        return False
    if node.op_type == "Gemm":
        filters = kernel.shape[0 if values.get("transB", 0) else 1]
        plain = values.get("alpha", 1.0) == values.get("beta", 1.0) == 1 and not values.get("transA", 0)
        return plain and (bias is None or bias.shape in ((), (1,), (filters,), (1, filters)))
    return node.op_type == "Conv"


def _layer_after(run: Run, wiring: Wiring, *, offset: bool) -> NodeProto | None:
    """Returns the layer that reads a run's result, where its weights can take a factor; else None.

    Args:
        run: of the graph.
        wiring: of the graph.
        offset: whether they must take an offset too.
    """
    layer = wiring.only_consumer(run.end)
    if layer is None or layer.input[0] != run.end or not _is_layer(layer, wiring):
        return None
    values = attributes(layer)
    padded = any(values.get("pads", ())) or values.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    return None if padded and offset else layer


def _main_input(node: NodeProto, wiring: Wiring) -> str:
    name: str = node.input[1 if node.input[0] in wiring.weights else 0]
    return name


def _folded(
    model: ModelProto, wiring: Wiring, aliases: Mapping[str, str], shares: Mapping[str, _Share], left: Sequence[Run]
) -> ModelProto:
    """Returns the model without the arithmetic, with what it did in layers and in what is left of runs."""
    merged = {run.arithmetic[-1].output[0]: run for run in left}
    gone = {name: source for name, source in aliases.items() if name not in merged}
    sources = {name: _source(name, gone) for name in aliases if name in gone}
    nodes: dict[str, list[NodeProto]] = {}
    weights: Weights = {}
    for node in model.graph.node:
        made, added = node.output[0], Weights()
        if made in merged:
            nodes[made], added = _merged(merged[made], _source(aliases[made], gone), wiring)
        elif made in gone:
            nodes[made] = []
        elif made in shares:
            nodes[made], added = _weighted(node, sources.get(node.input[0], node.input[0]), shares[made], wiring)
        elif not sources.keys().isdisjoint(node.input):
            nodes[made] = [reading(node, sources)]
        weights |= added
    return replace(model, nodes, weights)


def _source(tensor: str, gone: Mapping[str, str]) -> str:
    """Returns what is read in place of a tensor in the end."""
    while tensor in gone:
        tensor = gone[tensor]
    return tensor


def _left_of(run: Run) -> tuple[tuple[str, npt.NDArray[np.float64]], ...]:
    """Returns the operators that do what a run does, each with its constant."""
    affine = run.affine
    factor = (("Mul", affine.factor),) if (affine.factor != 1).any() else ()
    return (*factor, ("Add", affine.offset)) if affine.offset.any() else factor


def _merged(run: Run, source: str, wiring: Wiring) -> tuple[list[NodeProto], Weights]:
    """Returns the nodes in place of the last arithmetic of a run, and their weights."""
    last, left = run.arithmetic[-1], _left_of(run)
    axes = len(wiring.shapes[last.output[0]]) - 2
    steps, weights, tensor = [], Weights(), source
    for number, (operator, constant) in enumerate(left, start=1):
        shape = () if constant.size == 1 else (1, -1, *(1,) * axes)
        weights[f"constant{number}"] = constant.astype(np.float32).reshape(shape)
        made = last.output[0] if number == len(left) else f"@{number}"
        steps.append(Step(operator, (tensor, f"@constant{number}"), made))
        tensor = made
    return chain(last, _TAG, steps, weights)


def _weighted(node: NodeProto, source: str, share: _Share, wiring: Wiring) -> tuple[list[NodeProto], Weights]:
    """Returns a layer that does its share, and its weights."""
    kernel, bias = wiring.values(node, 1).astype(np.float64), wiring.constant(node, 2)
    turned = node.op_type == "Gemm" and not attributes(node).get("transB", 0)
    by_filter = kernel.T if turned else kernel  # (filters, channels of a group, ...)
    filters, channels = by_filter.shape[:2]
    groups = attributes(node).get("group", 1)
    factor, offset = (
        _by_filter(numbers, filters, channels, groups) for numbers in (share.before.factor, share.before.offset)
    )
    inner = (filters, channels, -1)
    shifted = (by_filter.reshape(inner) * offset).sum(axis=(1, 2)) + (0 if bias is None else bias.reshape(-1))
    weights: Weights = {}
    if (factor != 1).any() or (share.behind.factor != 1).any():  # else others may read the same kernel
        scaled = by_filter.reshape(inner) * factor * share.behind.factor[:, None, None]
        folded = scaled.reshape(by_filter.shape).astype(np.float32)
        weights["kernel"] = np.ascontiguousarray(folded.T if turned else folded)
    made = shifted * share.behind.factor + share.behind.offset
    if bias is not None or made.any():
        weights["bias"] = made.astype(np.float32)
    read = (source, "@kernel" if "kernel" in weights else node.input[1], *(["@bias"] if "bias" in weights else ()))
    step = Step(node.op_type, read, node.output[0], attributes(node))
    return chain(node, _TAG, [step], weights)


def _by_filter(numbers: npt.NDArray[np.float64], filters: int, channels: int, groups: int) -> npt.NDArray[np.float64]:
    """Returns the numbers of all channels as those that each filter reads: (1 or filters, 1 or channels, 1)."""
    if numbers.size == 1:
        return numbers.reshape(1, 1, 1)
    return np.repeat(numbers.reshape(groups, channels), filters // groups, axis=0)[..., None]
