"""Plain ONNX files, of other tools: without manifest and evidence, so that what they take is guessed from the graph."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.agreement import check_batch
from edgecnn_runtime.allocation import release_free_memory
from edgecnn_runtime.container import read_model_file
from edgecnn_runtime.errors import ModelFileError, PlainInputError, ResourceError
from edgecnn_runtime.images import MAX_PIXELS, ImageSource
from edgecnn_runtime.inputs import Prepared
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.model import Feeds
from edgecnn_runtime.pixel_scaling import PIXEL_SCALINGS, PixelScalingName
from edgecnn_runtime.preflight import GraphFacts, check_graph
from edgecnn_runtime.preprocessing import Preprocessor
from edgecnn_runtime.providers import Device
from edgecnn_runtime.session import Session, TensorInfo

Layout = Literal["nchw", "nhwc"]
PlainDtype = Literal["uint8", "float16", "float32"]

_AXES: Mapping[Layout, tuple[int, int, int]] = {"nchw": (1, 2, 3), "nhwc": (3, 1, 2)}  # of channels, height, width
_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True)
class PlainInput:
    """The image input of a plain file, as it is guessed from the graph and from what the user said.

    Attributes:
        name: in the graph.
        dtype: of the pixels.
        layout: whether channels stand before height and width or behind them.
        height: pixels.
        width: pixels.
        channels: 3, taken for red, green and blue, or 1, taken for gray.
        batch: images a run; None where the graph takes any number, of which it is given one.
    """

    name: str
    dtype: PlainDtype
    layout: Layout
    height: int
    width: int
    channels: int
    batch: int | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array that a run is given."""
        image = (self.height, self.width, self.channels)
        ordered = image if self.layout == "nhwc" else (self.channels, self.height, self.width)
        return (self.batch or 1, *ordered)

    def check_scaling(self, pixels: PixelScalingName) -> None:
        """Refuses a way of scaling that the input has no room for.

        Raises:
            PlainInputError: it makes fractions for whole numbers, or is of three channels where there is one.
        """
        if pixels != "raw" and self.dtype == "uint8":
            raise PlainInputError(
                f"input {self.name!r} takes uint8: expected pixels 'raw', as they are, received {pixels!r} (--pixels)"
            )
        if PIXEL_SCALINGS[pixels].channels not in (None, self.channels):
            raise PlainInputError(
                f"input {self.name!r} has {self.channels} channel: expected pixels 'raw', 'unit' or 'signed', received "
                f"{pixels!r}, which is of three (--pixels)"
            )


def guess_input(
    inputs: Sequence[TensorInfo], *, layout: Layout | None = None, image_size: tuple[int, int] | None = None
) -> PlainInput:
    """Returns the one image input of a graph; what the graph leaves open must be said.

    Channels are where a 1 or a 3 stands: behind the batch, or at the end.

    Args:
        inputs: of the graph, without those that have a default.
        layout: needed where channels may stand at both places.
        image_size: (height, width); needed where the graph takes any.

    Raises:
        ModelFileError: the graph takes no image, or something beside it.
        PlainInputError: the graph leaves open what was not said, or contradicts what was.
    """
    if len(inputs) != 1:
        raise ModelFileError(
            f"expected one input, an image, received {len(inputs)}: {'; '.join(map(_described, inputs)) or 'none'}"
        )
    (info,) = inputs
    what = f"input {_described(info)}"
    if str(info.dtype) not in get_args(PlainDtype):
        raise ModelFileError(f"{what}: expected an image of uint8, float16 or float32, received {info.dtype}")
    if len(info.shape) != 4:
        raise ModelFileError(f"{what}: expected an image of four axes, received {len(info.shape)}")
    layout = _layout(info, what, layout)
    channels, height, width = (info.shape[axis] for axis in _AXES[layout])
    height, width = _size((height, width), what, image_size)
    batch = info.shape[0] if isinstance(info.shape[0], int) else None
    check_batch(batch, height * width * cast(int, channels) * info.dtype.itemsize)
    return PlainInput(info.name, cast(PlainDtype, str(info.dtype)), layout, height, width, cast(int, channels), batch)


@dataclass(frozen=True, slots=True)
class PlainFile:
    """A plain file that was looked through and loaded.

    Attributes:
        name: what messages call it; the path.
        size_bytes: all of it.
        sha256: hex digest of all of it.
        opset: of the default ONNX domain.
        ir_version: of the ONNX file.
        facts: what the graph is made of.
        session: the loaded graph.
    """

    name: str
    size_bytes: int
    sha256: str
    opset: int
    ir_version: int
    facts: GraphFacts
    session: Session


