"""From a Keras model to one verified file: convert, quantize, read back, compare, and only then give it its name."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn_exporters.candidate import Candidate
from edgecnn_exporters.errors import ExportError, QuantizationError
from edgecnn_exporters.files import check_replaceable, working_folder, writing
from edgecnn_exporters.graph.convert import convert, hash_weights
from edgecnn_exporters.graph.publish import OPSETS
from edgecnn_exporters.graph.splitting import check_splittable
from edgecnn_exporters.graph.suppression import NmsPlace, in_graph
from edgecnn_exporters.proof.gates import Gates, float32_gates, quantized_gates
from edgecnn_exporters.proof.golden_samples import make_golden
from edgecnn_exporters.proof.metric import Metric
from edgecnn_exporters.proof.parity_report import ParityReport
from edgecnn_exporters.proof.proof import Proof, Settle
from edgecnn_exporters.proof.source import Source
from edgecnn_exporters.proof.synthetic import synthetic_batches
from edgecnn_exporters.quantization.calibration import CalibrationImages, feeds_of
from edgecnn_exporters.quantization.config import QuantizationConfig
from edgecnn_exporters.quantization.workshop import Quantized, quantize_file
from edgecnn_exporters.report import ExportReport, Outcome, rounded, rounded_gate, versions
from edgecnn_exporters.shares import measure_shares
from edgecnn_runtime.errors import EdgeCNNError, ManifestError, ModelFileError
from edgecnn_runtime.evidence import Evidence, Provenance
from edgecnn_runtime.golden import MAX_SAMPLES, GoldenSample
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.machine import cpu_family
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.report_file import is_report_of, read_report, report_path
from edgecnn_runtime.verification import verify

if TYPE_CHECKING:
    import keras

_LOGGER = logging.getLogger(__name__)


def export(
    model: "keras.Model",
    manifest: Manifest,
    path: str | os.PathLike[str],
    *,
    reference: Source,
    evaluation: Iterable[Batch] | None = None,
    evaluation_fingerprint: str | None = None,
    metric: Callable[[], Metric] | None = None,
    settle: Settle | None = None,
    golden: Iterable[ImageSource] | None = None,
    golden_questions: Sequence[str] | None = None,
    golden_samples: int = MAX_SAMPLES,
    batch: int | None = 1,
    opset: int = 17,
    seed: int | None = None,
    data_fingerprint: str | None = None,
    quantization: QuantizationConfig | None = None,
    calibration: CalibrationImages | None = None,
    nms: NmsPlace = "runtime",
    split: bool = False,
    whole: Source | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> ExportReport:
    """Writes a Keras model as one self-describing file, once it is proven to answer like the model.

    The stages are "weights" (hashed, found finite), "convert", "graph" (folded, named, written), "load" (with the
    runtime's own reader and Session), "parity", those of the quantization, "settle" (where `settle` changes the
    manifest: the file is compared once more), "nms" (where the graph is to suppress: it is appended to what was proven,
    and proven again), "split" (where a picture is to be seen once for several questions: the graph is divided, and
    proven again), "seams" (where pictures go through in tiles), "golden" (samples, answered by the file itself;
    left out where there are to be none), "shares" (where the graph proposes regions: what its parts take of the time),
    "stamp" and "verify" (the samples once more, through the finished file). All is made in a temporary folder beside
    `path`; the file takes its name last. FILE.report.json beside it tells what was compared, on which machine, and how
    long each stage took, and holds the file's SHA-256; it is written for a failed comparison too.

    Args:
        model: from the manifest's inputs to its raw outputs, built.
        manifest: what travels in the file.
        path: of the file; an earlier file is replaced, or intact if anything fails. The folder must exist.
        reference: answers as `model` does, and says by itself which class scores it means; the file is compared with
            both.
        evaluation: images, ready for the network, with what the data say of them, for the metric; None compares on
            synthetic images, without a metric. With `quantization` it is read several times.
        evaluation_fingerprint: of the data that `evaluation` is from.
        metric: makes the metric of level 3 from decoded results and what the data say; called once for either model of
            each comparison, for the source first.
        settle: makes, of the manifest and of the metric over the answers of the file that is to be written, the
            manifest that it gets; None for the manifest as it is, as without labels. It may change what is kept of the
            answers alone, and not what the metric sees of them. What is proven of the file, and its golden samples, are
            by that manifest.
        golden: pictures of any size, of which the first ones travel in the file, small, as golden samples; None takes
            synthetic ones.
        golden_questions: what is asked of these, where the model answers questions; None takes synthetic ones.
        golden_samples: how many travel, 0 to 4. A file without any cannot be verified on a device.
        batch: the fixed batch size, or None for a dynamic one.
        opset: of the default ONNX domain, 13 to 18.
        seed: of the training or of the random weights, where it is known.
        data_fingerprint: of the training data; None for a model that never saw any.
        quantization: for a file of fewer bits; None for one of float32.
        calibration: the images that int8 takes its ranges from; None for any other precision.
        nms: where a detector's boxes are decoded and drop each other: on the device by the runtime, or in the graph.
        split: whether a model that answers questions about a picture sees it once for all of them; needs batch 1.
        whole: where the manifest's decoder has tiles, the reference for pictures of any size, against which it is
            measured what the tiles change; None does not measure it.
        on_stage: is told each stage's name when it begins.

    Raises:
        ParityError: the file does not answer like the reference; no file was written, a report was.
        BudgetError: no file of fewer bits keeps its budgets; no file was written, a report was.
        CalibrationError: the calibration images are too few or there is nothing on them.
        QuantizationError: the model is quantized already, or no layer can be; or a bound is asked for on a metric that
            has none.
        WeightsError: a weight is NaN or infinite.
        UnsupportedOpError: a layer or operator has no counterpart in ONNX.
        ExportError: the model cannot be converted, or the file cannot be written; the message names it. Or what has
            the report's name is no report of this file.
        ManifestError: the graph is not what the manifest says, or the outputs are not what its decoder reads: scores
             already, for example; the message says what to write.
        ValueError: batch, opset or golden_samples is out of range, or int8 is asked for without labelled images to
            judge it on or without images to calibrate on.
    """
    _check_arguments(batch, opset, golden_samples)
    if nms == "graph":
        in_graph(manifest)
    if split:
        check_splittable(manifest, batch)
    _check_evaluation(quantization, evaluation, metric)
    _check_calibration(quantization, calibration)
    target, stages = Path(os.path.realpath(path)), _Stages(on_stage)  # a link stays a link
    check_replaceable(target)
    _check_report(target)
    proof = Proof(reference, manifest, evaluation, evaluation_fingerprint, metric)
    with working_folder(target) as folder, _naming(target):
        with stages("weights"):
            _check_unquantized(model)
            weights_sha256 = hash_weights(model)
        candidate = _convert(model, manifest, folder, target, batch=batch, opset=opset, stages=stages)
        with stages("load"):
            session = candidate.load()
        with stages("parity"):
            parity = proof.compare(session, _gates(None), graph_sha256=candidate.graph.written.sha256)
        del session
        if not parity.passed:
            raise Outcome(target, folder, stages.seconds, parity).parity_error()
        quantized = None
        if quantization is not None:
            quantized = _quantize(candidate, quantization, calibration, folder, target, proof=proof, stages=stages)
            candidate, parity = quantized.candidate, quantized.parity
        gates, exact = _gates(quantization), quantization is None
        graph_sha256 = candidate.graph.written.sha256  # whatever its manifest
        settled = None if settle is None else proof.settle(settle)
        if settled is not None:
            with stages("settle"):
                with writing(target):
                    candidate = candidate.restamped(settled)
                parity = proof.compare(candidate.load(), gates, graph_sha256=graph_sha256, exact=exact)
        file, raw = candidate, None
        if nms == "graph" and parity.passed:
            with stages("nms"), writing(target):
                file, raw = candidate.suppressing(folder / "suppressing.onnx"), candidate.predictor(threads=1)
                parity = proof.compare(
                    candidate.load(), gates, graph_sha256=graph_sha256, decoding=file.load(), exact=exact
                )
        if split and parity.passed:
            with stages("split"), writing(target):
                file, raw = candidate.splitting(folder / "split.onnx"), candidate.predictor(threads=1)
                parity = proof.compare(
                    file.load(), gates, graph_sha256=file.graph.written.sha256, keeping=file.manifest, exact=exact
                )
        _warn_where_nothing_was_compared(target, parity)
        if whole is not None and parity.passed:
            with stages("seams"):
                parity = parity.with_seam(proof.seams(whole))
        tries = () if quantized is None else quantized.tries
        samples: tuple[GoldenSample, ...] = ()
        if golden_samples:
            with stages("golden"):
                precision = "float32" if quantization is None else quantization.precision
                single = file.predictor(threads=1)  # a few graphs answer otherwise in the last bits with more
                made = make_golden(
                    *(single, reference, golden),
                    precision=precision,
                    count=golden_samples,
                    raw=raw,
                    questions=golden_questions,
                )
                samples, parity = made.samples, replace(parity, gates=(*parity.gates, made.gate))
        outcome = Outcome(target, folder, stages.seconds, parity, tries)
        if not parity.passed:
            raise outcome.parity_error()
        if manifest.decoder.ranks():
            with stages("shares"):
                outcome = replace(outcome, shares=_shares(file))
        provenance = Provenance(weights_sha256, seed, data_fingerprint, versions())
        evidence = _evidence(file, parity, provenance, samples, quantization, quantized)
        with stages("stamp"), writing(target):
            size_bytes = file.stamp(evidence)
        with stages("verify"):
            _verify(file.path)
        with writing(target):
            sha256 = outcome.publish(evidence, file.path)
    return ExportReport(target, size_bytes, sha256, evidence, parity, stages.seconds, tries, outcome.shares)


class _Stages:
    """Tells, times and logs the stages."""

    def __init__(self, on_stage: Callable[[str], None] | None) -> None:
        self._on_stage = on_stage
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        if self._on_stage is not None:
            self._on_stage(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start
        _LOGGER.info("%s: %.2f s", name, self.seconds[name])


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Puts the file's name before the message of every error on its way out."""
    try:
        yield
    except (ExportError, ManifestError, ModelFileError) as error:
        if not str(error).startswith(str(target)):
            error.args = (f"{target}: {error}",)
        raise


