"""Makes the golden samples of a file: tiny pictures, encoded in several ways, and what the file makes of them."""

import base64
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.proof.differences import OutputDifference
from edgecnn_exporters.proof.gates import TENSOR_BUDGET
from edgecnn_exporters.proof.synthetic import synthetic_pictures, synthetic_proposals, synthetic_questions
from edgecnn_runtime.errors import OutputError
from edgecnn_runtime.evidence import Gate
from edgecnn_runtime.golden import ALIKE, ELSEWHERE, MAX_BYTES, MAX_SAMPLES, GoldenSample, Tolerance, Trace
from edgecnn_runtime.images import ImageSource, open_image
from edgecnn_runtime.inputs import Prepared, preprocessor_of
from edgecnn_runtime.manifest import Color
from edgecnn_runtime.model import Model
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.tasks.table import decode, get_task
from edgecnn_runtime.tiles import of_pictures
from edgecnn_runtime.verification import describe

_MODES: Mapping[Color, str] = {"rgb": "RGB", "gray": "L"}
_SIDES = (96, 64, 48, 32, 24, 16)  # pixels of the longer side, tried until the encoded picture is small enough
_ENCODED_BYTES = 8192  # four of them in base64, and their answers, are below MAX_BYTES
_ENLARGED = 1.5  # a picture of the input's own size is enlarged by this, so that it is resized on its way in
_QUALITY = 90
_ORIENTATION, _LIES_ON_ITS_LEFT = 0x0112, 6  # EXIF: turn by 90 degrees clockwise to display
_HELD = 5  # answers


@dataclass(frozen=True, slots=True)
class _Limits:
    """How far answers of one precision may be apart.

    Attributes:
        elsewhere: between this machine and one that computes otherwise; it travels in the file.
        source: between the file and its source, relative to the largest value of a raw output.
        of: which sample's difference from the source counts: the largest, or the one in the middle.
    """

    elsewhere: Tolerance
    source: float
    of: Callable[[Sequence[float]], float] = max


# Between the file and its source. int8: 0.23 at most was measured; whether int8 is right enough is for the accuracy
# gate to say, this only finds another picture or order, which all samples show. A single one may be an image that
# trimmed ranges cut: 0.6 in a file with .995 of the best classes.
LIMITS: Mapping[str, _Limits] = {
    "float32": _Limits(ALIKE, source=TENSOR_BUDGET),
    "float16": _Limits(ELSEWHERE["float16"], source=2e-2),
    "int8": _Limits(ELSEWHERE["int8"], source=0.5, of=median),
}


@dataclass(frozen=True, slots=True)
class Golden:
    """What travels, and how far it is from the source.

    Attributes:
        samples: for the evidence.
        gate: the largest difference on any raw output of a sample, relative to that output's largest value: of the
            worst sample, in int8 of the one in the middle.
    """

    samples: tuple[GoldenSample, ...]
    gate: Gate


def make_golden(
    predictor: Predictor,
    reference: Model,
    pictures: Iterable[ImageSource] | None,
    *,
    precision: str,
    count: int = MAX_SAMPLES,
    raw: Predictor | None = None,
    questions: Sequence[str] | None = None,
) -> Golden:
    """Returns the golden samples of a file, as it answers them itself, compared with its source.

    Args:
        predictor: of the file, on the CPU; one thread gives the same bytes on machines of any number of processors.
        reference: the source, which is given the same pixels.
        pictures: the first `count` are taken; None or none takes seeded synthetic ones.
        precision: of the file, a key of `LIMITS`.
        count: of the samples, 1 to 4.
        raw: gives the raw outputs that the source gives, where the file's graph decodes them by itself or has others
            beside them; None for a file that gives them and no more.
        questions: one a sample, in turn where there are fewer; None takes synthetic ones, where the file takes any.

    Raises:
        ExportError: the samples are larger than a file may hold.
        ImageError: a picture cannot be read.
    """
    taken = list(itertools.islice(() if pictures is None else pictures, count)) or synthetic_pictures(count)
    limits, samples, apart = LIMITS[precision], [], list[float]()
    reference, _ = of_pictures(reference, predictor.manifest, None)
    color, least = predictor.manifest.image_input.color, preprocessor_of(predictor.manifest).least_side
    encodings = itertools.islice(_encode([open_image(picture) for picture in taken], color, least), count)
    for (name, encoded), question in zip(encodings, _asked(predictor, questions), strict=False):
        regions = _looked_at(predictor, encoded)
        prepared = predictor.inputs(encoded, question, proposals=regions)
        try:
            trace, difference = _trace(predictor, raw or predictor, reference, prepared, exact=precision == "float32")
        except OutputError:  # NaN or infinity, which JSON does not hold
            return Golden((), Gate("golden.outputs", limits.source, sys.float_info.max, passed=False))
        apart.append(difference)
        image = base64.b64encode(encoded).decode()
        samples.append(GoldenSample(name, image, question, regions, trace, ALIKE, limits.elsewhere))
    _check_size(samples)
    difference = limits.of(apart)
    return Golden(tuple(samples), Gate("golden.outputs", limits.source, difference, difference <= limits.source))


