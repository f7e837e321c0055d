"""A picture's part of a graph behind an If, so that a further question about the same picture runs without it.

What lies between the image and the place where the question comes in is one branch; the other hands on what the picture
came to before, which whoever runs the graph feeds again. docs/adr/0030 has what was measured. An If has no loop in it,
and neither branch holds another.
"""

from dataclasses import replace

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.regions import not_of_image_alone
from edgecnn_exporters.rewrites.wiring import read_wiring
from edgecnn_runtime.decoders import AnswerDecoder, KeptPicture, OutputSpec
from edgecnn_runtime.manifest import Manifest

ADDED = ("Cast", "If", "Reshape")  # operators that are there besides
_PICTURE = "picture"  # what the picture came to, an output
_IF = "kept_picture"  # before the names of what is added
_AXES = 2  # (1, size)


def check_splittable(manifest: Manifest, batch: int | None) -> None:
    """Refuses what cannot be divided, before it is converted.

    Args:
        manifest: of the model.
        batch: the fixed batch size, or None for a dynamic one.

    Raises:
        ExportError: it answers no questions, or several pictures run together.
    """
    if not manifest.decoder.asks:
        raise ExportError(
            f"--split: expected a model that answers questions about a picture, received one for {manifest.task}. "
            "Leave it out."
        )
    if batch != 1:
        received = "dynamic" if batch is None else batch
        raise ExportError(f"--split: expected --batch 1, since one picture is kept, received {received}.")


def kept_in_graph(model: ModelProto, manifest: Manifest) -> Manifest:
    """Returns the manifest of the graph that keeps what a picture comes to where the question comes in.

    Args:
        model: named as it is published, of batch 1.
        manifest: of it; it answers questions.

    Raises:
        ExportError: what a picture comes to is not one vector.
    """
    shapes, cut = read_wiring(model).shapes, _cut(model.graph, manifest)
    size = shapes.get(cut[0], ())[-1] if len(cut) == 1 and len(shapes.get(cut[0], ())) == _AXES else None
    if size is None:
        raise ExportError(
            "--split: expected one vector between the picture's part of the graph and the question's, received "
            f"{ {name: shapes.get(name) for name in cut} or 'none' }. Leave it out."
        )
    assert isinstance(manifest.decoder, AnswerDecoder), "looked at before"
    decoder = replace(manifest.decoder, kept=KeptPicture(_PICTURE, size))
    return replace(manifest, decoder=decoder, outputs=(*manifest.outputs, OutputSpec(_PICTURE, (size,))))


def split(model: ModelProto, manifest: Manifest) -> ModelProto:
    """Returns the model with the picture's part in a branch, and with what the picture came to as an output.

    Args:
        model: as `kept_in_graph` takes it; is not changed.
        manifest: as `kept_in_graph` returns it.
    """
    kept = manifest.decoder.keeps()
    assert kept is not None, "the manifest of such a graph says so"
    graph, (cut,) = model.graph, _cut(model.graph, manifest)
    asked = set(not_of_image_alone(graph, manifest.image_input.name))
    seeing, answering = GraphProto(), GraphProto()
    for node in graph.node:
        (answering if node.name in asked else seeing).node.append(node)
    read = {name for node in answering.node for name in node.input}
    for weight in graph.initializer:
        (answering if weight.name in read else seeing).initializer.append(weight)
    seeing.name = "unknown_picture"
    seeing.output.append(_vector(cut, kept.size))
    for node in answering.node:
        node.input[:] = [kept.output if name == cut else name for name in node.input]
    divided = ModelProto()
    divided.CopyFrom(model)
    for field in ("node", "initializer"):
        divided.graph.ClearField(field)
    divided.graph.node.extend([*_if_known(seeing, kept), *answering.node])
    divided.graph.initializer.extend(answering.initializer)
    divided.graph.output.append(_vector(kept.output, kept.size))
    for name, values in manifest.decoder.settings().items():
        divided.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(values)]))
        divided.graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32), name))
    return divided


def _if_known(seeing: GraphProto, kept: KeptPicture) -> list[NodeProto]:
    """Returns the nodes that give what a picture comes to: what is fed, or what the branch sees."""
    shape = numpy_helper.from_array(np.array([1, kept.size], np.int64), f"{_IF}/shape")
    reshape = helper.make_node("Reshape", [KeptPicture.PICTURE, shape.name], [f"{_IF}/known"], f"{_IF}/Reshape")
    known = helper.make_graph([reshape], KeptPicture.PICTURE, [], [_vector(f"{_IF}/known", kept.size)], [shape])
    cast = helper.make_node("Cast", [KeptPicture.KNOWN], [f"{_IF}/condition"], f"{_IF}/Cast", to=TensorProto.BOOL)
    choose = helper.make_node("If", cast.output, [kept.output], f"{_IF}/If", then_branch=known, else_branch=seeing)
    return [cast, choose]


def _vector(name: str, size: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])


def _cut(graph: GraphProto, manifest: Manifest) -> list[str]:
    """Returns the tensors that only the image goes into and that are read beside the question, or are outputs."""
    asked = set(not_of_image_alone(graph, manifest.image_input.name))
    seen = {name for node in graph.node if node.name not in asked for name in node.output if name}
    read = dict.fromkeys(name for node in graph.node if node.name in asked for name in node.input)
    return [name for name in (*read, *(output.name for output in graph.output)) if name in seen]
