"""`edgecnn data`: what a data set holds, and what is wrong with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecnn.cli.options import DATA_HELP, Font, Format, check_font
from edgecnn.cli.streams import Results, say, stdout_for_results
from edgecnn.cli.tables import Table

if TYPE_CHECKING:
    from edgecnn.data.survey import Kind, Survey

_SHOWN = 10


def data(
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)],
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw a sheet of each part here, with boxes, masks or classes.")
    ] = None,
    font: Font = None,
    format: Format = "text",
) -> None:
    """Tell what a data set holds before anyone trains on it: format, parts, classes, sizes, and all that is wrong."""
    check_font(font, save)
    with stdout_for_results() as results, _quiet():
        from edgecnn.cli.pictures import open_typeface  # these load numpy and Pillow
        from edgecnn.cli.progress import counted
        from edgecnn.data.faults import Faults
        from edgecnn.data.load import path_of, read_dataset
        from edgecnn.data.sheets import draw_sheet
        from edgecnn.data.survey import parts_of, survey
        from edgecnn.errors import DatasetError
        from edgecnn.outputs import Input, check_output_folder

        typeface = None if save is None else open_typeface(font)
        if save is not None:
            path = path_of(data)
            check_output_folder("--save", save, [] if path is None else [Input("DATA", path)])
        faults = Faults(keep=True)
        try:
            found = read_dataset(data, faults)
        except DatasetError:
            for fault in faults.errors[:_SHOWN]:  # what was found before nothing was left to go on with
                say(f"edgecnn: {fault.message}")
            raise
        with counted("decoding") as on_image:
            surveyed = survey(found, faults, on_image=on_image)
        if save is not None and typeface is not None:
            for part in parts_of(found.dataset):
                draw_sheet(part, save / f"{part.part}.png", typeface=typeface)
            if typeface.warning is not None:
                say(f"edgecnn: {typeface.warning}")
        _write(results, surveyed, format)
        if surveyed.errors:
            raise typer.Exit(1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the readers' warnings off stderr: the report has them all."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _write(results: Results, surveyed: Survey, format: str) -> None:
    if format == "json":
        results.json(surveyed.to_dict())
        return
    images, objects = sum(part.images for part in surveyed.parts), surveyed.parts[0].objects
    marked = "" if objects is None else f", {sum(part.objects or 0 for part in surveyed.parts)} {_marks(surveyed)}"
    labels, several = len(surveyed.labels), len(surveyed.labels) > 1
    asked = surveyed.targets == "questions"
    classes = f"{labels} {'answer' if asked else 'class'}{('s' if asked else 'es') if several else ''}"
    results.report(
        [
            f"{surveyed.name}: {surveyed.format}, {classes}, {images} images{marked}, "
            f"fingerprint {surveyed.fingerprint[:12]}",
            "",
            _parts_table(surveyed),
            "",
            _classes_table(surveyed),
            "",
            *((_kinds_table(surveyed), "") if asked else ()),
            Table(["pixels", "least", "5 %", "median", "95 %", "largest"], _size_rows(surveyed)),
            *_listed("errors", surveyed.errors),
            *_listed("notes", surveyed.notes),
        ],
    )


def _parts_table(surveyed: Survey) -> Table:
    if surveyed.parts[0].ignored_share is not None:
        ignored = [[part.part, f"{part.images:,}", _percent(part.ignored_share or 0)] for part in surveyed.parts]
        return Table(["part", "images", "pixels ignored"], ignored)
    if surveyed.parts[0].objects is None:
        return Table(["part", "images"], [[part.part, f"{part.images:,}"] for part in surveyed.parts])
    rows = [[part.part, f"{part.images:,}", f"{part.objects:,}", f"{part.empty:,}"] for part in surveyed.parts]
    return Table(["part", "images", _marks(surveyed), f"images without {_marks(surveyed)}"], rows)


def _marks(surveyed: Survey) -> str:
    return "questions" if surveyed.targets == "questions" else "objects"


def _kinds_table(surveyed: Survey) -> Table:
    """Returns how many questions of each kind there are, by the first part's order."""
    names = dict.fromkeys(kind for part in surveyed.parts for kind in part.kinds or ())
    columns = [[f"{(part.kinds or {}).get(kind, 0):,}" for kind in names] for part in surveyed.parts]
    header = ["question", *(f"{part.part} questions" for part in surveyed.parts)]
    return Table(header, [list(row) for row in zip(names, *columns, strict=True)])


def _classes_table(surveyed: Survey) -> Table:
    header, columns = ["answer" if surveyed.targets == "questions" else "class"], list[list[str]]()
    for part in surveyed.parts:
        header.append(f"{part.part} images")
        columns.append([f"{count:,}" for count in part.per_class])
        if part.objects_per_class is not None:
            header.append(f"{part.part} {_marks(surveyed)}")
            columns.append([f"{count:,}" for count in part.objects_per_class])
        if part.objects_per_class is not None and part.kinds is not None:
            header.append(f"{part.part} share")
            columns.append([_percent(count / max(part.objects or 1, 1)) for count in part.objects_per_class])
        if part.pixel_share is not None:
            header.append(f"{part.part} pixels")
            columns.append([_percent(share) for share in part.pixel_share])
    return Table(header, [list(row) for row in zip(surveyed.labels, *columns, strict=True)])


def _size_rows(surveyed: Survey) -> list[list[str]]:
    return [
        [name.replace("_", " "), *(_size(name, value) for value in sizes.values())]
        for name, sizes in surveyed.sizes.items()
    ]


def _size(name: str, value: float) -> str:
    return _percent(value) if name.endswith("share") else f"{value:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _listed(what: str, kinds: tuple[Kind, ...]) -> list[str]:
    """Returns lines: each kind with its count and its first messages."""
    lines = ["", f"{what}: none" if not kinds else f"{what}:"]
    for kind in kinds:
        lines.append(f"  {kind.count} {kind.kind}")
        lines += [f"    {message}" for message in kind.first]
        if kind.count > len(kind.first):
            lines.append(f"    and {kind.count - len(kind.first)} more")
    return lines
