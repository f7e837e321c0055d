"""What export and training read and write, and how it is known again; none of it needs Keras or TensorFlow."""

import os
from pathlib import Path

import PIL.Image

from edgecnn.data.load import path_of
from edgecnn.exporting.config import ExportConfig
from edgecnn.outputs import RUN_MANIFEST, Input, Output, check_output_folder, check_outputs, recorded_data
from edgecnn_runtime.fonts import legible
from edgecnn_runtime.report_file import is_report_of, report_path

TRIES_COLUMNS = (
    *("try", "calibration", "layers", "in float32", "metric", "drop", "95 % bound", "top-1 agreement"),
    *("speed-up", "MB", "fits"),
)
_HEAD = 4096  # bytes of a table in which its columns stand


def check_export(config: ExportConfig, path: Path) -> None:
    """Refuses a place for the file where it, or what is written beside it, would replace something else.

    Args:
        config: what is exported.
        path: of the file to make.

    Raises:
        UsageError: the file or one of its reports is read, lies in a run folder, or is not of this file.
    """
    check_outputs(_outputs(config, path), _inputs(config))


def tries_paths(path: Path) -> tuple[Path, Path]:
    """Returns where the table and the picture of a model file stand: FILE.report.md and FILE.report.png."""
    report = report_path(path)
    return report.with_suffix(".md"), report.with_suffix(".png")


def is_tries_of(sidecar: Path, path: Path) -> bool:
    """Says whether `draw_tries` wrote this table or picture for a model file of that name."""
    try:
        if sidecar.suffix == ".md":
            with sidecar.open(encoding="utf-8") as file:
                text = file.read(_HEAD)
            return text.startswith(f"# {legible(path.name)}\n") and f"\n| {' | '.join(TRIES_COLUMNS)} |\n" in text
        with PIL.Image.open(sidecar, formats=["PNG"]) as picture:
            return bool(picture.info.get("Title") == tries_title(path))
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        return False


def tries_title(path: Path) -> str:
    """Returns the title in the picture's metadata, by which it is known again."""
    return f"edgecnn export: tries of {legible(path.name)}"


def check_training(data: str, weights: str, run_dir: Path) -> None:
    """Refuses a run folder in which training would overwrite what it reads, or lie among it.

    Args:
        data: as for `load_dataset`.
        weights: to begin with: "none", "imagenet" or a file.
        run_dir: to make, or to write into.

    Raises:
        UsageError: the folder is, holds or lies in the data or the weights, or lies in another run folder.
    """
    paths = {"--data": path_of(data), "--weights": _weights_file(weights)}
    check_output_folder("-o", run_dir, [Input(option, path) for option, path in paths.items() if path is not None])


def _weights_file(weights: str | None) -> Path | None:
    return None if weights in ("none", "imagenet", None) else Path(weights)


def _outputs(config: ExportConfig, path: Path) -> list[Output]:
    target = Path(os.path.realpath(path))  # a link stays a link, and the reports stand beside what it leads to
    report = report_path(target)
    outputs = [Output("-o", path), Output("-o", report, lambda found: is_report_of(found, target.name))]
    if config.quantize is not None:
        outputs += [Output("-o", sidecar, lambda found: is_tries_of(found, target)) for sidecar in tries_paths(target)]
    return outputs


def _inputs(config: ExportConfig) -> list[Input]:
    source = Path(config.source)
    inputs = [] if config.kind == "name" else [Input("the source", source)]
    data = config.data
    if config.kind == "run folder" and data is None:
        data = recorded_data(source)
    if config.kind == "keras file" and config.manifest is None:
        inputs.append(Input("the source", source.with_name(RUN_MANIFEST)))
    paths = {
        "--data": None if data is None else path_of(data),
        "--manifest": config.manifest,
        "--weights": _weights_file(config.weights),
        "--labels": config.labels,
    }
    return inputs + [Input(option, path) for option, path in paths.items() if path is not None]
