"""What a network itself picks by rank: TensorFlow's suppression of many images at once, in operators without a loop.

tf2onnx writes CombinedNonMaxSuppression too, in more than forty operators that find the place of each box among those
of its image. A mask of the boxes that stay and a second TopK come to the same: docs/adr/0031 has what was measured.
"""

from typing import Any

import numpy as np
from onnx import TensorProto, helper
from tf2onnx.onnx_opset.tensor import CombinedNonMaxSuppression

_GONE = float(np.finfo(np.float32).min)  # the score of what does not stay


def ranking_handlers() -> dict[str, tuple[Any, list[Any]]]:
    """Returns how to write CombinedNonMaxSuppression, by the operator's name, as tf2onnx takes it."""
    return {"CombinedNonMaxSuppression": (_write_suppression, [])}


def _write_suppression(context: Any, node: Any, name: str, given: Any) -> None:
    """Writes the best boxes, (N, count, 4), their scores and classes, and how many they are; zeros beyond those.

    Several classes and boxes that are clipped, which no layer of ours asks for, are left to tf2onnx.
    """
    boxes, scores, count, total, iou_threshold, score_threshold = node.input
    one_class = context.get_shape(boxes)[2] == context.get_shape(scores)[2] == 1
    numbers = [context.get_node_by_output(number).get_tensor_value() for number in (count, total)]
    if not one_class or numbers[0] != numbers[1] or node.get_attr_value("clip_boxes", True):
        CombinedNonMaxSuppression.version_12(context, node, name=name, args=given)
        return

    def add(operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        made = context.make_node(operator, list(inputs), attr=attributes, output_count=outputs, op_name_scope=name)
        return made.output[0] if outputs == 1 else made.output

    def whole(*values: int) -> str:
        unique = f"{name}/{'_'.join(map(str, values))}/{len(context.get_nodes())}"
        return str(context.make_const(unique, np.array(values, np.int64)).output[0])

    places = add("Squeeze", boxes, whole(2))  # (N, M, 4)
    groups = add("Transpose", scores, perm=[0, 2, 1])  # (N, 1, M)
    most = add("Reshape", add("Cast", total, to=TensorProto.INT64), whole(1))
    stay = add("NonMaxSuppression", places, groups, most, iou_threshold, score_threshold)  # (S, 3)
    gone = helper.make_tensor("value", TensorProto.FLOAT, [1], [_GONE])
    nothing = add("ConstantOfShape", add("Shape", groups), value=gone)
    kept = add("ScatterND", nothing, stay, add("GatherND", groups, stay))
    best, which = add("TopK", add("Squeeze", kept, whole(1)), most, outputs=2, axis=1)  # (N, count) each
    limit = context.make_const(f"{name}/limit", np.array(_GONE, np.float32)).output[0]
    zero = context.make_const(f"{name}/zero", np.array(0, np.float32)).output[0]
    there = add("Greater", best, limit)  # (N, count)
    found = add("GatherND", places, add("Unsqueeze", which, whole(2)), batch_dims=1)  # (N, count, 4)
    answers = (
        add("Where", add("Unsqueeze", there, whole(2)), found, zero),
        add("Where", there, best, zero),
        add("Mul", best, zero),
        add("ReduceSum", add("Cast", there, to=TensorProto.INT32), whole(1), keepdims=0),
    )
    for own, made in zip(list(node.output), answers, strict=True):
        context.replace_all_inputs(own, made)
    for position, own in enumerate(list(context.outputs)):
        if own in node.output:
            context.outputs[position] = answers[list(node.output).index(own)]
    context.remove_node(node.name)
