"""`edgecnn run`: answer images with a model file."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgecnn.cli.beside import (
    ProposalsOption,
    QuestionOption,
    QuestionsOption,
    check_questions,
    proposals_for,
    read_proposals,
    read_questions,
)
from edgecnn.cli.options import AllowModified, Device, Font, ModelArgument, Threads, check_font
from edgecnn.cli.plain_options import Layout, Pixels, PlainImageSize, refuse_given
from edgecnn.cli.raw import RawOptions, run_raw
from edgecnn.cli.streams import say, stdout_for_results

if TYPE_CHECKING:
    from edgecnn_runtime import Failure, Predictor, Result

ScoreThreshold = Annotated[
    str | None,
    typer.Option(
        metavar="N|CLASS=N,...",
        help="Least score of a box: one number for all classes, or some classes' own; or of a class, below which an "
        "answer is unsure. [default: as the file says]",
    ),
]
IouThreshold = Annotated[
    float | None,
    typer.Option(metavar="N", help="Boxes that overlap a better one so much are dropped. [default: as the file says]"),
]
MaxDetections = Annotated[
    int | None, typer.Option(metavar="N", help="Boxes an image has at most, the best. [default: as the file says]")
]
Agnostic = Annotated[
    bool | None,
    typer.Option(
        "--agnostic/--no-agnostic",
        help="Whether boxes of different classes drop each other too. [default: as the file says]",
        show_default=False,
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="CLASS,...", help="Answer these classes alone, by name or number. [default: all]"),
]


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
            min=1,
            metavar="K",
            help="Predictions an answer shows, best first. [default: 5 classes, or 1 with its box, or all boxes]",
        ),
    ] = None,
    score_threshold: ScoreThreshold = None,
    iou_threshold: IouThreshold = None,
    max_detections: MaxDetections = None,
    agnostic: Agnostic = None,
    classes: Classes = None,
    question: QuestionOption = None,
    questions: QuestionsOption = None,
    proposals: ProposalsOption = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Images that run together. [default: as the file fixes it, or 1]"),
    ] = None,
    format: Annotated[
        Literal["text", "json", "jsonl", "csv", "coco", "yolo"],
        typer.Option(help="text, jsonl, yolo stream line by line; json, coco are one list. yolo holds boxes."),
    ] = "text",
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save annotated pictures here; it must hold no input.")
    ] = None,
    font: Font = None,
    crop: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save each box as a picture here; it must hold no input.")
    ] = None,
    txt: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save a YOLO .txt an image here; it must hold no input.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save a PNG of class ids an image here; it must hold no input."),
    ] = None,
    polygons: Annotated[bool, typer.Option("--polygons", help="Of masks, the outlines in json and jsonl too.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="The numbers of each output instead of answers; of any ONNX file.")
    ] = False,
    layout: Layout = None,
    image_size: PlainImageSize = None,
    pixels: Pixels = None,
    allow_modified: AllowModified = False,
) -> None:
    """Answer images with a model file. One bad image is one error entry, and exit code 1 at the end.

    JPEG, PNG, WebP, BMP, GIF, TIFF and AVIF are read; of several frames the first is answered. What a directory holds
    besides is counted on stderr; hidden folders and those of systems (.git, @eaDir, ...) are not entered.

    @list.txt is a text of paths, one a line, relative to the working directory; @- reads such a list from stdin, and -
    one image. A file whose own name begins with @ is ./@NAME. URLs, cameras and videos are not read.

    A model that answers questions is asked each --question, and each line of --questions, about every picture. One that
    looks at regions which it does not propose itself takes them of --proposals, or of selective search (extra rcnn).

    --format coco is the list of results that COCO's tools read: image_id is the number that a file's name is, or else
    that name, and category_id counts the classes from 1; of a segmenter each class is one mask, with a score of 1.
    --format yolo has a line "# SOURCE" an image and one a box:
    class from 0, centre x, centre y, width and height as parts of the image, score.

    --raw prints, for each image, what the graph gives: the largest numbers of a vector (no softmax is taken), of other
    outputs the spread; json and jsonl hold up to 10,000 numbers of each. It takes plain ONNX too, whose one image input
    is guessed from its graph.
    """
    if sources.count("@-") + ("-" in sources) > 1:
        raise typer.BadParameter("standard input is one list or one image: name it once.", param_hint="SOURCE")
    if raw:
        read_otherwise = {
            **{
                "--score-threshold": score_threshold,
                "--iou-threshold": iou_threshold,
                "--agnostic": None if agnostic is None else "it",
            },
            **{"--max-detections": max_detections, "--classes": classes, "--question": question, "--batch": batch},
            **{"--questions": questions, "--proposals": proposals, "--save": save, "--font": font, "--crop": crop},
            **{"--txt": txt, "--masks": masks, "--polygons": polygons},
        }
        refuse_given(read_otherwise, "with --raw, which prints numbers as the graph gives them")
        refuse_given({"--format": format if format in ("csv", "coco", "yolo") else None}, f"as {format} with --raw")
        options = RawOptions(device, threads, top_k, allow_modified, layout, image_size, pixels)
        with stdout_for_results() as results:
            run_raw(model, sources, format, results, options)
        return
    told = {"--layout": layout, "--image-size": image_size, "--pixels": pixels}
    refuse_given(told, "without --raw, since the manifest says what the file takes")
    check_font(font, save)
    _check_own_folders({"--save": save, "--crop": crop, "--txt": txt, "--masks": masks})
    if polygons and format not in ("json", "jsonl"):
        raise typer.BadParameter(f"it needs --format json or jsonl, received {format}.", param_hint="--polygons")
    asked_of_each, regions = read_questions(question, questions), read_proposals(proposals)
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    with stdout_for_results() as results:
        from edgecnn.cli.answers import (  # these load ONNX Runtime
            BOXES,
            FORMS,
            MASKS,
            answer_writer,
            check_regions,
            say_end,
        )
        from edgecnn.cli.decoder_options import DecoderOptions, changed_predictor
        from edgecnn.cli.pictures import CropFolder, LabelFolder, MaskFolder, PictureFolder, open_typeface
        from edgecnn_runtime import Failure, Predictor
        from edgecnn_runtime.sources import iter_sources, read_stdin
        from edgecnn_runtime.tasks.table import get_task

        typeface = None if save is None else open_typeface(font)
        predictor = Predictor.load(model, device=device, threads=threads, allow_modified=allow_modified)
        _check_batch(predictor, batch, model)
        check_questions(predictor, asked_of_each)
        proposed = proposals_for(predictor, regions)
        asked = DecoderOptions(score_threshold, iou_threshold, max_detections, agnostic, classes)
        predictor = changed_predictor(predictor, asked)
        task = get_task(predictor.manifest.task)
        check_regions(
            task,
            {
                "--format": (FORMS.get(format) and format, FORMS.get(format, BOXES)),
                "--crop": (crop, BOXES),
                "--txt": (txt, BOXES),
                "--masks": (masks, MASKS),
                "--polygons": ("it" if polygons else None, MASKS),
            },
        )
        limit = task.shown if top_k is None else top_k
        is_saved = any(folder is not None for folder in (save, crop, txt, masks))
        held = "-" if "-" in sources else "@-" if is_saved and "@-" in sources else None  # else as it comes
        stdin = None if held is None else read_stdin(held)
        kinds = ((PictureFolder, save), (CropFolder, crop), (LabelFolder, txt), (MaskFolder, masks))
        folders = [
            kind(
                *(folder, sources, limit),
                model=model,
                beside={"--questions": questions, "--proposals": proposals},
                typeface=typeface if folder is save else None,
                stdin=stdin,
            )
            for kind, folder in kinds
            if folder is not None
        ]
        left_out = Counter[str]()
        images = iter_sources(sources, stdin=stdin, left_out=left_out)
        total = failed = 0
        asks = asked_of_each is not None
        with answer_writer(
            *(format, results, limit, task.columns), polygons=polygons, asks=asks, on_terminal=on_terminal
        ) as writer:
            for answer in predictor.stream(images, batch_size=batch, questions=asked_of_each, proposals=proposed):
                try:
                    for folder in folders:
                        answer = folder.saved(answer, _image(answer, stdin))
                finally:  # where the disk is full, the answer is finished all the same
                    writer.write(answer)
                total, failed = total + 1, failed + isinstance(answer, Failure)
    for folder in folders:
        if folder.warning:
            say(f"edgecnn: {folder.warning}")
    say_end(left_out, failed, total, "answers" if asked_of_each else "images")


def _check_batch(predictor: Predictor, batch: int | None, model: str) -> None:
    if batch is not None and predictor.batch is not None and batch > predictor.batch:
        raise typer.BadParameter(
            f"{model} takes batches of {predictor.batch}, received {batch}. Export it with --batch dynamic.",
            param_hint="--batch",
        )


def _check_own_folders(folders: Mapping[str, Path | None]) -> None:
    """Refuses a folder that two options name.

    Args:
        folders: by option; None where it was not given.

    Raises:
        typer.BadParameter: names both.
    """
    taken: dict[Path, str] = {}
    for option, folder in folders.items():
        if folder is not None and (other := taken.setdefault(folder.resolve(), option)) != option:
            raise typer.BadParameter(f"it is that of {other}, {folder}. Name another folder.", param_hint=option)


def _image(answer: Result | Failure, stdin: bytes | Failure | None) -> str | bytes:
    """Returns what was answered; no file is called "-" among sources."""
    return stdin if answer.source == "-" and isinstance(stdin, bytes) else str(answer.source)
