"""What the last operation of a Keras model makes of its numbers: whether they are scores already, and by what."""

import logging
from typing import Any, Literal

from edgecnn_runtime.decoders import Decoder, kinds_beside
from edgecnn_runtime.errors import ManifestError

Head = Literal["softmax", "sigmoid", "linear", "unknown"]

_SCORES: dict[str, Head] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
_LINEAR = {"Log", "MatMul", "BatchMatMulV2", "BiasAdd", "Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative"}
# These move, bound or average numbers, and leave scores scores: Flatten, Dropout, mixed precision, pooling, a clip.
_PASSED = {"Identity", "Reshape", "Squeeze", "ExpandDims", "Cast", "Transpose", "StopGradient", "Mean", "StridedSlice"}
_JOINED = {"Pack", "ConcatV2", "Maximum", "Minimum"}  # of several tensors, all of which count
logger = logging.getLogger(__name__)


def read_head(traced: Any, output: int) -> Head:
    """Returns how one output of a model comes about, looking through what leaves scores as they are.

    The traced graph is read and not the layers, so that an Activation layer, an argument of Dense, a nested model, an
    operation of keras.ops and a layer of one's own all look alike.

    Args:
        traced: the ConcreteFunction of the model in inference mode.
        output: which of its outputs.

    Returns:
        "unknown" where the last operation is none of those that are told apart here.
    """
    heads = _heads(traced.outputs[output])
    return heads.pop() if len(heads) == 1 else "unknown"


def check_head(head: Head, decoder: Decoder, shape: tuple[int | None, ...]) -> None:
    """Compares what a model ends in with the decoder of its manifest.

    Where the head is not known, the decoder is believed here, with a warning, and the proof of an export looks at the
    numbers.

    Args:
        head: of the output that the decoder reads.
        decoder: of the manifest.
        shape: of the output, without the batch axis.

    Raises:
        ManifestError: the device would take a second softmax or sigmoid, or none; the message says what to write.
    """
    if decoder.reads == "numbers":
        return
    where = f"the Keras model does not fit its manifest: output {decoder.output!r}"
    may_be_scores = "probabilities" in kinds_beside(decoder)
    if head == "softmax" and shape[-1] == 1 and may_be_scores:
        raise ManifestError(
            f"{where} is the softmax of one unit, which is 1.0 for every image. Let the model end in Dense(1, "
            "activation='sigmoid') for two classes, or in a softmax of one unit a class, and train it again."
        )
    if head == "unknown":
        if decoder.reads == "logits":
            logger.warning(
                "output %r: it is not known whether the last layer gives scores already, so a %s is taken of it as the "
                "manifest says; where it does, %s",
                decoder.output,
                decoder.takes,
                'write "kind": "probabilities"' if may_be_scores else "let the model end in a layer without activation",
            )
        return
    if (decoder.takes == "nothing") == (head != "linear"):
        return
    if head == "linear":
        raise ManifestError(
            f"{where} ends in a layer without activation, so its numbers are no scores: expected decoder 'softmax' or "
            f'\'sigmoid\', received {decoder.kind!r}. Write "decoder": {{"kind": "softmax", "output": '
            f'"{decoder.output}"}} into manifest.json where one class is right, "sigmoid" where each is for itself.'
        )
    if not may_be_scores:
        raise ManifestError(
            f"{where} ends in a {head} and gives scores already: expected raw numbers for decoder {decoder.kind!r}. "
            "Let the model end in a layer without activation there, and train it again."
        )
    raise ManifestError(
        f"{where} ends in a {head} and gives scores already: expected decoder 'probabilities', received "
        f'{decoder.kind!r}. Write "decoder": {{"kind": "probabilities", "output": "{decoder.output}"}} into '
        "manifest.json."
    )


def _heads(output: Any) -> set[Head]:
    """Returns what stands last on every way to the output, constants left out."""
    heads: set[Head] = set()
    waiting, seen = [output.op], set()
    while waiting:
        operation = waiting.pop()
        if operation.type == "Const" or operation.name in seen:
            continue
        seen.add(operation.name)
        if operation.type in _SCORES:
            heads.add(_SCORES[operation.type])
        elif operation.type in _LINEAR or _adds_bias(operation):
            heads.add("linear")
        elif operation.type in _PASSED:
            waiting.append(operation.inputs[0].op)  # the others are shapes and axes
        elif operation.type in _JOINED:
            waiting += [source.op for source in operation.inputs]
        else:
            heads.add("unknown")
    return heads


def _adds_bias(operation: Any) -> bool:
    """Whether a weight is added to a product, as Keras does for the bias of one unit."""
    types = {source.op.type for source in operation.inputs}
    return operation.type == "AddV2" and "ReadVariableOp" in types and bool(types & _LINEAR)
