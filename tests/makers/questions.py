"""Small files that answer questions, made without Keras, and what they answer by plain arithmetic."""

from pathlib import Path

import model_files
import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgecnn_runtime.decoders import AnswerDecoder, KeptPicture, OutputSpec
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.questions import TextInput

SIZE, LENGTH, UNITS = (8, 6), 4, 3  # (height, width) of the picture, words of a question, numbers of each
VOCABULARY = ("blue", "is", "it", "shape", "what's")
ANSWERS = ("yes", "no", "blue")
_RANDOM = np.random.default_rng(3)
OF_PICTURE = _RANDOM.normal(0, 0.02, (3, UNITS)).astype(np.float32)  # of the means of three channels
OF_WORDS = _RANDOM.normal(0, 1, (2 + len(VOCABULARY), UNITS)).astype(np.float32)
OF_WORDS[0] = 0  # padding adds nothing
TO_LOGITS = _RANDOM.normal(0, 1, (UNITS, len(ANSWERS))).astype(np.float32)


def make_manifest(*, vocabulary: tuple[str, ...] | None = VOCABULARY, kept: bool = False, **text: object) -> Manifest:
    outputs = (OutputSpec("logits", (len(ANSWERS),)), *([OutputSpec("picture", (UNITS,))] if kept else []))
    fields = {"name": "question", "length": LENGTH, "vocabulary": vocabulary, **text}
    return Manifest(
        task="question",
        model=ModelInfo("test_vqa", 1.0),
        inputs=(ImageInput("image", *SIZE, "rgb"), TextInput(**fields)),
        labels=ANSWERS,
        decoder=AnswerDecoder(kept=KeptPicture("picture", UNITS) if kept else None),
        outputs=outputs,
    )


def make_model(*, batch: int | str = 1) -> ModelProto:
    """A graph whose logits are of the picture's mean colour times what its words add up to, named as published."""
    nodes = [
        helper.make_node("Cast", ["image"], ["seen/floats"], "seen/Cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["seen/floats"], ["seen/means"], "seen/ReduceMean", axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["seen/means", "of_picture"], ["seen/vector"], "seen/MatMul"),
        helper.make_node("Gather", ["of_words", "question"], ["read/words"], "read/Gather"),
        helper.make_node("ReduceSum", ["read/words", "axes"], ["read/sum"], "read/ReduceSum", keepdims=0),
        helper.make_node("Mul", ["seen/vector", "read/sum"], ["joined"], "joined/Mul"),
        helper.make_node("MatMul", ["joined", "to_logits"], ["logits"], "logits/MatMul"),
    ]
    weights = {"of_picture": OF_PICTURE, "of_words": OF_WORDS, "to_logits": TO_LOGITS, "axes": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, *SIZE, 3]),
            helper.make_tensor_value_info("question", TensorProto.INT32, [batch, LENGTH]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(ANSWERS)])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def expected_scores(pixels: np.ndarray, words: list[int]) -> np.ndarray:
    """What a file must answer to the numbers of some words: by hand, in float64."""
    picture = pixels.reshape(-1, 3).mean(axis=0) @ OF_PICTURE.astype(np.float64)
    logits = (picture * OF_WORDS[words].sum(axis=0)) @ TO_LOGITS
    return np.exp(logits) / np.exp(logits).sum()


def write(path: Path, *, batch: int | str = 1, manifest: Manifest | None = None, **evidence: object) -> Path:
    """A stamped file."""
    manifest = manifest or make_manifest()
    path.write_bytes(model_files.stamp(make_model(batch=batch).SerializeToString(), manifest, **evidence))
    return path


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
