"""What a saved model does with its pixels before its first layer that learns: read from its configuration."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecnn.adopting.architecture import Architecture, Graph, Node, Reference
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScaling

# What changes no pixel's value, or is inactive at inference
_UNCHANGED = {
    *("InputLayer", "Identity", "Cast", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"),
    *("Resizing", "CenterCrop", "ZeroPadding2D", "Cropping2D", "Permute", "Reshape", "ExpandDims", "Squeeze"),
    *("Activation", "Transpose"),
}
_ARITHMETIC = {"Multiply", "TrueDivide", "Divide", "Add", "Subtract"}
_REVERSED = [2, 1, 0]
_MOST_SPAN = 12.0  # of what networks take for 0 to 255: 1 (unit), 2 (signed), 4.6 (torch)
_LEAST_SPAN = 0.4
_PIXELS = (200.0, 300.0)  # the span of pixels as they are, whose mean may be subtracted

# keras.applications' ways, by how the names of its models begin; the longest that fits counts
_FAMILIES: Mapping[str, str] = {
    "vgg": "caffe",
    "resnet": "caffe",
    "resnet50v2": "signed",
    "resnet101v2": "signed",
    "resnet152v2": "signed",
    "mobilenet": "signed",
    "xception": "signed",
    "inception": "signed",
    "nasnet": "signed",
    "densenet": "torch",
}


@dataclass(frozen=True, slots=True)
class FoundScaling:
    """What a model does with its pixels by itself.

    Attributes:
        steps: what does it, in words; empty where it takes them as they come.
        scale: of each channel, what a pixel is multiplied by.
        offset: what is added then.
        learned: whether numbers of it are weights, so that nothing more is known.
        bgr: whether it puts blue first.
    """

    steps: tuple[str, ...] = ()
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    learned: bool = False
    bgr: bool = False

    def takes(self, name: str) -> bool:
        """Returns whether the numbers behind it are usual ones, where the pixels came scaled by that name first.

        Args:
            name: a key of `PIXEL_SCALINGS`.
        """
        if self.learned:
            return name == "raw"
        before = PIXEL_SCALINGS[name]  # type: ignore[index]
        spans = [255 * abs(scale) / std for scale in self.scale for std in before.std]
        most, least = max(spans), min(spans)
        as_they_are = name == "raw" and bool(self.steps) and _PIXELS[0] <= least and most <= _PIXELS[1]
        return as_they_are or (least >= _LEAST_SPAN and most <= _MOST_SPAN)

    def told(self) -> str:
        """Returns it in words."""
        return " and ".join(self.steps)


def usual_scaling(families: Sequence[str]) -> tuple[str, str] | None:
    """Returns the name of a model of keras.applications and how its weights' pixels were scaled; None of others.

    Args:
        families: names of models.

    >>> usual_scaling(["functional_1", "resnet50v2"]), usual_scaling(["efficientnetb0"])
    (('resnet50v2', 'signed'), None)
    """
    for name in families:
        plain = name.lower().replace("_", "")
        fitting = [begin for begin in _FAMILIES if plain.startswith(begin)]
        if fitting and not plain.startswith("mobilenetv3"):  # which scales its pixels itself
            return name, _FAMILIES[max(fitting, key=len)]
    return None


def find_scaling(architecture: Architecture, image: str) -> FoundScaling:
    """Returns what a model does with the pixels of an input, as far as its configuration says.

    Followed are Rescaling, Normalization, and the arithmetic that `preprocess_input` of keras.applications puts into a
    model, through layers that leave a pixel's value as it is, and into nested models.

    Args:
        architecture: of the model.
        image: the input's name.
    """
    graph, found = architecture.graph, FoundScaling()
    if graph is None:
        return found
    walk = _Walk(graph, found)
    first = graph.nodes.get(image)
    if first is None:  # a Sequential model without an input layer begins with what changes the image
        name = next(iter(graph.nodes), None)
        if name is None or not walk.enter((name, 0)):
            return walk.found
    else:
        walk.at = (image, 0)
    while walk.step():
        pass
    return walk.found


class _Walk:
    """Goes from an input on, as long as what follows is known."""

    def __init__(self, graph: Graph, found: FoundScaling) -> None:
        self.graph, self.found = graph, found
        self.at: Reference = ("", 0)
        self._outer: list[tuple[Graph, Reference]] = []

    def step(self) -> bool:
        """Takes the next step; False where the walk ends."""
        while self.at in self.graph.outputs and self._outer:
            self.graph, self.at = self._outer.pop()
        readers = self.graph.readers(self.at)
        if len(readers) == 3 and self._reverses(readers):
            return True
        return len(readers) == 1 and self.enter(readers[0])

    def enter(self, reference: Reference) -> bool:
        """Goes through a layer; False where it ends the walk."""
        node = self.graph.nodes[reference[0]]
        if node.inner is not None:
            if len(node.inner.inputs) == 1:
                self._outer.append((self.graph, reference))
                self.graph, self.at = node.inner, (node.inner.inputs[0], 0)
                return True
            first = next(iter(node.inner.nodes), None)
            if first is None or node.inner.inputs:
                return False
            self._outer.append((self.graph, reference))
            self.graph = node.inner
            return self.enter((first, 0))
        after = _after(node, reference[1], self.found)
        if after is None:
            return False
        self.found, self.at = after, reference
        return True

    def _reverses(self, readers: list[Reference]) -> bool:
        """Goes through x[..., 2], x[..., 1], x[..., 0] and their Stack, as mode "caffe" of Keras reverses colours."""
        taken = []
        for name, call in readers:
            node = self.graph.nodes[name]
            arguments = node.calls[call]
            if node.class_name != "GetItem" or not isinstance(arguments[-1], list):
                return False
            taken.append(arguments[-1][-1])
        stacks = [self.graph.readers(reader) for reader in readers]
        if any(stack != stacks[0] for stack in stacks) or len(stacks[0]) != 1 or taken != _REVERSED:
            return False
        (stack,) = stacks[0]
        if self.graph.nodes[stack[0]].class_name != "Stack":
            return False
        self.found, self.at = _reversed(self.found), stack
        return True


def _after(node: Node, call: int, found: FoundScaling) -> FoundScaling | None:
    """Returns what is found behind a layer; None where it is none that is followed."""
    if node.class_name in _UNCHANGED or node.class_name.startswith("Random"):
        is_linear = node.class_name != "Activation" or node.config.get("activation") in (None, "linear")
        return found if is_linear else None
    if node.class_name == "Rescaling":
        scale, offset = _numbers(node.config.get("scale", 1.0)), _numbers(node.config.get("offset", 0.0))
        if scale is None or offset is None:
            return None
        return _scaled(found, f"Rescaling {node.name!r} ({_told(scale, offset)})", scale, offset)
    if node.class_name == "Normalization":
        mean, variance = (_numbers(node.config.get(name)) for name in ("mean", "variance"))
        if mean is None or variance is None:
            told = f"Normalization {node.name!r}, whose mean and variance are weights"
            return replace(found, steps=(*found.steps, told), learned=True)
        scale = 1 / np.maximum(np.sqrt(variance), 1e-7)
        return _scaled(found, f"Normalization {node.name!r}", scale, -mean * scale)
    if node.class_name == "GetItem" and _is_reversal(node.calls[call]):
        return _reversed(found)
    return _calculated(node, call, found) if node.class_name in _ARITHMETIC else None


def _calculated(node: Node, call: int, found: FoundScaling) -> FoundScaling | None:
    """Returns what is found behind arithmetic with a number, or one a channel."""
    arguments = node.calls[call][:2]
    constants = [numbers for argument in arguments if (numbers := _numbers(argument)) is not None]
    if len(arguments) != 2 or len(constants) != 1:
        return None
    number, last = constants[0], isinstance(arguments[0], tuple)
    one, zero = np.ones(1), np.zeros(1)
    match node.class_name:
        case "Multiply":
            scale, offset = number, zero
        case "Add":
            scale, offset = one, number
        case "Subtract":
            scale, offset = (one, -number) if last else (-one, number)
        case _ if last and number.all():
            scale, offset = 1 / number, zero
        case _:
            return None
    return _scaled(found, _told(scale, offset), scale, offset)


def _scaled(
    found: FoundScaling, step: str, scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
) -> FoundScaling | None:
    before = np.array(found.scale), np.array(found.offset)
    try:
        after, moved = before[0] * scale, before[1] * scale + offset
    except ValueError:  # numbers of unlike channels
        return None
    return replace(
        found,
        steps=found.steps if (scale == 1).all() and not offset.any() else (*found.steps, step),
        scale=tuple(after.tolist()),
        offset=tuple(np.broadcast_to(moved, np.broadcast_shapes(after.shape, moved.shape)).tolist()),
    )


def _reversed(found: FoundScaling) -> FoundScaling:
    step = "red and blue exchanged"
    return replace(
        found, steps=(*found.steps, step), scale=found.scale[::-1], offset=found.offset[::-1], bgr=not found.bgr
    )


def _is_reversal(arguments: Sequence[Any]) -> bool:
    """Whether x[..., ::-1] is taken, as Keras writes it."""
    key = arguments[-1]
    if not isinstance(key, list) or not isinstance(key[-1], dict):
        return False
    config = key[-1].get("config", {})
    return key[-1].get("class_name") == "__slice__" and [config.get(name) for name in ("start", "stop", "step")] == [
        None,
        None,
        -1,
    ]


def _numbers(value: Any) -> npt.NDArray[np.float64] | None:
    """Returns finite numbers, one a channel or one for all; None of anything else."""
    if isinstance(value, dict) and value.get("class_name") in ("__tensor__", "__numpy__"):
        value = value["config"]["value"]
    if isinstance(value, bool) or not isinstance(value, int | float | list):
        return None
    try:
        numbers = np.array(value, np.float64).reshape(-1)
    except (ValueError, TypeError):
        return None
    return numbers if 1 <= numbers.size <= 4 and all(map(math.isfinite, numbers.tolist())) else None


def _told(scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]) -> str:
    """Returns an affine function in words.

    >>> _told(np.array([1 / 127.5]), np.array([-1.0])), _told(np.array([1.0]), np.array([-2.0, 3.0]))
    ('x / 127.5 - 1', 'x - 2, + 3')
    """
    factor = float(scale[0])
    inverse = 1 / factor if factor else 0.0
    text = "x" if factor == 1 else f"x / {inverse:.6g}" if abs(factor) < 1 and factor else f"{factor:.6g} x"
    moved = ", ".join(_signs(offset.tolist()))
    return f"{text} {moved}".strip()


def _signs(numbers: Sequence[float]) -> Iterator[str]:
    for number in numbers:
        if number:
            yield f"{'-' if number < 0 else '+'} {abs(number):.6g}"


def same_scaling(first: PixelScaling, second: PixelScaling) -> bool:
    """Returns whether two scalings are the same function of pixels."""
    values = np.arange(256)[:, np.newaxis].repeat(3, axis=1)
    one, other = ((values - np.array(scaling.mean)) / scaling.std for scaling in (first, second))
    return first.bgr == second.bgr and bool(np.allclose(one, other, atol=1e-3 * float(np.abs(one).max())))


def told_scaling(scaling: PixelScaling | None) -> str:
    """Returns a scaling in words.

    >>> told_scaling(PixelScaling((0.0,), (255.0,))), told_scaling(PixelScaling((1.0, 2.0, 3.0), (1.0,), bgr=True))
    ('unit', '(pixel - 1, 2, 3) / 1, blue first')
    """
    if scaling is None:
        return "not known"
    for name, usual in PIXEL_SCALINGS.items():
        if usual == scaling:
            return name
    mean, std = (", ".join(f"{number:.6g}" for number in numbers) for numbers in (scaling.mean, scaling.std))
    return f"(pixel - {mean}) / {std}{', blue first' if scaling.bgr else ''}"