def _asked(predictor: Predictor, questions: Sequence[str] | None) -> Iterator[str | None]:
    """Yields a question a sample without end, or None where the file takes none."""
    spec = predictor.manifest.text_input
    if spec is None:
        return itertools.repeat(None)
    return itertools.cycle(questions or synthetic_questions(spec, MAX_SAMPLES))


def _looked_at(predictor: Predictor, encoded: bytes) -> tuple[tuple[float, ...], ...] | None:
    """Returns the boxes of a picture that a file looks at; None where it takes none."""
    if predictor.manifest.proposals_input is None:
        return None
    size = predictor.inputs(encoded, proposals=()).placement.image_size
    return tuple(map(tuple, synthetic_proposals(size)))


def _trace(
    predictor: Predictor, raw: Predictor, reference: Model, prepared: Prepared, *, exact: bool
) -> tuple[Trace, float]:
    """Returns the trace of the file's answer with the best ones only, and how far the raw outputs are from the source.

    That is the largest difference.
    """
    answered, expected = predictor.run(prepared.feeds), reference.run(prepared.feeds)
    received = answered if raw is predictor else raw.run(prepared.feeds)
    decode(raw.manifest, expected, [prepared.placement])  # refuses what is not finite
    trace = describe(predictor.manifest, prepared, answered, limit=_HELD)
    compared: Mapping[str, npt.NDArray[Any]] = received
    if raw.manifest.decoder.ranks():
        compared = get_task(raw.manifest.task).aligned(raw.manifest, expected, received, exact=exact)
    differences = [OutputDifference(output.name) for output in raw.manifest.outputs]
    for output in differences:
        output.update(expected[output.output], compared[output.output], np.zeros(1, np.intp))
    return trace, max(output.max_relative for output in differences)


def _encode(pictures: Sequence[Image.Image], color: Color, least: int) -> Iterator[tuple[str, bytes]]:
    """Yields four small encoded images with their names: each picture once, or in turn where there are fewer.

    Between them they are PNG and JPEG, of the input's own size and of another, of either colour, upright and turned. No
    side is below `least` pixels, whatever that does to the shape of a long and narrow picture.
    """
    own = [picture.convert(_MODES[color]) for _, picture in zip(range(MAX_SAMPLES), itertools.cycle(pictures))]
    yield "plain.png", _smallest(own[0], lambda picture: _encoded(picture, "PNG"), least)
    larger = _scaled(own[1], _ENLARGED, _ENLARGED)
    yield "resized.jpg", _smallest(larger, lambda picture: _encoded(picture, "JPEG"), least)
    yield "turned.jpg", _smallest(_scaled(own[2], 1, 4 / 3), _encoded_turned, least)
    if color == "rgb":
        yield "gray.png", _smallest(own[3], lambda picture: _encoded(picture.convert("L"), "PNG"), least)
    else:
        yield "tinted.png", _smallest(own[3], lambda picture: _encoded(_tinted(picture), "PNG"), least)


def _smallest(picture: Image.Image, encode: Callable[[Image.Image], bytes], least: int) -> bytes:
    """Returns the picture, encoded at the largest of a few sizes at which that is small enough."""
    for side in _SIDES:
        factor = min(1.0, side / max(picture.size))
        encoded = encode(_scaled(picture, factor, factor, least=least))
        if len(encoded) <= _ENCODED_BYTES:
            break
    return encoded


def _scaled(picture: Image.Image, vertical: float, horizontal: float, *, least: int = 1) -> Image.Image:
    size = (max(least, round(picture.width * horizontal)), max(least, round(picture.height * vertical)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR)


def _encoded(picture: Image.Image, encoding: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, encoding, optimize=True, quality=_QUALITY, **options)
    return stream.getvalue()


def _encoded_turned(picture: Image.Image) -> bytes:
    """Returns a JPEG that lies on its side and says so, as cameras write it."""
    exif = Image.Exif()
    exif[_ORIENTATION] = _LIES_ON_ITS_LEFT
    return _encoded(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def _tinted(picture: Image.Image) -> Image.Image:
    """Returns an RGB picture whose channels differ, so that their weights in the way to gray count."""
    return Image.merge("RGB", [picture.point([value * share // 4 for value in range(256)]) for share in (4, 3, 2)])


def _check_size(samples: Sequence[GoldenSample]) -> None:
    size = sum(len(json.dumps(asdict(sample), separators=(",", ":"))) for sample in samples)
    if size > MAX_BYTES:
        raise ExportError(
            f"golden samples: expected at most {MAX_BYTES} bytes, received {size}. Shorten the model's labels."
        )
