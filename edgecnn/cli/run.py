"""`edgecnn run`: answer images with a model file."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgecnn.cli.options import AllowModified, Device, Font, ModelArgument, Threads, check_font
from edgecnn.cli.streams import say, stdout_for_results

if TYPE_CHECKING:
    from edgecnn_runtime import Failure, Result


def run(
    model: ModelArgument,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Files, directories, globs, @list.txt, @- or -."),
    ],
    device: Device = "auto",
    threads: Threads = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="K", help="Classes an answer shows, best first. [default: 5, or 1 where there is a box]"
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Images that run together. [default: as the file fixes it, or 1]"),
    ] = None,
    format: Annotated[
        Literal["text", "json", "jsonl", "csv"],
        typer.Option(help="text and jsonl stream line by line; json is one list."),
    ] = "text",
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save annotated pictures here; it must hold no input.")
    ] = None,
    font: Font = None,
    allow_modified: AllowModified = False,
) -> None:
    """Answer images with a model file. One bad image is one error entry, and exit code 1 at the end.

    JPEG, PNG, WebP, BMP, GIF, TIFF and AVIF are read; of several frames the first is answered. What a directory holds
    besides is counted on stderr; hidden folders and those of systems (.git, @eaDir, ...) are not entered.

    @list.txt is a text of paths, one a line, relative to the working directory; @- reads such a list from stdin, and -
    one image. A file whose own name begins with @ is ./@NAME. URLs, cameras and videos are not read.
    """
    check_font(font, save)
    if sources.count("@-") + ("-" in sources) > 1:
        raise typer.BadParameter("standard input is one list or one image: name it once.", param_hint="SOURCE")
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    with stdout_for_results() as results:
        from edgecnn.cli.answers import answer_writer  # these load ONNX Runtime
        from edgecnn.cli.pictures import PictureFolder, open_typeface
        from edgecnn_runtime import Failure, Predictor
        from edgecnn_runtime.sources import describe, iter_sources, read_stdin
        from edgecnn_runtime.tasks.table import get_task

        typeface = None if save is None else open_typeface(font)
        predictor = Predictor.load(model, device=device, threads=threads, allow_modified=allow_modified)
        if batch is not None and predictor.batch is not None and batch > predictor.batch:
            raise typer.BadParameter(
                f"{model} takes batches of {predictor.batch}, received {batch}. Export it with --batch dynamic.",
                param_hint="--batch",
            )
        task = get_task(predictor.manifest.task)
        limit = task.shown if top_k is None else top_k
        held = "-" if "-" in sources else "@-" if save is not None and "@-" in sources else None  # else as it comes
        stdin = None if held is None else read_stdin(held)
        pictures = (
            None if save is None else PictureFolder(save, sources, limit, model=model, typeface=typeface, stdin=stdin)
        )
        left_out = Counter[str]()
        images = iter_sources(sources, stdin=stdin, left_out=left_out)
        total = failed = 0
        with answer_writer(format, results, limit, task.columns, on_terminal=on_terminal) as writer:
            for answer in predictor.stream(images, batch_size=batch):
                try:
                    if pictures is not None:
                        answer = pictures.saved(answer, _image(answer, stdin))
                finally:  # where the disk is full, the answer is finished all the same
                    writer.write(answer)
                total, failed = total + 1, failed + isinstance(answer, Failure)
    if pictures is not None and pictures.warning:
        say(f"edgecnn: {pictures.warning}")
    if left_out:
        say(f"edgecnn: left out {describe(left_out)}")
    if failed:
        say(f"edgecnn: {failed} of {total} images failed")
        raise typer.Exit(1)


def _image(answer: Result | Failure, stdin: bytes | Failure | None) -> str | bytes:
    """Returns what was answered; no file is called "-" among sources."""
    return stdin if answer.source == "-" and isinstance(stdin, bytes) else str(answer.source)
