"""What every file of one export is proven with: the source, the images, the metric."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from edgecnn_exporters.proof.compare import compare
from edgecnn_exporters.proof.gates import Gates
from edgecnn_exporters.proof.metric import Metric
from edgecnn_exporters.proof.parity_report import ParityReport
from edgecnn_exporters.proof.seams import compare_seams
from edgecnn_exporters.proof.source import Source
from edgecnn_exporters.proof.synthetic import synthetic_batches
from edgecnn_runtime.evidence import SeamParity
from edgecnn_runtime.inputs import Batch
from edgecnn_runtime.manifest import ImageInput, Manifest
from edgecnn_runtime.model import Model, read_by
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.results import Result
from edgecnn_runtime.session import Session
from edgecnn_runtime.tiles import of_pictures

SYNTHETIC = "synthetic"
UNIDENTIFIED = "unidentified"
_MOST_BYTES = 2**27  # of one model's answers that are remembered

Settle = Callable[[Manifest, Any], Manifest]


class Proof:
    """Compares files with their source, always on the same images.

    Args:
        reference: the source.
        manifest: of all files: the source's, which `settle` may change.
        evaluation: labelled batches, or None for synthetic images.
        fingerprint: of the data that `evaluation` is from.
        metric: makes a metric.
    """

    def __init__(
        self,
        reference: Source,
        manifest: Manifest,
        evaluation: Iterable[Batch] | None,
        fingerprint: str | None,
        metric: Callable[[], Metric] | None,
    ) -> None:
        self._reference, self._manifest, self._metric = reference, manifest, metric
        self._evaluation = evaluation
        self._images_from = SYNTHETIC if evaluation is None else fingerprint or UNIDENTIFIED
        self._of_file: Metric | None = None  # what the last file's answers come to
        self._source, _ = of_pictures(reference, manifest, None)
        self._of_source, self._of_graph, self._graph_sha256 = Answers(), Answers(), ""

    def compare(
        self,
        session: Session,
        gates: Gates,
        *,
        graph_sha256: str,
        decoding: Session | None = None,
        keeping: Manifest | None = None,
        exact: bool = True,
    ) -> ParityReport:
        """Returns how far a file's answers are from the source's.

        Args:
            session: of the graph with raw outputs.
            gates: makes verdicts.
            graph_sha256: of that graph, whatever manifest is beside it. The raw outputs of the last one are remembered.
            decoding: of the file, where its graph decodes those outputs by itself.
            keeping: of the file, where its graph keeps what it saw of a picture.
            exact: whether it has the source's precision.

        Raises:
            ExportError: there are no images, or outputs differ in shape.
            ManifestError: the manifest's decoder does not read the source's outputs for what they are.
        """
        made: list[Metric] = []

        def new_metric() -> Metric:
            assert self._metric is not None, "nobody asks for a metric where there is none"
            made.append(self._metric())
            return made[-1]

        if graph_sha256 != self._graph_sha256:
            self._of_graph, self._graph_sha256 = Answers(), graph_sha256
        model = session if keeping is None else read_by(session, keeping)
        file, batch = of_pictures(model, self._manifest, session.batch)
        report = compare(
            RememberedSource(self._source, self._reference, self._of_source),
            Remembered(file, self._of_graph),
            self._manifest,
            self._batches(),
            images_from=self._images_from,
            candidate_batch=batch,
            metric=None if self._metric is None else new_metric,
            gates=gates,
            decoding=decoding,
            exact=exact,
        )
        self._of_file = None if report.parity.metric is None else made[-1]
        return report

    def seams(self, whole: Source) -> SeamParity | None:
        """Returns what it changes that pictures are cut into tiles; as `compare_seams`.

        Args:
            whole: the source for pictures of any size.
        """
        return compare_seams(whole, self._source, self._manifest, self._evaluation)

    def settle(self, settle: Settle) -> Manifest | None:
        """Returns the manifest that the last file's own answers ask for, by which all that follows is compared.

        Args:
            settle: makes it of the manifest and of the metric over those answers.

        Returns:
            None where it is the one that the file has, or where there were no labels.
        """
        settled = self._manifest if self._of_file is None else settle(self._manifest, self._of_file)
        if settled == self._manifest:
            return None
        self._manifest = settled
        return settled

    def _batches(self) -> Iterable[Batch]:
        if self._evaluation is not None:
            return self._evaluation
        return synthetic_batches(self._manifest, _drawn_for(self._manifest))


def _drawn_for(manifest: Manifest) -> ImageInput:
    """Returns the size of drawn images: of the input; where they are cut, of two tiles, one with a border below it."""
    image, tiling = manifest.image_input, manifest.decoder.cut_into()
    if tiling is None:
        return image
    return replace(image, height=max(1, tiling.size * 3 // 4 - 1), width=tiling.size * 5 // 4 + 1, multiple_of=None)


class Answers:
    """One model's raw outputs for a sequence of feeds: those of the first ones, for which there is room."""

    def __init__(self) -> None:
        self._kept: list[dict[str, npt.NDArray[Any]]] = []
        self._bytes = 0

    def get(self, number: int) -> dict[str, npt.NDArray[Any]] | None:
        """Returns those for the feeds of that number in the sequence, or None where they are not kept."""
        return self._kept[number] if number < len(self._kept) else None

    def add(self, number: int, outputs: dict[str, npt.NDArray[Any]]) -> None:
        """Keeps them where they are the next ones and there is room."""
        size = sum(values.nbytes for values in outputs.values())
        if number == len(self._kept) and self._bytes + size <= _MOST_BYTES:
            self._kept.append(outputs)
            self._bytes += size


class Remembered:
    """Answers a sequence of feeds once, from the first on.

    Args:
        model: is asked what is not remembered.
        answers: those that it gave when it was asked before; new ones are added.
    """

    def __init__(self, model: Model, answers: Answers) -> None:
        self._model, self._answers = model, answers
        self._next = 0

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs by name for the next feeds of the sequence."""
        number, self._next = self._next, self._next + 1
        outputs = self._answers.get(number)
        if outputs is None:
            outputs = self._model.run(feeds)
            self._answers.add(number, outputs)
        return outputs


class RememberedSource(Remembered):
    """The same of a source, which says itself what its answers mean.

    Args:
        model: as for `Remembered`.
        source: says what its answers mean.
        answers: as for `Remembered`.
    """

    def __init__(self, model: Model, source: Source, answers: Answers) -> None:
        super().__init__(model, answers)
        self._source = source

    def results(
        self, outputs: Mapping[str, npt.NDArray[Any]], placements: Sequence[Placement], manifest: Manifest | None = None
    ) -> list[Result]:
        """Returns what the model itself means by its raw outputs, one result an image; as for every `Source`."""
        return self._source.results(outputs, placements, manifest)
