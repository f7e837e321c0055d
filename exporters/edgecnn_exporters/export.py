"""From a Keras model to one verified file: convert, stamp, read back, compare, and only then give it its name."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn_exporters.convert import convert, hash_weights
from edgecnn_exporters.errors import ExportError, ParityError
from edgecnn_exporters.files import check_replaceable, publish, working_folder, writing
from edgecnn_exporters.golden import make_golden
from edgecnn_exporters.graph import ONNXRUNTIME_BY_OPSET, Graph, finish
from edgecnn_exporters.metric import Accuracy, ClassIds, Metric
from edgecnn_exporters.parity import Batch, ParityReport, Pixels, compare
from edgecnn_exporters.report import ExportReport, report_json, report_path, rounded, rounded_gate, versions
from edgecnn_exporters.stamp import trailer
from edgecnn_exporters.synthetic import synthetic_images
from edgecnn_exporters.writer import Converted
from edgecnn_runtime.container import read_model_file
from edgecnn_runtime.errors import ManifestError, ModelFileError
from edgecnn_runtime.evidence import Evidence, Provenance
from edgecnn_runtime.golden import GoldenSample
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.integrity import read_evidence, read_manifest
from edgecnn_runtime.machine import cpu_family
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.session import Model, Session
from edgecnn_runtime.verification import verify

if TYPE_CHECKING:
    import keras

PRECISION = "float32"
SYNTHETIC = "synthetic"
UNIDENTIFIED = "unidentified"

_LOGGER = logging.getLogger(__name__)


def export(
    model: "keras.Model",
    manifest: Manifest,
    path: str | os.PathLike[str],
    *,
    reference: Model,
    evaluation: Iterable[tuple[Pixels, ClassIds]] | None = None,
    evaluation_fingerprint: str | None = None,
    metric: Callable[[], Metric] = Accuracy,
    golden: Iterable[ImageSource] | None = None,
    batch: int | None = 1,
    opset: int = 17,
    seed: int | None = None,
    data_fingerprint: str | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> ExportReport:
    """Writes a Keras model as one self-describing file, once it is proven to answer like the model.

    The stages are "weights" (hashed, found finite), "convert", "graph" (folded, named, written), "load" (with the
    runtime's own reader and Session), "parity", "golden" (samples, answered by the file itself), "stamp" and "verify"
    (the samples once more, through the finished file). All is made in a temporary folder beside `path`; the file takes
    its name last. FILE.report.json beside it tells what was compared, on which machine, and how long each stage
    took; it is written for a failed comparison too.

    Args:
        model: from the manifest's inputs to its raw outputs, built.
        manifest: what travels in the file.
        path: of the file; an earlier file is replaced, or intact if anything fails. The folder must exist.
        reference: answers as `model` does; the file is compared with it.
        evaluation: batches of images (N, H, W, C) uint8, ready for the network, with their class ids (N,); None
            compares on synthetic images, without a metric.
        evaluation_fingerprint: of the data that `evaluation` is from.
        metric: makes the metric of level 3; called once for either model.
        golden: pictures of any size, of which the first four travel in the file, small, as golden samples; None takes
            synthetic ones.
        batch: the fixed batch size, or None for a dynamic one.
        opset: of the default ONNX domain, 13 to 18.
        seed: of the training or of the random weights, where it is known.
        data_fingerprint: of the training data; None for a model that never saw any.
        on_stage: is told each stage's name when it begins.

    Raises:
        ParityError: the file does not answer like the reference; no file was written, a report was.
        WeightsError: a weight is NaN or infinite.
        UnsupportedOpError: a layer or operator has no counterpart in ONNX.
        ExportError: the model cannot be converted, or the file cannot be written; the message names it.
        ManifestError: the graph is not what the manifest says.
        ValueError: batch or opset is out of range.
    """
    _check_arguments(batch, opset)
    target, stages = Path(os.path.realpath(path)), _Stages(on_stage)  # a link stays a link
    check_replaceable(target)
    check_replaceable(report_path(target))
    with working_folder(target) as folder, _naming(target):
        candidate = folder / "candidate.onnx"
        inputs, outputs = [image.name for image in manifest.inputs], [output.name for output in manifest.outputs]
        with stages("weights"):
            weights_sha256 = hash_weights(model)
        with stages("convert"):
            converted = convert(model, input_names=inputs, output_names=outputs, batch=batch, opset=opset)
        with stages("graph"), writing(target):
            graph = _write_candidate(converted, candidate, manifest, batch)
        with stages("load"):
            session = _load(candidate, manifest)
        with stages("parity"):
            parity = _compare(reference, session, manifest, evaluation, evaluation_fingerprint, metric)
        del session
        if not parity.passed:
            raise _parity_error(parity, target, folder, stages.seconds)
        with stages("golden"):
            made = make_golden(_load_single(candidate), reference, golden, precision=PRECISION)
            parity = replace(parity, gates=(*parity.gates, made.gate))
        if not parity.passed:
            raise _parity_error(parity, target, folder, stages.seconds)
        provenance = Provenance(weights_sha256, seed, data_fingerprint, versions())
        evidence = _evidence(graph, parity, provenance, made.samples)
        with stages("stamp"), writing(target):
            size_bytes = _stamp(candidate, graph.written.size_bytes, manifest, evidence)
        with stages("verify"):
            _verify(candidate)
        with writing(target):
            _publish_report(parity, evidence, target, folder, stages.seconds)
            publish(candidate, target)
    return ExportReport(target, size_bytes, evidence, parity, stages.seconds)


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


def _check_arguments(batch: int | None, opset: int) -> None:
    if opset not in ONNXRUNTIME_BY_OPSET:
        raise ValueError(
            f"opset: expected {min(ONNXRUNTIME_BY_OPSET)} to {max(ONNXRUNTIME_BY_OPSET)}, received {opset}"
        )
    if batch is not None and batch < 1:
        raise ValueError(f"batch: expected 1 or more, or None for any, received {batch}")


def _write_candidate(converted: Converted, candidate: Path, manifest: Manifest, batch: int | None) -> Graph:
    """Writes the graph and the manifest; evidence comes when there is some."""
    graph = finish(
        converted,
        candidate,
        input_names=[image.name for image in manifest.inputs],
        output_names=[output.name for output in manifest.outputs],
        batch=batch,
    )
    with candidate.open("ab") as file:
        file.write(trailer(manifest))
    return graph


def _load(candidate: Path, manifest: Manifest) -> Session:
    """Reads the file back as a device does; hash, manifest and graph are checked on the way."""
    file = read_model_file(candidate)
    read_evidence(file)
    if read_manifest(file) != manifest:
        raise ExportError("the manifest was read back from the file with other values than it was written with")
    return Predictor(Session(file.payload, device="cpu"), manifest).session


def _compare(
    reference: Model,
    session: Session,
    manifest: Manifest,
    evaluation: Iterable[Batch] | None,
    fingerprint: str | None,
    metric: Callable[[], Metric],
) -> ParityReport:
    synthetic: Iterator[Batch] = ((images, None) for images in synthetic_images(manifest.image_input))
    return compare(
        reference,
        session,
        manifest,
        synthetic if evaluation is None else evaluation,
        images_from=SYNTHETIC if evaluation is None else fingerprint or UNIDENTIFIED,
        candidate_batch=session.batch,
        metric=metric,
    )


def _load_single(candidate: Path) -> Predictor:
    """Loads the file on one thread: a few graphs answer differently in the last bits by the number of threads."""
    return Predictor.load(candidate, device="cpu", threads=1)


def _verify(candidate: Path) -> None:
    """Loads the finished file as a device does, and answers its golden samples."""
    failed = [sample for sample in verify(Predictor.load(candidate, device="cpu")).samples if not sample.passed]
    if failed:
        raise ExportError(
            f"golden sample {failed[0].name!r}: expected {failed[0].expected}, received {failed[0].received} from the "
            "finished file"
        )


def _evidence(graph: Graph, parity: ParityReport, provenance: Provenance, golden: tuple[GoldenSample, ...]) -> Evidence:
    return Evidence(
        payload_sha256=graph.written.sha256,
        precision=PRECISION,
        parity=rounded(parity.parity),
        gates=tuple(rounded_gate(gate) for gate in parity.gates),
        requirements=graph.requirements,
        provenance=provenance,
        cpu_family=cpu_family(),
        golden=golden,
    )


def _stamp(candidate: Path, payload_size: int, manifest: Manifest, evidence: Evidence) -> int:
    """Replaces the metadata by the final one, reads the file back and returns its size in bytes."""
    with candidate.open("r+b") as file:
        file.seek(payload_size)
        file.truncate()
        file.write(trailer(manifest, evidence))
    read_back = read_model_file(candidate)
    if read_evidence(read_back) != evidence or read_manifest(read_back) != manifest:
        raise ExportError("the metadata was read back from the file with other values than it was written with")
    return candidate.stat().st_size


def _publish_report(
    parity: ParityReport, evidence: Evidence | None, target: Path, folder: Path, seconds: Mapping[str, float]
) -> None:
    temporary = folder / "report.json"
    temporary.write_text(report_json(target.name, seconds, parity, evidence), encoding="utf-8")
    publish(temporary, report_path(target))


def _parity_error(parity: ParityReport, target: Path, folder: Path, seconds: Mapping[str, float]) -> ParityError:
    """Returns the error for a file that does not answer like its source, once its report is written."""
    try:
        _publish_report(parity, None, target, folder, seconds)
        report = f"see {report_path(target)}"
    except OSError as error:
        report = f"its report could not be written either: {error.strerror or error}"
    return ParityError(f"no file written: it does not answer like the model: {parity.summary()}; {report}", parity)
