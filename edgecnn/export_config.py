"""What an export is asked to do, checked before anything heavy is imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.errors import UsageError
from edgecnn.models import get_spec

SourceKind = Literal["run folder", "keras file", "name"]


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What is exported, and how.

    Attributes:
        source: a run folder, a .keras file, or the name of a catalogue row; an existing path wins.
        data: labelled images to prove the file on; None takes those that the run was trained on, if they are unchanged.
        batch: the fixed batch size; None for a dynamic one.
        opset: of the default ONNX domain.
        manifest: of a .keras file; None takes the manifest.json beside it.
        weights: "none" for a catalogue name: seeded random weights.
        labels: a file with one label a line, for a catalogue name; None for a model without labels.

    Raises:
        UsageError: an option that cannot take effect on this source, or that it needs.
        UnknownModelError: the source is neither a path nor the name of a model.
    """

    source: str
    data: str | None = None
    batch: int | None = 1
    opset: int = 17
    manifest: Path | None = None
    weights: Literal["none"] | None = None
    labels: Path | None = None

    def __post_init__(self) -> None:
        options = {"--manifest": self.manifest, "--weights": self.weights, "--labels": self.labels}
        taken = {"run folder": (), "keras file": ("--manifest",), "name": ("--weights", "--labels")}[self.kind]
        for option, value in options.items():
            if value is not None and option not in taken:
                raise UsageError(f"{option}: it cannot take effect on {self.source}, a {self.kind}. Leave it out.")
        if self.kind == "name":
            _check_name(self.source, self.weights)

    @property
    def kind(self) -> SourceKind:
        """What the source is."""
        path = Path(self.source)
        if path.is_dir():
            return "run folder"
        return "keras file" if path.exists() or path.suffix == ".keras" else "name"


def _check_name(name: str, weights: str | None) -> None:
    if len(Path(name).parts) > 1:
        raise UsageError(f"{name}: expected a run folder, a .keras file or the name of a model, received nothing there")
    get_spec(name)
    if weights is None:
        raise UsageError(
            f"--weights: {name} is the name of a model, which has no weights of its own. Give --weights none for "
            "seeded random ones, or train it and give the run folder."
        )
