"""`edgecnn export`: a trained model as one verified file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecnn.cli import export_options as options
from edgecnn.cli.options import CheckpointOption, Imports, SkipBad, Width
from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import format_bytes
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.extras import require

if TYPE_CHECKING:
    from edgecnn_exporters import ExportReport


def export(
    source: Annotated[
        str, typer.Argument(metavar="RUN_DIR|MODEL.keras|NAME", help="An existing path wins over a model's name.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.onnx", help="File to make or to replace.")],
    data: options.Data = None,
    quantize: options.Quantize = "none",
    calibration_samples: options.CalibrationSamples = None,
    max_drop: options.MaxDrop = None,
    min_speedup: options.MinSpeedup = None,
    strict: options.Strict = False,
    reduce_range: options.ReduceRange = False,
    tune_for: options.TuneFor = "any",
    nms: options.Nms = "runtime",
    split: options.Split = False,
    batch: options.Batch = "1",
    opset: options.Opset = 17,
    golden_samples: options.GoldenSamples = 4,
    weights: options.Weights = None,
    labels: options.Labels = None,
    image_size: options.PictureSize = None,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    width: Width = None,
    manifest: options.ManifestFile = None,
    checkpoint: CheckpointOption = None,
    imports: Imports = None,
    skip_bad: SkipBad = False,
) -> None:
    """Write a model as one ONNX file, once it is proven to answer like its source; FILE.report.json tells how."""
    with stdout_for_results() as results:
        from edgecnn.exporting.config import ExportConfig  # loads ONNX Runtime

        config = ExportConfig(
            source=source,
            data=data,
            batch=batch,
            opset=opset,
            manifest=manifest,
            checkpoint=checkpoint,
            weights=weights,
            labels=labels,
            image_size=image_size,
            tile=tile,
            overlap=overlap,
            width=width,
            quantize=quantize,
            calibration_samples=calibration_samples,
            max_drop=max_drop,
            min_speedup=min_speedup,
            strict=strict,
            reduce_range=reduce_range,
            tune_for=tune_for,
            nms=nms,
            split=split,
            golden_samples=golden_samples,
            skip_bad=skip_bad,
            imports=tuple(imports or ()),
        )
        from edgecnn.exporting.source import check_source
        from edgecnn.reads_and_writes import check_export

        check_export(config, output)
        check_source(config)
        require("tensorflow", "edgecnn_exporters", "onnx", "tf2onnx")
        load_tensorflow()
        from edgecnn.exporting.export import export_source  # loads Keras and tf2onnx

        report = export_source(config, output, on_stage=lambda stage: say(f"edgecnn: export: {stage}"))
        results.report(_format_report(output, report))


def _format_report(output: Path, report: ExportReport) -> list[str]:
    evidence, parity = report.evidence, report.evidence.parity
    lines = [
        f"{output}: {format_bytes(report.size_bytes)}, graph sha256 {evidence.payload_sha256}",
        f"{parity.decoded.summary()}, outputs within "
        f"{max(tensor.max_relative for tensor in parity.tensors):.2g} of their largest value",
    ]
    if parity.metric is not None:
        metric = parity.metric
        lines.append(
            f"{metric.name} {metric.file:.4f}, source {metric.source:.4f}, {metric.images} {parity.decoded.unit}"
        )
    if not evidence.golden:
        lines.append("no golden samples: edgecnn verify cannot prove the file on a device")
    if report.tries:
        lines.append(f"{report.tries[-1].describe()} ({len(report.tries)} tried, see {report.report_path.name})")
    if report.shares is not None:
        parts = ", ".join(f"{part} {share:.0%}" for part, share in report.shares.items())
        lines.append(f"time of a run, one thread: {parts}")
    return lines
