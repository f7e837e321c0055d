"""Exact rewrites of a float graph: other operators, the same answers, less time.

Each is a function from a model to a model and whether it has changed, exact but for the rounding of float32. Which of
them run is written down here, by precision, from measurements (docs/adr/0013-rewrites-are-exact-and-static.md); nothing
is timed when a model is exported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from onnx import ModelProto

from edgecnn_exporters.rewrites.amx_weights import tune_for_amx
from edgecnn_exporters.rewrites.gelu import write_gelu
from edgecnn_exporters.rewrites.global_pool import pool_instead_of_mean
from edgecnn_exporters.rewrites.known_shapes import write_known_shapes
from edgecnn_exporters.rewrites.layer_normalization import write_layer_normalization
from edgecnn_exporters.rewrites.pixel_shuffle import shuffle_transposed_convolutions
from edgecnn_exporters.rewrites.pixels import pixel_tensors, pixels_into_convolution, skip_pixel_quantization
from edgecnn_exporters.rewrites.plain_gemm import plain_gemm
from edgecnn_exporters.rewrites.pool_first import pool_before_leaky_relu
from edgecnn_exporters.rewrites.response_normalization import (
    pool_response_normalization,
    response_normalization_nodes,
)
from edgecnn_exporters.rewrites.row_products import constants_beside_products
from edgecnn_exporters.rewrites.scalar_factors import fold_scalar_factors
from edgecnn_exporters.rewrites.sunk_factors import sink_factors
from edgecnn_exporters.rewrites.upsampling import resize_instead_of_tile
from edgecnn_exporters.rewrites.weighted_pool import weighted_pool_as_convolution
from edgecnn_exporters.rewrites.width_folding import fold_width

__all__ = [
    "Precision",
    "pixel_tensors",
    "response_normalization_nodes",
    "rewrite",
    "skip_pixel_quantization",
    "tune_for_amx",
]

Precision = Literal["float32", "int8"]


@dataclass(frozen=True, slots=True)
class _Rewrite:
    """A rewrite and where it pays.

    Attributes:
        name: what reports call it.
        apply: the rewrite.
        precisions: those that it makes faster.
    """

    name: str
    apply: Callable[[ModelProto], tuple[ModelProto, bool]]
    precisions: frozenset[Precision]


_ALWAYS: frozenset[Precision] = frozenset({"float32", "int8"})
_INT8: frozenset[Precision] = frozenset({"int8"})

# In this order: what repeats rows is found by its shapes; plain products take factors too, layers behind a product what
# no neighbour can, a pool what none of them can; the first convolution is folded once the pixels reach it, and
# behind a pool there is no activation.
_REWRITES = (
    _Rewrite("known_shapes", write_known_shapes, _ALWAYS),
    _Rewrite("layer_normalization", write_layer_normalization, _ALWAYS),
    _Rewrite("gelu", write_gelu, _ALWAYS),
    _Rewrite("row_products", constants_beside_products, _ALWAYS),
    _Rewrite("plain_gemm", plain_gemm, _INT8),
    _Rewrite("global_pool", pool_instead_of_mean, _INT8),
    _Rewrite("response_normalization", pool_response_normalization, _ALWAYS),
    _Rewrite("upsampling", resize_instead_of_tile, _ALWAYS),
    _Rewrite("scalar_factors", fold_scalar_factors, _ALWAYS),
    _Rewrite("sunk_factors", sink_factors, _INT8),
    _Rewrite("weighted_pool", weighted_pool_as_convolution, _ALWAYS),
    _Rewrite("pool_first", pool_before_leaky_relu, _INT8),
    _Rewrite("pixel_shuffle", shuffle_transposed_convolutions, _INT8),
    _Rewrite("pixels", pixels_into_convolution, _INT8),
    _Rewrite("width_folding", fold_width, _INT8),
)


def rewrite(model: ModelProto, *, precision: Precision) -> tuple[ModelProto, tuple[str, ...]]:
    """Returns the model after every rewrite that pays at a precision, and the names of those that applied.

    Nodes keep the layer in their names, so `canonicalise` can run on the result; tensors and weights are named after
    those that they replace.

    Args:
        model: a float graph, folded by ONNX Runtime's basic level, without subgraphs; is not changed.
        precision: that the model is going to have. Before "int8" the image's pixels are prepared for the first integer
            convolution: quantize the `pixel_tensors` at scale 1 and zero point 0, leave the
            `response_normalization_nodes` in float, and call `skip_pixel_quantization` on the result.
    """
    applied = []
    for candidate in _REWRITES:
        if precision in candidate.precisions:
            model, changed = candidate.apply(model)
            if changed:
                applied.append(candidate.name)
    return model, tuple(applied)