def _check_arguments(batch: int | None, opset: int, golden_samples: int) -> None:
    if opset not in OPSETS:
        raise ValueError(f"opset: expected {min(OPSETS)} to {max(OPSETS)}, received {opset}")
    if batch is not None and batch < 1:
        raise ValueError(f"batch: expected 1 or more, or None for any, received {batch}")
    if not 0 <= golden_samples <= MAX_SAMPLES:
        raise ValueError(f"golden_samples: expected 0 to {MAX_SAMPLES}, received {golden_samples}")


def _check_evaluation(
    quantization: QuantizationConfig | None, evaluation: Iterable[Any] | None, metric: Callable[[], Metric] | None
) -> None:
    if quantization is None:
        return
    if quantization.precision == "int8" and evaluation is None:
        raise ValueError("evaluation: expected labelled images to judge an int8 file on, received None")
    if evaluation is not None and metric is None:
        raise ValueError("metric: expected one to judge a file of fewer bits by on labelled images, received None")
    if quantization.strict and metric is not None and (judge := metric()).scores() is None:
        raise QuantizationError(
            "--strict: expected a metric that is a mean over images, whose drop has a 95 % bound, received "
            f"{judge.name}. Leave --strict out: --max-drop holds without it"
        )
    if isinstance(evaluation, Iterator):
        raise ValueError("evaluation: expected an iterable that can be read again, received an iterator")


