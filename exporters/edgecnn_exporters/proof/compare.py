"""Does the file answer like its source? Raw outputs, decoded results, and the metric where there are labels.

Both models answer the same images, batch by batch; nothing accumulates but a few numbers.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecnn_exporters.errors import ExportError
from edgecnn_exporters.graph.suppression import in_graph
from edgecnn_exporters.proof.differences import DecodedDifference, OutputDifference
from edgecnn_exporters.proof.gates import TENSOR_BUDGET, Compared, Gates, float32_gates
from edgecnn_exporters.proof.metric import Metric
from edgecnn_exporters.proof.parity_report import ParityReport
from edgecnn_exporters.proof.source import Reading, Source
from edgecnn_runtime.evidence import MetricParity, Parity
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Feeds, Model, read_by, run_all
from edgecnn_runtime.results import Result
from edgecnn_runtime.tasks.table import get_task

_LISTED = 10  # image numbers in a report

_Outputs = Mapping[str, npt.NDArray[Any]]


def compare(
    reference: Source,
    candidate: Model,
    manifest: Manifest,
    batches: Iterable[Batch],
    *,
    images_from: str,
    candidate_batch: int | None = None,
    metric: Callable[[], Metric] | None = None,
    gates: Gates = float32_gates,
    decoding: Model | None = None,
    exact: bool = True,
) -> ParityReport:
    """Returns how far the candidate's answers are from the reference's.

    - Level 1: the largest difference on each output, relative to that output's own maximum. Rows that a graph picks by
      rank are compared with the rows of the same regions (`Task.aligned`), here and, of an exact candidate, below.
    - Level 2: the results that the runtime decodes from the candidate's outputs, against those that the reference gives
      by itself, so that no error of the decoding stands on both sides. They must be equal but for rounding, and the
      best answer the same wherever the reference's margin between its first and second one exceeds that. Of an exact
      candidate both are read by what the task says of the reference's first batch (`Task.compared_by`): where nothing
      is found, nothing can be compared.
    - Level 3: the metric, where every batch has labels, of results that are decoded by the metric's own manifest.
    - An output that is NaN or infinite, of either model, fails.

    These are the verdicts on float32; `gates` makes others of the same numbers.

    Args:
        reference: the source.
        candidate: what was made of it.
        manifest: of both.
        batches: images, ready for the network, with what the data say of them, if they do.
        images_from: "synthetic", or the fingerprint of the data.
        candidate_batch: how many images the candidate takes at a time; None for any number.
        metric: makes a metric; called once for either model, the reference first. None for no metric.
        gates: makes verdicts of the numbers.
        decoding: the candidate as a graph that decodes and suppresses by itself, where that is the file: levels 2 and 3
            are of its answers, by the manifest that `graph.suppression.in_graph` makes, and level 1 of the candidate's.
        exact: whether the candidate has the reference's precision, so that answers which a device does not give, in the
            noise that fewer bits change, may be looked at to see how it is decoded.

    Raises:
        ExportError: there are no images, or the two models' outputs differ in shape.
        ManifestError: the reference's numbers are not what the decoder reads.
    """
    comparison = _Comparison(reference, manifest, metric, gates)
    comparison.exact = exact
    comparison.decoding = None if decoding is None else _Decoding(decoding, candidate_batch)
    for batch in batches:
        if len(batch):
            comparison.update(batch, reference.run(batch.feeds), run_all(candidate, batch.feeds, candidate_batch))
    if not comparison.decoded.images:
        raise ExportError("parity: expected at least one image to compare the file on, received none")
    return comparison.report(images_from)


class _Decoding(NamedTuple):
    """A graph that decodes by itself, and how many images it takes at a time."""

    model: Model
    batch: int | None

    def run(self, feeds: Feeds, manifest: Manifest) -> _Outputs:
        """Returns what it answers by the thresholds of a manifest."""
        return run_all(read_by(self.model, manifest), feeds, self.batch)


class _Comparison:
    """Adds up the three levels."""

    decoding: _Decoding | None = None
    exact: bool = True

    def __init__(self, source: Source, manifest: Manifest, metric: Callable[[], Metric] | None, gates: Gates) -> None:
        self._source, self._manifest, self._judge = source, manifest, gates
        self._reading, self._task = Reading(manifest), get_task(manifest.task)
        self._metrics: tuple[Metric, Metric] | None = None if metric is None else (metric(), metric())
        tiled = manifest.decoder.cut_into() is not None
        self._outputs = [OutputDifference(output.name, tiled or None in output.shape) for output in manifest.outputs]
        self.decoded = DecodedDifference()
        self._read_by: Manifest | None = None  # level 2
        self._non_finite: list[int] = []

    def update(self, batch: Batch, expected: _Outputs, received: _Outputs) -> None:
        """Compares one batch; images that either side answers with NaN or infinity are counted apart."""
        self._check_shapes(expected, received)
        finite = np.logical_and(_finite(expected, len(batch)), _finite(received, len(batch)))  # (N,)
        numbers = self.decoded.images + np.arange(len(batch))
        self.decoded.images += len(batch)
        self._non_finite += numbers[~finite].tolist()
        expected = {name: values[finite] for name, values in expected.items()}
        received = {name: values[finite] for name, values in received.items()}
        aligned: _Outputs = received
        if self._manifest.decoder.ranks():
            aligned = self._task.aligned(self._manifest, expected, received, exact=self.exact)
        for output in self._outputs:
            output.update(expected[output.output], aligned[output.output], numbers[finite])
        placements = _kept(batch.placements, finite)
        self._reading.update(expected[self._manifest.decoder.output])
        if self.exact and self._read_by is None and finite.any():
            self._read_by = self._task.compared_by(self._manifest, expected)
        read_by = self._read_by or self._manifest
        own = self._source.results(expected, placements, read_by)
        decoded = self._decoded(read_by, batch, aligned if self.exact else received, finite)
        for reference, candidate, number in zip(own, decoded, numbers[finite].tolist(), strict=True):
            self.decoded.update(self._task.agreement(reference, candidate), number)
        if batch.truths is None or self._metrics is None:
            self._metrics = None
            return
        judged_by = self._metrics[0].manifest
        if judged_by != read_by or aligned is not received:
            own = self._source.results(expected, placements, judged_by)
            decoded = self._decoded(judged_by, batch, received, finite)
        for metric, answers in zip(self._metrics, (own, decoded), strict=True):
            metric.update(answers, _kept(batch.truths, finite))

    def _decoded(
        self, manifest: Manifest, batch: Batch, received: _Outputs, finite: npt.NDArray[np.bool_]
    ) -> list[Result]:
        """Returns the file's results of the images that were finite.

        Args:
            manifest: by whose thresholds.
            batch: all images.
            received: raw outputs of those that were finite.
            finite: (N,) which these are.
        """
        placements = _kept(batch.placements, finite)
        if self.decoding is None:
            return self._task.decode(manifest, received, placements)
        inside = in_graph(manifest)
        answers = self.decoding.run(batch.feeds, inside)
        return self._task.decode(inside, {name: values[finite] for name, values in answers.items()}, placements)

    def report(self, images_from: str) -> ParityReport:
        """Returns what the batches came to, and the verdicts."""
        self._reading.check()
        worst = max(self._outputs, key=lambda output: output.max_relative)
        beyond = self.decoded.beyond(TENSOR_BUDGET * self.decoded.largest_log)
        metric = self._metric()
        tensors = tuple(output.parity() for output in self._outputs)
        found = self.decoded
        decoded = self._task.parity(found.images, found.agreeing, found.differences, found.compared)
        return ParityReport(
            parity=Parity(images_from, tensors, decoded, metric),
            gates=self._judge(
                Compared(
                    images=self.decoded.images,
                    non_finite=len(self._non_finite),
                    max_relative=worst.max_relative,
                    spread_error=max(output.spread_error for output in self._outputs),
                    results=self.decoded.relative,
                    disagreements=len(beyond),
                    decided=self.decoded.decided,
                    decided_disagreement=self.decoded.decided_disagreement,
                    metric=metric,
                    drops=self._drops(),
                )
            ),
            compared=self.decoded.compared,
            worst_tensor=worst.output,
            worst_image=worst.worst_image,
            non_finite=tuple(self._non_finite[:_LISTED]),
            disagreements=beyond[:_LISTED],
        )

    def _metric(self) -> MetricParity | None:
        if self._metrics is None:
            return None
        source, file = self._metrics
        return MetricParity(source.name, self.decoded.images, float(source.value()), float(file.value()))

    def _drops(self) -> npt.NDArray[np.float64] | None:
        """Returns what each image takes from the metric, (N,), where the metric is a mean over images."""
        scores = [metric.scores() for metric in self._metrics or ()]
        return None if not scores or scores[0] is None or scores[1] is None else scores[0] - scores[1]

    def _check_shapes(self, expected: _Outputs, received: _Outputs) -> None:
        shapes = [{o.output: outputs[o.output].shape for o in self._outputs} for outputs in (expected, received)]
        if shapes[0] != shapes[1]:
            raise ExportError(
                f"parity: expected outputs of shape {shapes[0]} as the source gives, received {shapes[1]}"
            )


def _kept(every: Any, finite: npt.NDArray[np.bool_]) -> Any:
    """Returns what there is of the images that were compared; of all there is an array, or a sequence."""
    return every[finite] if isinstance(every, np.ndarray) else list(itertools.compress(every, finite))


def _finite(outputs: _Outputs, images: int) -> npt.NDArray[np.bool_]:
    """Returns for each image whether all its outputs are finite, (N,)."""
    finite = np.ones(images, dtype=np.bool_)
    for values in outputs.values():
        finite &= np.isfinite(values).reshape(images, -1).all(axis=1)
    return finite
