"""What a task must be able to say; nothing outside the rooms of the tasks asks which one it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.decoders import OutputSpec, TaskName
from edgecnn_runtime.errors import OutputError, SessionError
from edgecnn_runtime.evidence import DecodedParity
from edgecnn_runtime.golden import Held
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result

_RUN = 8000  # numbers; OpenBLAS starts its threads above 10,000
_MANY = 8 * _RUN

Regions = Literal["boxes", "masks"]
R = TypeVar("R", bound=Result)
Outputs = Mapping[str, npt.NDArray[Any]]


class Masks(Protocol):
    """What a result says besides where its task's regions are masks."""

    def names(self) -> list[str]:
        """Returns a name for each class, in the order of their ids."""
        ...

    def palette_image(self) -> Image.Image:
        """Returns the class of every pixel as a picture of mode "P", whose indices are the ids."""
        ...

    def polygons(self, class_id: int) -> list[list[tuple[int, int]]]:
        """Returns the outlines of a class: rings of (x, y) along the edges of pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two results of one image are apart.

    Attributes:
        same: whether both put the same answer first.
        margin: how sure the reference is of it: the logarithm of its best score over its second; infinite without one.
        largest_log: the largest |logarithm of a score| of the reference, which what is lost by rounding is a part of.
        differences: of each kind of number, the largest difference: absolute, for people.
        relative: likewise, as the gate of that name judges it.
        compared: how many answers were: one, where a result is one answer; 0 where neither side has any to judge.
        changed: where `same` is false, which part of the answer is another, 0 to 1.
    """

    same: bool
    margin: float
    largest_log: float
    differences: Mapping[str, float]
    relative: Mapping[str, float]
    compared: int = 1
    changed: float = 1.0


class Task(Protocol[R]):
    """A kind of result: from raw outputs to it, and how two of them are compared.

    Attributes:
        name: as manifests write it.
        word: what YOLO runtimes call it; None where none of them would read the outputs for what they are.
        columns: of a prediction in CSV: its keys, those of objects in it in their place.
        regions: what a prediction says of where it is: boxes, masks, or nothing.
        shown: how many predictions an answer shows where nobody says how many.
        unsure: whether its results have a `least_score`, below which they list no prediction.
    """

    name: TaskName
    word: str | None
    columns: tuple[str, ...]
    regions: Regions | None
    shown: int
    unsure: bool

    def decode(self, manifest: Manifest, outputs: Outputs, placements: Sequence[Placement]) -> list[R]:
        """Returns one result an image.

        Args:
            manifest: of the model that gave the outputs.
            outputs: raw outputs by name, N rows each, floating point.
            placements: one an image, N of them.

        Raises:
            OutputError: an output that is read holds NaN or infinity.
            SessionError: an output is missing or has another shape than the manifest declares.
        """
        ...

    def compared_by(self, manifest: Manifest, outputs: Outputs) -> Manifest:
        """Returns the manifest by which a file and its source are compared: one by which there are answers.

        Args:
            manifest: of both; what is returned may differ from it in what is kept of the answers alone.
            outputs: the source's raw outputs of the first images, one or more, finite.
        """
        ...

    def aligned(self, manifest: Manifest, reference: Outputs, candidate: Outputs, *, exact: bool) -> Outputs:
        """Returns the candidate's outputs with its rows in the reference's order, where rounding decides on the order.

        Asked of decoders that rank alone.

        Args:
            manifest: of both.
            reference: raw outputs by name, N rows each, finite.
            candidate: likewise.
            exact: whether the candidate has the reference's precision.
        """
        ...

    def agreement(self, reference: R, candidate: R) -> Agreement:
        """Returns how far the candidate's result is from the reference's, of one image."""
        ...

    def parity(self, images: int, agreeing: int, differences: Mapping[str, float], compared: int) -> DecodedParity:
        """Returns the record for the evidence.

        Args:
            images: how many were compared.
            agreeing: on how many the first answers are the same.
            differences: the largest ones, by the names that `agreement` gives.
            compared: how many answers, over all images.
        """
        ...

    def hold(self, result: R, limit: int | None = None) -> Held:
        """Returns what a golden sample holds of a result.

        Args:
            result: of the sample's image.
            limit: the most answers that are held; None for all there are.
        """
        ...


def read_output(spec: OutputSpec, outputs: Outputs, images: int) -> npt.NDArray[Any]:
    """Returns a raw output, once its shape and numbers are checked.

    Args:
        spec: of the output.
        outputs: raw outputs by name.
        images: how many rows there must be.

    Raises:
        OutputError: it holds NaN or infinity.
        SessionError: it is missing, or has another shape than the manifest declares.
    """
    received = shaped_output(spec, outputs, images)
    check_finite(spec.name, received)
    return received


def shaped_output(spec: OutputSpec, outputs: Outputs, images: int) -> npt.NDArray[Any]:
    """Returns a raw output as `read_output` does, for a task that checks those numbers alone that it reads.

    Raises:
        SessionError: it is missing, or has another shape than the manifest declares.
    """
    if spec.name not in outputs:
        raise SessionError(f"outputs: expected {spec.name!r}, received {sorted(outputs)}")
    received, expected = outputs[spec.name], (images, *spec.shape)
    if received.shape != expected and not _fits(received.shape, expected):
        raise SessionError(f"output {spec.name!r}: expected shape {expected}, received {received.shape}")
    return received


def check_finite(name: str, values: npt.NDArray[Any]) -> None:
    """Refuses numbers that no answer can be read from.

    Args:
        name: of the output.
        values: that are read of it, of any shape.

    Raises:
        OutputError: one is NaN or infinite.
    """
    if not _is_finite(values):
        invalid = values.size - np.count_nonzero(np.isfinite(values))
        raise OutputError(
            f"output {name!r}: expected finite numbers, received {invalid} NaN or infinite of {values.size}, so no "
            "answer can be read from it. The weights or the input are damaged."
        )


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a shape is as expected, where any size will do for None."""
    return len(shape) == len(expected) and all(size in (None, got) for got, size in zip(shape, expected, strict=True))


def _is_finite(values: npt.NDArray[Any]) -> bool:
    """Whether no number is NaN or infinite.

    Of many numbers the sum of the squares tells so in half the time or less, where it does not overflow itself. It is
    taken in runs that BLAS does not share out to threads, which would spin in the way of ONNX Runtime's afterwards.
    """
    flat = values.reshape(-1)
    whole = flat.size // _RUN * _RUN
    if whole < _MANY or values.dtype != np.float32:
        return bool(np.isfinite(flat).all())
    runs = flat[:whole].reshape(-1, 1, _RUN)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.matmul(runs, runs.transpose(0, 2, 1))
    return bool((np.isfinite(squares).all() and np.isfinite(flat[whole:]).all()) or np.isfinite(flat).all())