def _check_calibration(quantization: QuantizationConfig | None, calibration: CalibrationImages | None) -> None:
    int8 = quantization is not None and quantization.precision == "int8"
    if int8 != (calibration is not None):
        raise ValueError("calibration: expected images for int8, and none for another precision")


def _check_report(target: Path) -> None:
    """Refuses to replace what is no report of ours; says where a report is not that of the file beside it.

    Raises:
        ExportError: something else stands under the report's name.
    """
    report = report_path(target)
    check_replaceable(report)
    if not report.exists():
        return
    if not is_report_of(report, target.name):
        raise ExportError(
            f"{report}: would be replaced, and is no report of an export of {target.name}. Move it away, or give the "
            "file another name."
        )
    try:
        if target.exists():
            read_report(target)
    except EdgeCNNError as error:
        _LOGGER.warning("%s It is replaced now.", error)


def _check_unquantized(model: "keras.Model") -> None:
    """Refuses a model whose layers hold integers already.

    Raises:
        QuantizationError: names the first such layer.
    """
    for layer in model.layers:
        mode = getattr(layer, "quantization_mode", None)
        if mode is not None:
            raise QuantizationError(
                f"layer {layer.name!r}: expected a float32 layer, received one that Keras quantized ({mode}). Export "
                "the model as it was before model.quantize(), with --quantize int8."
            )
        if hasattr(layer, "layers"):
            _check_unquantized(layer)


