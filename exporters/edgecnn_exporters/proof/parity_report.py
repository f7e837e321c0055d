"""What a comparison of a file with its source came to."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from edgecnn_runtime.evidence import Gate, Parity, SeamParity, SegmentationParity


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What was compared and whether it is close enough.

    Attributes:
        parity: the numbers, as measured.
        gates: every check and its verdict.
        compared: how many answers were compared, over all images.
        worst_tensor: the output with the largest relative difference.
        worst_image: the number of the image it was found on, from 0.
        non_finite: numbers of the first images on which an output was NaN or infinite.
        disagreements: numbers of the first images on which the best classes differ beyond the tolerance.
    """

    parity: Parity
    gates: tuple[Gate, ...]
    compared: int
    worst_tensor: str
    worst_image: int
    non_finite: tuple[int, ...]
    disagreements: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)

    def with_seam(self, seam: SeamParity | None) -> "ParityReport":
        """Returns the same with what it changes that pictures are cut into tiles; of a segmenter."""
        assert isinstance(self.parity.decoded, SegmentationParity), "no other task has tiles"
        return replace(self, parity=replace(self.parity, decoded=replace(self.parity.decoded, seam=seam)))

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of FILE.report.json."""
        return {**asdict(self), "passed": self.passed}

    def summary(self) -> str:
        """Returns one line for people: the gates that failed, the worst tensor, the worst image."""
        failed = ", ".join(describe(gate) for gate in self.gates if not gate.passed)
        images = self.non_finite or self.disagreements or (self.worst_image,)
        return (
            f"{failed or 'all gates passed'}; worst output {self.worst_tensor!r}, worst image {images[0]} of "
            f"{self.parity.decoded.images} ({self.parity.images_from})"
        )


def describe(gate: Gate) -> str:
    """Returns a gate as people read it: name, value and budget."""
    value = "missed" if gate.value is None else f"{gate.value:.3g}"
    return f"{gate.name} {value} (budget {gate.budget:.3g})"
