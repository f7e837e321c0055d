"""What every file of one export is proven with: the source, the images, the metric."""

from collections.abc import Callable, Iterable, Iterator

from edgecnn_exporters.proof.compare import Batch, ParityReport, Pixels, compare
from edgecnn_exporters.proof.gates import Gates
from edgecnn_exporters.proof.metric import ClassIds, Metric
from edgecnn_exporters.proof.source import Source
from edgecnn_exporters.proof.synthetic import synthetic_images
from edgecnn_exporters.remembered import Remembered
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.session import Session

SYNTHETIC = "synthetic"
UNIDENTIFIED = "unidentified"


class Proof:
    """Compares files with their source, always on the same images.

    Args:
        reference: the source.
        manifest: of the source and of all files.
        evaluation: labelled batches, or None for synthetic images.
        fingerprint: of the data that `evaluation` is from.
        metric: makes a metric.
    """

    def __init__(
        self,
        reference: Source,
        manifest: Manifest,
        evaluation: Iterable[tuple[Pixels, ClassIds]] | None,
        fingerprint: str | None,
        metric: Callable[[], Metric],
    ) -> None:
        self._reference, self._manifest, self._metric = Remembered(reference), manifest, metric
        self._evaluation = evaluation
        self._images_from = SYNTHETIC if evaluation is None else fingerprint or UNIDENTIFIED

    def compare(self, session: Session, gates: Gates) -> ParityReport:
        """Returns how far a file's answers are from the source's.

        Raises:
            ExportError: there are no images, or outputs differ in shape.
            ManifestError: the manifest's decoder does not read the source's outputs for what they are.
        """
        self._reference.restart()
        return compare(
            self._reference,
            session,
            self._manifest,
            self._batches(),
            images_from=self._images_from,
            candidate_batch=session.batch,
            metric=self._metric,
            gates=gates,
        )

    def _batches(self) -> Iterable[Batch]:
        synthetic: Iterator[Batch] = ((images, None) for images in synthetic_images(self._manifest.image_input))
        return synthetic if self._evaluation is None else self._evaluation
