"""`edgecnn export`: a trained model as one verified file."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgecnn.cli.options import ImageSize, Width, read_batch
from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tables import format_bytes
from edgecnn.cli.tensorflow import load_tensorflow


def export(
    source: Annotated[
        str, typer.Argument(metavar="RUN_DIR|MODEL.keras|NAME", help="An existing path wins over a model's name.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.onnx", help="File to make or to replace.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Prove the file on the test part, calibrate int8 on the train part. [default: those of the run]",
        ),
    ] = None,
    quantize: Annotated[
        Literal["none", "fp16", "int8"], typer.Option(help="Fewer bits, if accuracy and speed keep their budgets.")
    ] = "none",
    calibration_samples: Annotated[
        int | None, typer.Option(metavar="N", help="Images that calibrate int8. [default: 300]")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(metavar="F", help="The most that the metric may lose. [default: 0.01]")
    ] = None,
    min_speedup: Annotated[
        float | None, typer.Option(metavar="F", help="Against the float32 file, here; 0 lets all pass. [default: 1.0]")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="The 95 % bound on the loss must keep --max-drop too.")
    ] = False,
    reduce_range: Annotated[
        bool, typer.Option("--reduce-range", help="int8 weights of 7 bits, for x86 without VNNI.")
    ] = False,
    tune_for: Annotated[
        Literal["any", "amx"],
        typer.Option(help="Lay int8 weights out for x86 with AMX: faster there, slower elsewhere, the same answers."),
    ] = "any",
    batch: Annotated[
        Any, typer.Option(parser=read_batch, metavar="N|dynamic", help="Images that the file takes at once.")
    ] = "1",
    opset: Annotated[int, typer.Option(min=13, max=18, metavar="N", help="ONNX opset; older runtimes need less.")] = 17,
    weights: Annotated[
        str | None,
        typer.Option(metavar="none|imagenet|FILE", help="For a NAME: seeded random ones, ImageNet's or a file's."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="For a NAME: one label a line.")] = None,
    image_size: ImageSize = None,
    width: Width = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For a MODEL.keras. [default: manifest.json beside it]")
    ] = None,
) -> None:
    """Write a model as one ONNX file, once it is proven to answer like its source; FILE.report.json tells how."""
    with stdout_for_results() as results:
        from edgecnn.export_config import ExportConfig  # loads ONNX Runtime
        from edgecnn.quantize_config import read_quantize_options

        fewer_bits = read_quantize_options(
            quantize,
            calibration_samples=calibration_samples,
            max_drop=max_drop,
            min_speedup=min_speedup,
            strict=strict,
            reduce_range=reduce_range,
            tune_for=tune_for,
        )
        config = ExportConfig(source, data, batch, opset, manifest, weights, labels, image_size, width, fewer_bits)
        load_tensorflow()
        from edgecnn.exporting import export_source  # loads Keras and tf2onnx

        report = export_source(config, output, on_stage=lambda stage: say(f"edgecnn: export: {stage}"))
        parity = report.evidence.parity
        results.line(f"{output}: {format_bytes(report.size_bytes)}, graph sha256 {report.evidence.payload_sha256}")
        results.line(
            f"top-1 agreement {parity.decoded.top1_agreement:.4f} on {parity.decoded.images} images, outputs within "
            f"{max(tensor.max_relative for tensor in parity.tensors):.2g} of their largest value"
        )
        if parity.metric is not None:
            metric = parity.metric
            results.line(f"{metric.name} {metric.file:.4f}, source {metric.source:.4f}, {metric.images} images")
        if report.tries:
            results.line(f"{report.tries[-1].describe()} ({len(report.tries)} tried, see {report.report_path.name})")
