"""What an export is asked to do, checked before anything heavy is imported."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from edgecnn.errors import UsageError
from edgecnn.models import get_spec

_MOST_GOLDEN_SAMPLES = 4  # edgecnn_runtime.golden.MAX_SAMPLES, whose module loads NumPy
_INT8_ONLY = ("calibration_samples", "reduce_range", "tune_for")

SourceKind = Literal["run folder", "keras file", "name"]
Quantize = Literal["none", "fp16", "int8"]
Processor = Literal["any", "amx"]  # the exporters', whose package loads TensorFlow
NmsPlace = Literal["runtime", "graph"]  # likewise


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What is exported, and how.

    Attributes:
        source: a run folder, a .keras file, or the name of a catalogue row; an existing path wins.
        data: labelled images to prove the file on; None takes those that the run was trained on, if they are unchanged.
        batch: the fixed batch size; None for a dynamic one.
        opset: of the default ONNX domain.
        manifest: of a .keras file; None takes the manifest.json beside it.
        checkpoint: of a run folder, "best" or "last"; None takes the best where it was kept.
        weights: for a catalogue name: "none" for seeded random ones, "imagenet", or a .weights.h5 or .keras file.
        labels: a file with one label a line, for a catalogue name; None for those of the weights, or none.
        image_size: (height, width) in pixels, for a catalogue name; None takes the published one. Or "dynamic" of any
            segmenter: pictures keep their own size, padded to a multiple of its coarsest cell.
        tile: pixels; of a segmenter, pictures keep their own size and go through the network in squares of this side.
        overlap: pixels that two of them have in common; None takes a quarter of the side.
        width: multiplier on filters and units, for a catalogue name; None is 1.0.
        quantize: the precision of the layers, for a file of fewer bits; "none" for one of float32.
        calibration_samples: images of the train part that the ranges of int8 are taken from, 2 or more; None takes 300.
        max_drop: of fewer bits, the most that the metric may lose, absolute, 0 to 1; None takes what the exporters do,
            as for the next.
        min_speedup: the least that it must be faster than the float32 file, 0 or more; 0 measures and lets all pass.
        strict: whether the 95 % bound on the drop must keep the budget too.
        reduce_range: whether int8 weights take 7 bits, for x86 processors without VNNI.
        tune_for: the processors that int8 weights are laid out for; the answers are the same.
        nms: where a detector's boxes are decoded and drop each other: on the device by the runtime, or in the graph.
        split: whether a model that answers questions about a picture sees it once for all of them.
        golden_samples: test images that travel in the file so that a device can verify it, 0 to 4; 0 keeps them all
            out.
        skip_bad: prove and calibrate without the pictures that cannot be decoded.
        imports: modules with layers of somebody's own, whose code is run before the model is loaded.

    Raises:
        UsageError: an option that cannot take effect, or that the source needs; a number out of range.
        UnknownModelError: the source is neither a path nor the name of a model.
    """

    source: str
    data: str | None = None
    batch: int | None = 1
    opset: int = 17
    manifest: Path | None = None
    checkpoint: Literal["best", "last"] | None = None
    weights: str | None = None
    labels: Path | None = None
    image_size: tuple[int, int] | Literal["dynamic"] | None = None
    width: float | None = None
    quantize: Quantize = "none"
    calibration_samples: int | None = None
    max_drop: float | None = None
    min_speedup: float | None = None
    strict: bool = False
    reduce_range: bool = False
    tune_for: Processor = "any"
    nms: NmsPlace = "runtime"
    split: bool = False
    tile: int | None = None
    overlap: int | None = None
    golden_samples: int = 4
    skip_bad: bool = False
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.golden_samples <= _MOST_GOLDEN_SAMPLES:
            raise UsageError(f"--golden-samples: expected 0 to {_MOST_GOLDEN_SAMPLES}, received {self.golden_samples}")
        self._check_fewer_bits()
        if self.split and self.batch != 1:
            received = "dynamic" if self.batch is None else self.batch
            raise UsageError(f"--split: it needs --batch 1, since one picture is kept, received --batch {received}.")
        if self.tile is not None and self.image_size is not None:
            raise UsageError("--image-size: it cannot take effect with --tile, whose squares are the network's input.")
        if self.overlap is not None and self.tile is None:
            raise UsageError("--overlap: it needs --tile, whose squares overlap.")
        if self.tile is not None and self.tile < 1:
            raise UsageError(f"--tile: expected pixels, 1 or more, received {self.tile}")
        of_a_name = {
            "--weights": self.weights,
            "--labels": self.labels,
            "--image-size": self.built_size,
            "--width": self.width,
        }
        options = {"--manifest": self.manifest, "--checkpoint": self.checkpoint, **of_a_name}
        taken = {"run folder": ("--checkpoint",), "keras file": ("--manifest",), "name": tuple(of_a_name)}[self.kind]
        for option, value in options.items():
            if value is not None and option not in taken:
                raise UsageError(f"{option}: it cannot take effect on {self.source}, a {self.kind}. Leave it out.")
        if self.kind == "name" and self.imports:
            raise UsageError(f"--import: it cannot take effect on {self.source}, a {self.kind}. Leave it out.")
        if self.kind == "name":
            _check_name(self.source, self.weights)
        if self.quantize == "int8" and self.kind != "run folder" and self.data is None:
            raise UsageError(
                f"--quantize int8: it needs images to calibrate on and to judge by, and {self.source} names none. Give "
                "labelled ones with --data."
            )

    def _check_fewer_bits(self) -> None:
        if self.quantize not in get_args(Quantize):
            raise UsageError(f"--quantize: expected one of {', '.join(get_args(Quantize))}, received {self.quantize}")
        values = {name: getattr(self, name) for name in ("max_drop", "min_speedup", "strict", *_INT8_ONLY)}
        given = [name for name, value in values.items() if not (value is None or value is False or value == "any")]
        idle = [name for name in given if self.quantize == "none" or (self.quantize == "fp16" and name in _INT8_ONLY)]
        if idle:
            needed = "--quantize int8" if idle[0] in _INT8_ONLY else "--quantize int8 or fp16"
            raise UsageError(
                f"--{idle[0].replace('_', '-')}: it cannot take effect with --quantize {self.quantize}. Leave it out, "
                f"or give {needed}."
            )
        if self.calibration_samples is not None and self.calibration_samples < 2:
            raise UsageError(f"--calibration-samples: expected 2 or more, received {self.calibration_samples}")
        if self.max_drop is not None and not 0 <= self.max_drop <= 1:
            raise UsageError(f"--max-drop: expected 0 to 1, received {self.max_drop}")
        if self.min_speedup is not None and not 0 <= self.min_speedup < float("inf"):
            raise UsageError(f"--min-speedup: expected 0 or more, received {self.min_speedup}")
        if self.reduce_range and self.tune_for == "amx":
            raise UsageError(
                "--reduce-range: it is for x86 without VNNI, --tune-for amx for x86 with AMX. Leave one of them out."
            )

    @property
    def any_size(self) -> bool:
        """Whether pictures of any size go through the network whole."""
        return self.image_size == "dynamic"

    @property
    def built_size(self) -> tuple[int, int] | None:
        """The (height, width) that a model of the catalogue is built for; None for the published one."""
        return None if self.image_size == "dynamic" else self.image_size

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