def load_plain_file(
    path: str | os.PathLike[str], *, device: Device = "auto", threads: int | None = None, spinning: bool = False
) -> PlainFile:
    """Loads a plain ONNX file, whatever it takes, once its graph is seen to hold nothing but networks do.

    Args:
        path: of the file.
        device: as for `Predictor.load`.
        threads: likewise.
        spinning: likewise.

    Raises:
        ModelFileError: the file is missing, damaged, one of edgecnn's, refused by `check_graph`, or needs a newer opset
            or IR version.
        ResourceError: memory or threads ran out.
        ProviderError: device "cuda" cannot be used here.
    """
    file = read_model_file(path)
    with contextlib.closing(file.payload):
        if not file.is_plain:
            raise ModelFileError(f"{file.name}: expected a plain ONNX file, received one of edgecnn's. Use Predictor.")
        facts = check_graph(file)
        try:
            session = Session(file.payload, device=device, threads=threads, spinning=spinning)
        except (ModelFileError, ResourceError) as error:
            raise type(error)(f"{file.name}: {error}") from error
    release_free_memory()
    return PlainFile(file.name, file.payload.size_bytes, file.sha256, file.opset, file.ir_version, facts, session)


class PlainModel:
    """A plain file that takes one image; what its numbers mean is not known.

    Attributes:
        file: the loaded file.
        input: what it takes.
        pixels: how pixels are scaled.
    """

    def __init__(
        self,
        file: PlainFile,
        *,
        layout: Layout | None = None,
        image_size: tuple[int, int] | None = None,
        pixels: PixelScalingName = "raw",
    ) -> None:
        """Guesses what a file takes.

        Args:
            file: the file.
            layout: as for `guess_input`.
            image_size: likewise.
            pixels: a name of `PIXEL_SCALINGS`; "raw" gives them as they are, 0 to 255.

        Raises:
            ModelFileError: as `guess_input`.
            PlainInputError: likewise, or the scaling does not fit the input.
        """
        try:
            self.input = guess_input(file.session.inputs, layout=layout, image_size=image_size)
            self.input.check_scaling(pixels)
        except (ModelFileError, PlainInputError) as error:
            raise type(error)(f"{file.name}: {error}") from error
        self.file, self.pixels = file, pixels
        color: Literal["rgb", "gray"] = "rgb" if self.input.channels == 3 else "gray"
        self._preprocess = Preprocessor(ImageInput(self.input.name, self.input.height, self.input.width, color))

    @property
    def provider(self) -> str:
        """The execution provider that runs the graph."""
        return self.file.session.provider

    def prepare(self, image: ImageSource) -> Prepared:
        """Returns the array of one image, stretched to the input's size; a fixed batch is filled with it.

        Args:
            image: as `Preprocessor` takes it.

        Raises:
            ImageError: the image cannot be read or is refused.
        """
        pixels, placement = self._preprocess(image)  # (1, H, W, C)
        array: npt.NDArray[Any] = pixels
        if self.input.dtype != "uint8":
            array = PIXEL_SCALINGS[self.pixels].apply(pixels).astype(self.input.dtype, copy=False)
        if self.input.layout == "nchw":
            array = array.transpose(0, 3, 1, 2)  # (1, C, H, W)
        array = np.ascontiguousarray(np.broadcast_to(array, self.input.shape))  # (batch, ...)
        return Prepared({self.input.name: array}, placement)

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs of the image that `prepare` made ready; of a fixed batch its first row alone.

        Raises:
            SessionError: the run failed.
        """
        outputs, batch = self.file.session.run(feeds), self.input.batch
        if batch in (None, 1):
            return outputs
        return {name: values[:1] if values.shape[:1] == (batch,) else values for name, values in outputs.items()}


def _layout(info: TensorInfo, what: str, said: Layout | None) -> Layout:
    possible = [layout for layout, (axis, _, _) in _AXES.items() if info.shape[axis] in _CHANNELS]
    if said is None and len(possible) == 2:
        raise PlainInputError(
            f"{what}: its channels may stand first or last. Say which, with --layout nchw or --layout nhwc "
            "(layout='nchw')."
        )
    if not possible:
        raise ModelFileError(f"{what}: expected an image of 1 or 3 channels, behind the batch or at the end")
    if said is not None and said not in possible:
        raise PlainInputError(
            f"{what}: expected 1 or 3 channels where layout {said!r} has them (--layout), received "
            f"{info.shape[_AXES[said][0]]}"
        )
    return possible[0] if said is None else said


def _size(fixed: tuple[int | str, int | str], what: str, said: tuple[int, int] | None) -> tuple[int, int]:
    if said is None and not all(isinstance(side, int) for side in fixed):
        raise PlainInputError(
            f"{what}: it takes any height or width. Say which, with --image-size H,W (image_size=(H, W))."
        )
    height, width = fixed if said is None else said
    if said is not None and any(
        isinstance(side, int) and side != asked for side, asked in zip(fixed, said, strict=True)
    ):
        raise PlainInputError(f"{what}: expected its own height and width, received {height},{width} (--image-size)")
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise ModelFileError(f"{what}: expected a height and width of 1 or more, received {height} x {width}")
    if height * width > MAX_PIXELS:
        raise ModelFileError(f"{what}: expected at most {MAX_PIXELS // 1_000_000} megapixels")
    return height, width


def _described(info: TensorInfo) -> str:
    return f"{info.name!r:.100}, {info.dtype} ({', '.join(map(str, info.shape)):.100})"
