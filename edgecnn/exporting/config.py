"""What an export is asked to do, checked before anything heavy is imported."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.errors import UsageError
from edgecnn.models import get_spec
from edgecnn.quantize_config import QuantizeConfig

_MOST_GOLDEN_SAMPLES = 4  # edgecnn_runtime.golden.MAX_SAMPLES, whose module loads NumPy
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
        weights: for a catalogue name: "none" for seeded random ones, "imagenet", or a .weights.h5 or .keras file.
        labels: a file with one label a line, for a catalogue name; None for those of the weights, or none.
        image_size: (height, width) in pixels, for a catalogue name; None takes the published one.
        width: multiplier on filters and units, for a catalogue name; None is 1.0.
        quantize: for a file of fewer bits; None for one of float32.
        golden_samples: test images that travel in the file so that a device can verify it, 0 to 4; 0 keeps them all
            out.
        skip_bad: prove and calibrate without the pictures that cannot be decoded.

    Raises:
        UsageError: an option that cannot take effect on this source, or that it needs.
        UnknownModelError: the source is neither a path nor the name of a model.
    """

    source: str
    data: str | None = None
    batch: int | None = 1
    opset: int = 17
    manifest: Path | None = None
    weights: str | None = None
    labels: Path | None = None
    image_size: tuple[int, int] | None = None
    width: float | None = None
    quantize: QuantizeConfig | None = None
    golden_samples: int = 4
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.golden_samples <= _MOST_GOLDEN_SAMPLES:
            raise UsageError(f"--golden-samples: expected 0 to {_MOST_GOLDEN_SAMPLES}, received {self.golden_samples}")
        of_a_name = {
            "--weights": self.weights,
            "--labels": self.labels,
            "--image-size": self.image_size,
            "--width": self.width,
        }
        options = {"--manifest": self.manifest, **of_a_name}
        taken = {"run folder": (), "keras file": ("--manifest",), "name": tuple(of_a_name)}[self.kind]
        for option, value in options.items():
            if value is not None and option not in taken:
                raise UsageError(f"{option}: it cannot take effect on {self.source}, a {self.kind}. Leave it out.")
        if self.kind == "name":
            _check_name(self.source, self.weights)
        if self.quantize is not None and self.quantize.precision == "int8" and self.kind != "run folder":
            self._check_calibration()

    def _check_calibration(self) -> None:
        if self.data is None:
            raise UsageError(
                f"--quantize int8: it needs images to calibrate on and to judge by, and {self.source} names none. Give "
                "labelled ones with --data."
            )

    @property
    def kind(self) -> SourceKind:
        """What the source is."""
        path = Path(self.source)
        if os.path.isdir(path):  # noqa: PTH112  (Path raises on a long name)
            return "run folder"
        return "keras file" if os.path.exists(path) or path.suffix == ".keras" else "name"  # noqa: PTH110


def _check_name(name: str, weights: str | None) -> None:
    if len(Path(name).parts) > 1:
        raise UsageError(f"{name}: expected a run folder, a .keras file or the name of a model, received nothing there")
    get_spec(name)
    if weights is None:
        raise UsageError(
            f"--weights: {name} is the name of a model, which has no weights of its own. Give --weights none for "
            "seeded random ones, imagenet or a file, or train it and give the run folder."
        )
