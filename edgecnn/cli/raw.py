"""`edgecnn run --raw`: the numbers that a graph gives, of plain ONNX files and of edgecnn's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import typer

from edgecnn.cli.options import DeviceName
from edgecnn.cli.plain_options import refuse_given
from edgecnn.cli.streams import Results, say

if TYPE_CHECKING:
    from edgecnn.cli.answers import AnswerWriter
    from edgecnn_runtime.pixel_scaling import PixelScalingName
    from edgecnn_runtime.plain import Layout
    from edgecnn_runtime.raw import RawAnswer, RawModel

_SHOWN = 5  # numbers of a vector


@dataclass(frozen=True, slots=True)
class RawOptions:
    """What `run --raw` was asked for; None for what was not.

    Attributes:
        device: where to run.
        threads: of the CPU.
        top_k: how many of the largest numbers of a vector are named.
        allow_modified: whether an altered file of edgecnn's is taken.
        layout: of a plain file.
        image_size: (height, width) of a plain file.
        pixels: how a plain file wants pixels.
    """

    device: DeviceName
    threads: int | None
    top_k: int | None
    allow_modified: bool
    layout: Layout | None
    image_size: tuple[int, int] | None
    pixels: PixelScalingName | None


def run_raw(model: str, sources: Sequence[str], format: str, results: Results, asked: RawOptions) -> None:
    """Writes the raw outputs of each image.

    Args:
        model: path of the file.
        sources: as `edgecnn run` takes them.
        format: "text", "json" or "jsonl".
        results: where they go.
        asked: the options.

    Raises:
        typer.Exit: with 1, where images failed.
    """
    from edgecnn.cli.answers import JsonLinesWriter, JsonWriter, LinesWriter, say_end  # these load ONNX Runtime
    from edgecnn_runtime import Failure
    from edgecnn_runtime.raw import answer_raw
    from edgecnn_runtime.sources import iter_sources

    loaded = _load(model, asked)
    limit = asked.top_k or _SHOWN
    writers: dict[str, Callable[[Results, int], AnswerWriter[RawAnswer]]] = {
        "text": partial(LinesWriter, lines=_lines),
        "json": JsonWriter,
        "jsonl": JsonLinesWriter,
    }
    left_out = Counter[str]()
    total = failed = 0
    with closing(writers[format](results, limit)) as writer:
        for answer in answer_raw(loaded, iter_sources(sources, left_out=left_out)):
            writer.write(answer)
            total, failed = total + 1, failed + isinstance(answer, Failure)
    say_end(left_out, failed, total, "images")


def _load(model: str, asked: RawOptions) -> RawModel:
    from edgecnn_runtime import Predictor
    from edgecnn_runtime.container import is_plain_file
    from edgecnn_runtime.plain import PlainModel, load_plain_file
    from edgecnn_runtime.raw import PredictorOutputs

    told = {"--layout": asked.layout, "--image-size": asked.image_size, "--pixels": asked.pixels}
    if not is_plain_file(model):
        refuse_given(told, f"on {model}, whose manifest says what it takes")
        predictor = Predictor.load(
            model, device=asked.device, threads=asked.threads, allow_modified=asked.allow_modified
        )
        try:
            return PredictorOutputs(predictor)
        except ValueError as error:
            raise typer.BadParameter(f"{error}.", param_hint="--raw") from error
    refuse_given({"--allow-modified": asked.allow_modified}, f"on {model}, plain ONNX, of which nothing is proven")
    pixels = asked.pixels or "raw"
    file = load_plain_file(model, device=asked.device, threads=asked.threads)
    plain = PlainModel(file, layout=asked.layout, image_size=asked.image_size, pixels=pixels)
    given = plain.input
    say(
        f"edgecnn: {model}: plain ONNX, without manifest and evidence; input {given.name}, {given.dtype} "
        f"({', '.join(map(str, given.shape))}), taken for {given.layout}. Pixels are given as {pixels!r}"
        f"{', 0 to 255 as they are' if pixels == 'raw' else ''} (--pixels), pictures stretched; what the file wants is "
        "not known."
    )
    return plain


def _lines(answer: RawAnswer, limit: int) -> list[str]:
    frames = "" if answer.frames == 1 else f", the first of {answer.frames} frames"
    end = f"[{answer.provider}, {answer.inference_ms:.2f} ms{frames}]"
    return [f"{answer.source}: raw {line} {end}" for line in answer.lines(limit)]
