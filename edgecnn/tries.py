"""The tries at a file of fewer bits, for people: a table and a picture beside FILE.report.json."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgecnn.atomic import replacing, write_text
from edgecnn_exporters import Try, report_path

_COLUMNS = (
    *("try", "calibration", "layers", "in float32", "metric", "drop", "95 % bound", "top-1 agreement"),
    *("speed-up", "MB", "fits"),
)
_AREA = 900  # of the largest file's marker, in square points


def draw_tries(tries: Sequence[Try], path: Path) -> None:
    """Writes FILE.report.md, a table with one row a try, and FILE.report.png, a point a try.

    The picture has accuracy against speed-up; the area of a point is the size of the file.

    Args:
        tries: at least one.
        path: of the model file, made or not.

    Raises:
        WriteError: one of them cannot be written.
    """
    report = report_path(path)
    picture = report.with_suffix(".png")
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure.subplots(), tries)
    with replacing(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
    write_text(report.with_suffix(".md"), _table(tries, path.name, picture.name))


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


def _table(tries: Sequence[Try], name: str, picture: str) -> str:
    rows = [
        f"| {' | '.join(_COLUMNS)} |",
        f"| {' | '.join('---' for _ in _COLUMNS)} |",
        *(f"| {number} | {' | '.join(_cells(one))} |" for number, one in enumerate(tries, start=1)),
    ]
    kept = tries[-1].float_layers
    layers = f"\nIn float32 in the last one: {', '.join(kept)}.\n" if kept else ""
    return f"# {name}\n\n" + "\n".join(rows) + f"\n{layers}\n![accuracy against speed-up]({picture})\n"


def _cells(one: Try) -> list[str]:
    speed = one.speedup
    return [
        one.calibration or "none",
        f"{one.layers} {one.precision}",
        str(len(one.float_layers)),
        "none" if one.file is None else f"{one.metric} {one.file:.4f}",
        f"{one.drop:.4f}",
        "none" if one.bound is None else f"{one.bound:.4f}{'' if one.decided else ' (not decided)'}",
        f"{one.top1_agreement:.4f}",
        "not measured" if speed is None else f"{speed.ratio:.2f} (n {speed.n}, {speed.threads} thread)",
        f"{one.size_bytes / 1e6:.2f}",
        "yes" if one.fits else "no",
    ]