def _convert(
    model: "keras.Model",
    manifest: Manifest,
    folder: Path,
    target: Path,
    *,
    batch: int | None,
    opset: int,
    stages: "_Stages",
) -> Candidate:
    """Makes the float32 file."""
    inputs, outputs = [spec.name for spec in manifest.inputs], [output.name for output in manifest.outputs]
    with stages("convert"):
        converted = convert(model, input_names=inputs, output_names=outputs, batch=batch, opset=opset)
    with stages("graph"), writing(target):
        return Candidate.convert(converted, folder / "candidate.onnx", manifest, batch)


def _quantize(
    float32: Candidate,
    config: QuantizationConfig,
    calibration: CalibrationImages | None,
    folder: Path,
    target: Path,
    *,
    proof: Proof,
    stages: "_Stages",
) -> Quantized:
    """Makes the file of fewer bits.

    Raises:
        BudgetError: none keeps its budgets.
        ParityError: none answers like the reference.
    """
    gates = _gates(config)

    def judge(candidate: Candidate) -> ParityReport:
        return proof.compare(candidate.load(), gates, graph_sha256=candidate.graph.written.sha256, exact=False)

    quantized = quantize_file(float32, config, calibration, folder, judge=judge, stages=stages)
    if not quantized.tries[-1].fits:
        raise Outcome(target, folder, stages.seconds, quantized.parity, quantized.tries).misfit_error(config)
    return quantized


def _warn_where_nothing_was_compared(target: Path, parity: ParityReport) -> None:
    if not parity.compared:
        _LOGGER.warning(
            "%s: no answer could be compared with the model's on %d images: there are none, or more of one score than "
            "an image may have. So how answers are decoded is not proven. Give other images (--data).",
            target,
            parity.parity.decoded.images,
        )


def _gates(quantization: QuantizationConfig | None) -> Gates:
    return float32_gates if quantization is None else quantized_gates(quantization.precision, quantization.max_drop)


def _shares(file: Candidate) -> Mapping[str, float] | None:
    """Returns which part of the time each part of the file's graph takes."""
    batch = next(iter(synthetic_batches(file.manifest)))
    return measure_shares(file.payload(), next(feeds_of([batch.feeds], file.batch)))


def _verify(candidate: Path) -> None:
    """Loads the finished file as a device does, and answers its golden samples, if it has any."""
    predictor = Predictor.load(candidate, device="cpu")
    samples = verify(predictor).samples if predictor.evidence is not None and predictor.evidence.golden else ()
    failed = [sample for sample in samples if not sample.passed]
    if failed:
        raise ExportError(
            f"golden sample {failed[0].name!r}: expected {failed[0].expected}, received {failed[0].received} from the "
            "finished file"
        )


def _evidence(
    candidate: Candidate,
    parity: ParityReport,
    provenance: Provenance,
    golden: tuple[GoldenSample, ...],
    config: QuantizationConfig | None,
    quantized: Quantized | None,
) -> Evidence:
    speed = () if config is None or quantized is None else quantized.speed_gates(config)
    return Evidence(
        payload_sha256=candidate.graph.written.sha256,
        precision="float32" if config is None else config.precision,
        parity=rounded(parity.parity),
        gates=tuple(rounded_gate(gate) for gate in (*parity.gates, *speed)),
        requirements=candidate.graph.requirements,
        provenance=provenance,
        cpu_family=cpu_family(),
        golden=golden,
        quantization=None if quantized is None else quantized.quantization,
    )
