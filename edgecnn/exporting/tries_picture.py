"""The tries at a file of fewer bits, for people: a table and a picture beside FILE.report.json."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from matplotlib.axes import Axes

from edgecnn.atomic import write_text, writing
from edgecnn.figures import make_figure, save_figure
from edgecnn.reads_and_writes import TRIES_COLUMNS, is_tries_of, tries_paths, tries_title
from edgecnn_exporters import Try
from edgecnn_runtime.fonts import legible

_AREA = 900  # of the largest file's marker, in square points


def remove_tries(path: Path) -> None:
    """Removes the table and the picture that an earlier export left beside a file that has no tries of its own.

    Raises:
        WriteError: one of them cannot be removed.
    """
    for sidecar in tries_paths(path):
        if is_tries_of(sidecar, path):
            with writing(sidecar):
                sidecar.unlink(missing_ok=True)


def draw_tries(tries: Sequence[Try], path: Path, *, file_sha256: str | None = None) -> None:
    """Writes FILE.report.md, a table with one row a try, and FILE.report.png, a point a try.

    The picture has accuracy against speed-up; the area of a point is the size of the file.

    Args:
        tries: at least one.
        path: of the model file, made or not.
        file_sha256: of the model file, which binds both to it; None where none was made.

    Raises:
        WriteError: one of them cannot be written.
    """
    table, picture = tries_paths(path)
    figure = make_figure((7, 5), layout="constrained")
    _draw(figure.subplots(), tries)
    told = "no file was made" if file_sha256 is None else f"SHA-256 of the file: {file_sha256}"
    metadata = {"Software": None, "Title": tries_title(path), "Description": told}
    save_figure(figure, picture, metadata=metadata)
    write_text(table, _table(tries, path.name, picture.name, told))


def _draw(axis: Axes, tries: Sequence[Try]) -> None:
    largest = max(one.size_bytes for one in tries)
    for number, one in enumerate(tries, start=1):
        speed = 0.0 if one.speedup is None else one.speedup.ratio
        quality = -one.drop if one.file is None else one.file
        color = "tab:green" if one.fits else "tab:red"
        axis.scatter(speed, quality, s=_AREA * one.size_bytes / largest, color=color, alpha=0.5)
        axis.annotate(str(number), (speed, quality), ha="center", va="center")
    if tries[0].source is not None:
        axis.axhline(tries[0].source, color="black", linewidth=1, linestyle="--", label="source")
        axis.legend()
    axis.axvline(1, color="black", linewidth=1, linestyle=":")
    axis.set_xlim(left=0)
    axis.set_xlabel("speed-up against the float32 file (0: not measured)")
    axis.set_ylabel(tries[0].metric or "largest difference of the outputs, negative")
    axis.set_title("one point a try, its area the size of the file; green keeps the budgets")


def _table(tries: Sequence[Try], name: str, picture: str, told: str) -> str:
    rows = [
        f"| {' | '.join(TRIES_COLUMNS)} |",
        f"| {' | '.join('---' for _ in TRIES_COLUMNS)} |",
        *(f"| {number} | {' | '.join(_cells(one))} |" for number, one in enumerate(tries, start=1)),
    ]
    kept = tries[-1].float_layers
    layers = f"\nIn float32 in the last one: {', '.join(kept)}.\n" if kept else ""
    link = quote(os.fsencode(picture))
    return f"# {legible(name)}\n\n" + "\n".join(rows) + f"\n{layers}\n![accuracy against speed-up]({link})\n\n{told}\n"


def _cells(one: Try) -> list[str]:
    speed = one.speedup
    return [
        one.calibration or "none",
        f"{one.layers} {one.precision}",
        str(len(one.float_layers)),
        "none" if one.file is None else f"{one.metric} {one.file:.4f}",
        f"{one.drop:.4f}",
        "none" if one.bound is None else f"{one.bound:.4f}{'' if one.decided else ' (not decided)'}",
        f"{one.agreement:.4f}",
        "not measured" if speed is None else f"{speed.ratio:.2f} (n {speed.n}, {speed.threads} thread)",
        f"{one.size_bytes / 1e6:.2f}",
        "yes" if one.fits else "no",
    ]
